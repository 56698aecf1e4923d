"""A viewer that opens a project and starts to learn, for a test that kills it: learning_viewer.py PROJECT."""

import sys

import napari
from qtpy.QtCore import QTimer

from learning import use_fake_job
from napari_vesselkd.plugin.commands import show_dock


def main() -> None:
    use_fake_job()
    viewer = napari.Viewer()
    dock = show_dock(viewer)
    dock.session.opened.connect(dock.learn.start)
    dock.learn.watch.changed.connect(lambda: say(dock.learn.job))
    QTimer.singleShot(0, lambda: dock.session.open(sys.argv[1]))
    napari.run()


def say(job) -> None:
    if job is not None and job.losses:
        print(f"learning in {job.path}", flush=True)


if __name__ == "__main__":
    main()
