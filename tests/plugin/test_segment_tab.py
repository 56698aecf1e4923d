"""Segmenting from the dock, by clicking, in a real window."""

import shlex
import threading

import dask.array as da
import numpy as np
import pytest
import zarr
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import SegmentConfig, segment
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.layers import shown_by
from napari_vesselkd.plugin.segment_state import Phase, Where
from napari_vesselkd.volume import Volume, create_multiscale, write_multiscale

PLUGIN = "napari-vesselkd"
UM = ("micrometer",) * 3
SHAPE = (48, 96, 96)


@pytest.fixture
def image():
    """(z, y, x) uint16 with bright lines along x."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, SHAPE).astype(np.uint16)
    for y in range(8, 96, 16):
        image[::6, y : y + 4, :] = 900
    return image


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, image, voxel_size_um=(2, 1, 1), chunk=(32, 32, 32))
    return path


@pytest.fixture
def opened(viewer, drive, source):
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    return layer


def student(viewer):
    return viewer.layers["vesselkd: student"]


def test_a_click_on_run_gives_the_layer_the_file_and_what_the_engine_gives(
    viewer, drive, opened, source, tmp_path
):
    output = tmp_path / "out.ome.zarr"
    drive.choose(output=output)
    drive.finish()
    layer = student(viewer)
    headless = tmp_path / "headless.ome.zarr"
    list(segment(source, headless, SegmentConfig(block=32)))
    expected = LabelStore.open(headless).levels[0][:]
    assert expected.any()
    np.testing.assert_array_equal(LabelStore.open(output).levels[0][:], expected)
    np.testing.assert_array_equal(np.asarray(layer.data[0] if layer.multiscale else layer.data), expected)
    np.testing.assert_array_equal(layer.extent.world, opened.extent.world)
    assert "vessel" in drive.panel.result.text()
    assert str(output) in drive.panel.result.text()
    assert drive.panel.bar.value() == drive.panel.bar.maximum()


def test_the_layer_fills_block_by_block_and_the_bar_moves(viewer, drive, opened, tmp_path, qtbot):
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.run()
    shown, values = [], []

    def look(report):
        if hasattr(report, "region") and drive.tab.labels is not None:
            drive.tab._refresh_labels()
            shown.append(int(np.count_nonzero(drive.tab.labels._slice.image.raw)))
            values.append(drive.panel.bar.value())

    drive.tab._task.reported.connect(look)
    drive.wait_for(Phase.FINISHED)
    assert len(drive.blocks) == 2 * 3 * 3
    assert shown == sorted(shown)
    assert shown[0] < shown[-1]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1]


def test_a_second_run_updates_the_layer_instead_of_adding_one(viewer, drive, opened, tmp_path):
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.finish()
    first = student(viewer)
    drive.form.output.setText(str(tmp_path / "again.ome.zarr"))
    drive.settle()
    drive.finish()
    assert student(viewer) is first
    assert len(viewer.layers) == 2
    assert shown_by(first).store.path == tmp_path / "again.ome.zarr"


def test_cancel_stops_within_one_block_and_the_next_run_goes_on(viewer, drive, opened, tmp_path, monkeypatch):
    written = []
    write = LabelStore.write
    monkeypatch.setattr(LabelStore, "write", lambda *args: (written.append(1), write(*args)))
    output = tmp_path / "out.ome.zarr"
    drive.choose(output=output)
    drive.run()
    drive.wait_for_blocks(2)
    drive.click(drive.panel.cancel)
    at = len(written)
    drive.wait_for(Phase.CANCELLED)
    assert len(written) <= at + 1
    assert len(written) < 18
    assert "goes on where it stopped" in drive.panel.bar_text.text()
    done = len(drive.blocks)
    drive.finish()
    assert drive.blocks[0].resumed >= done
    headless = tmp_path / "headless.ome.zarr"
    list(segment(shown_by(opened).volume, headless, SegmentConfig(block=32)))
    np.testing.assert_array_equal(
        LabelStore.open(output).levels[0][:], LabelStore.open(headless).levels[0][:]
    )


def test_pause_holds_after_a_block_and_go_on_finishes(viewer, drive, opened, tmp_path, qtbot):
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.run()
    drive.wait_for_blocks(1)
    drive.click(drive.panel.pause)
    qtbot.waitUntil(lambda: drive.tab.state.phase is Phase.PAUSED, timeout=30_000)
    done = len(drive.blocks)
    qtbot.wait(400)
    assert len(drive.blocks) == done
    assert drive.panel.pause.text().startswith("Go on")
    drive.click(drive.panel.pause)
    drive.wait_for(Phase.FINISHED)


def test_the_view_is_segmented_and_nothing_else(viewer, drive, opened, tmp_path):
    viewer.scene.camera.zoom = 20
    viewer.dims.set_current_step(0, 10)
    drive.choose(output=tmp_path / "out.ome.zarr", where=Where.VIEW)
    region = drive.form.region.region()
    assert region.size < Region.whole(SHAPE).size
    drive.finish()
    labels = LabelStore.open(tmp_path / "out.ome.zarr").levels[0][:]
    outside = labels.copy()
    outside[region.slices] = 0
    assert not outside.any()


def test_moving_the_view_while_running_brings_its_blocks_forward(viewer, drive, opened, tmp_path):
    viewer.scene.camera.zoom = 30
    viewer.scene.camera.center = (0, 10, 10)
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.run()
    task = drive.tab._task
    task.reported.connect(lambda report: task.pause() if getattr(report, "done", 0) == 1 else None)
    drive.qtbot.waitUntil(lambda: drive.tab.state.phase is Phase.PAUSED, timeout=30_000)
    drive.wait_for_blocks(1)
    assert drive.blocks[0].region.start[1:] == (0, 0)
    viewer.scene.camera.center = (0, 90, 90)
    drive.qtbot.waitUntil(lambda: drive.tab.focus().start[1] > 64, timeout=5000)
    at = len(drive.blocks)
    drive.click(drive.panel.pause)
    drive.wait_for(Phase.FINISHED)
    after = [block.region for block in drive.blocks[at:]]
    first = next(index for index, region in enumerate(after) if region.start[1:] == (64, 64))
    assert first <= 2  # one block is being computed and one is read ahead when the view moves


def test_the_box_is_typed_or_drawn(viewer, drive, opened, tmp_path):
    drive.choose(where=Where.BOX)
    for (low, high), (start, stop) in zip(
        drive.form.region.bounds, ((0, 32), (10, 50), (20, 90)), strict=True
    ):
        low.setValue(start)
        high.setValue(stop)
    assert drive.form.region.region() == Region((0, 10, 20), (32, 50, 90))
    drive.form.region.draw.click()
    rectangle = viewer.layers["vesselkd: box"]
    rectangle.data = [np.array([[4, 6], [4, 70], [40, 70], [40, 6]]) - 0.5]
    assert drive.form.region.region() == Region((0, 4, 6), (32, 40, 70))
    drive.form.region.bounds[1][0].setValue(16)
    np.testing.assert_allclose(np.asarray(rectangle.data[0]).min(axis=0)[-2:], (15.5, 5.5))
    drive.form.region.choice.button("Whole").click()
    assert "vesselkd: box" not in viewer.layers


@pytest.mark.parametrize("kind", ["numpy", "dask", "multiscale", "2d", "4d"])
def test_layers_from_elsewhere_are_segmented_where_they_lie(viewer, drive, image, tmp_path, kind):
    data = {
        "numpy": image,
        "dask": da.from_array(image, chunks=(16, 48, 48)),
        "multiscale": [image, image[::2, ::2, ::2]],
        "2d": image[0],
        "4d": np.stack([image, image[::-1]]),
    }[kind]
    ndim = {"2d": 2, "4d": 4}.get(kind, 3)
    layer = viewer.add_image(
        data,
        multiscale=kind == "multiscale",
        scale=(1, 2, 1, 1)[-ndim:],
        translate=(0, 50, 60, 70)[-ndim:],
        name=kind,
    )
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.finish()
    labels = student(viewer)
    assert labels.extent.data[1][-2:] == pytest.approx((95, 95))
    np.testing.assert_allclose(labels.extent.world[:, -2:], layer.extent.world[:, -2:])
    if ndim >= 3:
        np.testing.assert_allclose(labels.extent.world[:, -3:], layer.extent.world[:, -3:])


def test_a_tiff_output_is_written_and_shown(viewer, drive, opened, tmp_path):
    drive.choose(output=tmp_path / "out.tif")
    drive.finish()
    (reopened,) = viewer.open(str(tmp_path / "out.tif"), plugin=PLUGIN)
    layer = student(viewer)
    np.testing.assert_array_equal(
        np.asarray(reopened.data), np.asarray(layer.data[0] if layer.multiscale else layer.data)
    )


def test_the_command_line_can_be_copied_and_names_this_run(drive, opened, source, tmp_path):
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.panel.command_fold.header.setChecked(True)
    drive.click(drive.panel.command.copy)
    words = shlex.split(QApplication.clipboard().text())
    assert words == ["vesselkd", "segment", str(source), str(tmp_path / "out.ome.zarr"), "--block", "32"]


def test_the_preflight_names_time_memory_disk_and_the_checkpoint_with_its_reason(drive, opened):
    drive.choose()
    text = drive.panel.estimate.text()
    assert "About" in text
    assert "RAM" in text
    assert "disk" in text
    assert "because voxels are 2 times as long in z" in drive.form.checkpoint_fact.text()


def test_a_phantom_is_scored_against_its_ground_truth(viewer, drive, tmp_path):
    viewer.open_sample(PLUGIN, "coarse_z")
    drive.choose(output=tmp_path / "out.ome.zarr", block=128)
    drive.finish()
    assert "Against the ground truth: Dice" in drive.panel.result.text()


def test_closing_the_viewer_during_a_run_leaves_a_resumable_output_and_no_thread(
    make_napari_viewer, qtbot, driver_of, source, tmp_path
):
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "VesselKD")
    viewer.open(str(source), plugin=PLUGIN)
    drive = driver_of(dock)
    drive.choose(output=tmp_path / "out.ome.zarr")
    drive.run()
    drive.wait_for_blocks(1)
    viewer.close()
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=60_000)
    assert not any("vesselkd" in thread.name for thread in threading.enumerate())
    reports = list(segment(source, tmp_path / "out.ome.zarr", SegmentConfig(block=32)))
    blocks = [report for report in reports if hasattr(report, "done")]
    assert blocks[0].resumed >= 1
    assert blocks[-1].done == blocks[-1].total == 18


def test_a_virtual_volume_of_400_gb_opens_and_only_its_view_is_read(viewer, drive, tmp_path, monkeypatch):
    shape = (4096, 10_000, 10_000)
    path = tmp_path / "huge.ome.zarr"
    levels = create_multiscale(path, shape, "uint8", voxel_size_um=(1, 1, 1), chunk=(128, 128, 128))
    assert np.prod(shape) > 4e11
    rng = np.random.default_rng(0)
    levels[0][2048:2080, 5000:5100, 5000:5100] = rng.integers(0, 255, (32, 100, 100), dtype=np.uint8)
    del levels
    read = []
    original = Volume.read
    monkeypatch.setattr(
        Volume, "read", lambda self, region, level=0: (read.append(region), original(self, region, level))[1]
    )
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    assert all(isinstance(level, zarr.Array) for level in shown_by(layer).volume.levels)
    viewer.dims.set_current_step(0, 2060)
    viewer.scene.camera.center = (0, 5050, 5050)
    viewer.scene.camera.zoom = 5
    drive.choose(output=tmp_path / "out.ome.zarr", where=Where.VIEW, block=0)
    view = drive.form.region.view()
    assert view.contains(Region((2050, 5045, 5045), (2070, 5055, 5055)))
    read.clear()
    drive.finish()
    assert drive.blocks[0].total <= 8
    assert all(block.region.intersection(view) is not None for block in drive.blocks)
    # A sample for the intensity window and one for the signature; the blocks with their halo.
    assert sum(region.size for region in read) < 30e6 + 8 * 200 * 400**2
    assert LabelStore.open(tmp_path / "out.ome.zarr").shape == shape


def test_another_volume_gets_another_output(viewer, drive, opened, image, tmp_path):
    drive.choose(output=tmp_path / "of_the_first.ome.zarr")
    viewer.add_image(image, name="second")
    drive.form.volume.setCurrentIndex(1)
    assert drive.form.output.text().endswith("second-vessels.ome.zarr")
