"""A viewer that opens a project and starts to learn, for a test that kills it: learning_viewer.py PROJECT."""

import sys
from pathlib import Path

import napari
from qtpy.QtCore import QTimer

import napari_vesselkd.inference  # noqa: F401 (here, as the dock's workers load it with little priority)
from napari_vesselkd.plugin.commands import show_dock

sys.path.insert(0, str(Path(__file__).parents[1]))
from fake_learning import use_fake_job


def main() -> None:
    use_fake_job()
    viewer = napari.Viewer()
    dock = show_dock(viewer)
    dock.session.opened.connect(dock.learn.start)
    dock.learn.watch.changed.connect(lambda: say(dock.learn.job))
    QTimer.singleShot(0, lambda: dock.session.open(sys.argv[1]))
    napari.run()


def say(job) -> None:
    if job is not None and job.stage.losses:
        print(f"learning in {job.path}", flush=True)


if __name__ == "__main__":
    main()
