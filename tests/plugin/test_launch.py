"""What `vesselkd open` and `vesselkd demo` show where there is a display."""

import pytest

from napari_vesselkd.errors import SourceNotFoundError
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.launch import make_viewer
from napari_vesselkd.plugin.segment_state import Phase
from napari_vesselkd.volume import write_multiscale


@pytest.fixture
def real_viewer(make_napari_viewer, monkeypatch, tmp_path):
    """Let the launcher make a viewer that the test closes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("napari.Viewer", lambda **_: make_napari_viewer(show=True))


def test_open_shows_the_volumes_with_their_proportions_and_the_dock(
    real_viewer, tmp_path, small_image, qtbot
):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, small_image, voxel_size_um=(3, 1, 1))
    viewer, dock = make_viewer([path])
    assert [layer.name for layer in viewer.layers] == ["brain"]
    assert tuple(viewer.layers[0].scale) == (3, 1, 1)
    assert dock.segment.form.volume.currentText() == "brain"
    qtbot.waitUntil(
        lambda: dock.segment._loading is None or not dock.segment._loading.running, timeout=30_000
    )


def test_open_of_a_missing_volume_says_so_before_a_window_appears(tmp_path):
    with pytest.raises(SourceNotFoundError, match="nothing"):
        make_viewer([tmp_path / "nothing.ome.zarr"])


@pytest.mark.slow
def test_the_demo_segments_the_sample_and_shows_its_score(real_viewer, tmp_path, driver_of):
    viewer, dock = make_viewer(run_demo=True, output=tmp_path / "demo.ome.zarr")
    drive = driver_of(dock)
    drive.qtbot.waitUntil(lambda: dock.segment.state.phase is Phase.FINISHED, timeout=200_000)
    assert "Against the ground truth: Dice" in dock.segment.panel.result.text()
    assert "vesselkd: student" in viewer.layers
    assert LabelStore.open(tmp_path / "demo.ome.zarr").levels[0][:].any()
    drive.settle()
