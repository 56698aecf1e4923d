"""A real viewer with the dock, and small volumes of every kind."""

import numpy as np
import pytest


@pytest.fixture
def small_image():
    """(z, y, x) uint16 with a bright line along x."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (24, 48, 64)).astype(np.uint16)
    image[10:14, 20:24, :] = 900
    return image


@pytest.fixture
def viewer(make_napari_viewer):
    """A shown viewer of 1280 x 800."""
    shown = make_napari_viewer(show=True)
    shown.window._qt_window.resize(1280, 800)
    return shown


@pytest.fixture
def dock(viewer, qtbot, tmp_path, monkeypatch):
    """The VesselKD dock of `viewer`; what it writes by default goes to `tmp_path`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    _, widget = viewer.window.add_plugin_dock_widget("napari-vesselkd", "VesselKD")
    qtbot.wait(50)
    yield widget
    for task in (
        widget.segment._task,
        widget.segment._estimating,
        widget.segment._loading,
        widget.look._task,
    ):
        if task is not None:
            task.cancel()
            qtbot.waitUntil(lambda task=task: not task.running, timeout=60_000)
