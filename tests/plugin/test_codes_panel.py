"""The Codes page in a real window: mapping, choosing, picking, going there."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from exploring import CodesDock, Explorer
from napari_vesselkd.volume import write_multiscale

PLUGIN = "napari-vesselkd"
LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def image():
    """(z, y, x) uint16: noise with lines of other widths, so that places have different codes."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (64, 160, 192)).astype(np.uint16)
    for index, y in enumerate(range(12, 150, 24)):
        image[20 : 22 + index, y : y + 2 + index, 16 * index :] = 900
    return image


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, image, voxel_size_um=(2, 1, 1), chunk=(32, 64, 64))
    return path


@pytest.fixture
def explorer(viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    dock = CodesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Codes", area="right")
    yield Explorer(viewer, dock, qtbot)
    dock.release()
    qtbot.waitUntil(lambda: not any(task.running for task in dock.tasks), timeout=60_000)


@pytest.fixture
def opened(viewer, explorer, source):
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    explorer.settle()
    return layer


def codes(viewer):
    return viewer.layers["vesselkd: codes"]


def test_mapping_gives_a_layer_that_lies_exactly_over_the_image(viewer, explorer, opened, image):
    explorer.map_codes()
    layer = codes(viewer)
    data = np.asarray(layer.data)
    assert data.shape == (2, 5, 6)
    assert data.dtype == np.uint16
    assert data.min() >= 1
    np.testing.assert_allclose(layer.scale, np.multiply(opened.scale, 32))
    low = np.asarray(layer.data_to_world((-0.5, -0.5, -0.5)))
    np.testing.assert_allclose(low, opened.data_to_world((-0.5, -0.5, -0.5)))
    high = np.asarray(layer.data_to_world(np.array([2, 5, 6]) - 0.5))
    np.testing.assert_allclose(high, opened.data_to_world(np.array(image.shape) - 0.5))
