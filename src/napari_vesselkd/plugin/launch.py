"""Start napari with the dock: what ``vesselkd open`` and ``vesselkd demo`` do where there is a display."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer

from napari_vesselkd.plugin.commands import PLUGIN, show_dock
from napari_vesselkd.plugin.segment_state import Where

DEMO_SAMPLE = "capillaries"
FIRST_LOOK_MS = 500


def open_viewer(
    paths: Sequence[str | Path] = (),
    *,
    run_demo: bool = False,
    output: str | Path | None = None,
    project: str | Path | None = None,
) -> None:
    """Open napari with the dock and these volumes; returns when the window is closed.

    Parameters
    ----------
    paths : sequence of path
        Volumes to open with this plugin's reader.
    run_demo : bool
        Open the sample phantom and segment it at once, with its score against the ground truth at the end.
    output : path, optional
        Where the demo writes its labels; by default where the dock says.
    project : path, optional
        To open in the dock, with its image and layers.

    Raises
    ------
    VesselKDError
        If a volume cannot be opened; no window is left behind.
    """
    import napari

    viewer, _ = make_viewer(paths, run_demo=run_demo, output=output, project=project)
    napari.run()
    del viewer


def make_viewer(
    paths: Sequence[str | Path] = (),
    *,
    run_demo: bool = False,
    output: str | Path | None = None,
    project: str | Path | None = None,
) -> tuple[Any, Any]:
    """Return a viewer with the dock and these volumes, and the dock; see `open_viewer`."""
    import napari

    from napari_vesselkd.plugin.reader import is_project, read

    projects = [path for path in paths if is_project(Path(path))]
    project = project if project is not None or not projects else projects[0]
    layers = [data for path in paths if path not in projects for data in read(str(path))]
    viewer = napari.Viewer(title="napari-vesselkd")
    for data, kwargs, kind in layers:
        add = viewer.add_labels if kind == "labels" else viewer.add_image
        add(data, **kwargs)
    dock = show_dock(viewer)
    if project is not None:
        dock.session.open(project)
    if run_demo:
        viewer.open_sample(PLUGIN, DEMO_SAMPLE)
        QTimer.singleShot(FIRST_LOOK_MS, lambda: _start_demo(dock, output))
    return viewer, dock


def _start_demo(dock: Any, output: str | Path | None) -> None:
    dock.segment.form.region.choose(Where.WHOLE)
    if output is not None:
        dock.segment.form.output.setText(str(output))
    dock.segment.form.restart.setChecked(True)
    dock.segment.start()
