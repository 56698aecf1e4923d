"""Segmenting into the open project, at a typed voxel size and at a coarser level, in a real window."""

import json
import shlex
import shutil

import numpy as np
import pytest
import tifffile

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import SegmentConfig, segment, segment_project
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.segment_state import Phase, Where
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale

PLUGIN = "napari-vesselkd"
SHAPE = (48, 96, 96)
CORRECTED = Region((0, 0, 0), (16, 16, 16))


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
    write_multiscale(path, image, voxel_size_um=(2, 1, 1), levels=2, chunk=(32, 32, 32))
    return path


@pytest.fixture
def tiff(tmp_path, image):
    path = tmp_path / "brain.tif"
    tifffile.imwrite(path, image)
    return path


def type_size(drive, *sizes):
    for box, size in zip(drive.form.voxel_size.boxes, sizes, strict=True):
        box.setFocus()
        box.selectAll()
        drive.qtbot.keyClicks(box, f"{size:g}")
        drive.qtbot.keyClick(box, "\r")
    drive.qtbot.wait(200)
    drive.settle()


def words(drive):
    return shlex.split(drive.panel.command.box.toPlainText())


def student(viewer):
    return viewer.layers["vesselkd: student"]


def test_a_voxel_size_typed_for_a_tiff_chooses_the_checkpoint_scales_the_layer_and_is_in_the_command_line(
    viewer, drive, tiff, tmp_path
):
    (layer,) = viewer.open(str(tiff), plugin=PLUGIN)
    drive.choose(output=tmp_path / "out.ome.zarr")
    assert "not known" in drive.form.volume_fact.text()
    assert "student-isotropic" in drive.form.checkpoint_fact.text()
    assert [box.text() for box in drive.form.voxel_size.boxes] == ["z ?", "y ?", "x ?"]
    type_size(drive, 6, 1.5, 1.5)
    assert "6 × 1.5 × 1.5 µm" in drive.form.volume_fact.text()
    assert "student-coarse-z" in drive.form.checkpoint_fact.text()
    np.testing.assert_allclose(layer.scale, (6, 1.5, 1.5))
    assert words(drive)[4:6] == ["--voxel-size", "6,1.5,1.5"]
    drive.finish()
    headless = tmp_path / "headless.ome.zarr"
    with open_volume(tiff, voxel_size_um=(6, 1.5, 1.5)) as volume:
        list(segment(volume, headless, SegmentConfig(block=32)))
    np.testing.assert_array_equal(
        LabelStore.open(tmp_path / "out.ome.zarr").levels[0][:], LabelStore.open(headless).levels[0][:]
    )
    type_size(drive, 3, 1, 1)
    np.testing.assert_allclose(student(viewer).extent.world, layer.extent.world)


def test_the_voxel_size_of_the_file_is_shown_and_needs_no_option(viewer, drive, source):
    viewer.open(str(source), plugin=PLUGIN)
    drive.choose()
    assert [box.value() for box in drive.form.voxel_size.boxes] == [2, 1, 1]
    assert "--voxel-size" not in words(drive)


def test_a_coarser_level_gives_what_the_command_line_gives_and_lies_over_the_image(
    viewer, drive, source, tmp_path
):
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    drive.choose()
    drive.form.level.setCurrentIndex(1)
    drive.settle()
    assert drive.form.output.text().endswith("brain-level1-vessels.ome.zarr")
    assert words(drive)[4:6] == ["--level", "1"]
    drive.form.output.setText(str(tmp_path / "out.ome.zarr"))
    drive.settle()
    drive.finish()
    headless = tmp_path / "headless.ome.zarr"
    list(segment(source, headless, SegmentConfig(block=32, level=1)))
    found = LabelStore.open(tmp_path / "out.ome.zarr").levels[0][:]
    assert found.shape == (48, 48, 48)
    np.testing.assert_array_equal(found, LabelStore.open(headless).levels[0][:])
    np.testing.assert_allclose(student(viewer).extent.world, layer.extent.world, atol=1)
    edge = np.asarray(student(viewer).data_to_world((-0.5, -0.5, -0.5)))
    np.testing.assert_allclose(edge, layer.data_to_world((-0.5, -0.5, -0.5)))
    drive.form.level.setCurrentIndex(0)
    drive.form.output.setText(str(tmp_path / "fine.ome.zarr"))
    drive.settle()
    drive.finish()
    np.testing.assert_allclose(student(viewer).extent.world, layer.extent.world)


@pytest.fixture
def project(viewer, dock, drive, source, tmp_path, qtbot):
    """A project of the image, open in the dock."""
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    with qtbot.waitSignal(dock.session.opened, timeout=60_000):
        dock.session.create(layer, tmp_path / "brain.vesselkd")
    return dock.session.project


def add_checkpoint(project, name):
    """Copy another bundled checkpoint into the project."""
    other = CheckpointRegistry().choose((1, 1, 1))
    project.registry.root.mkdir(exist_ok=True)
    shutil.copy(other.path, project.registry.root / f"{name}.safetensors")
    card = json.loads(other.path.with_suffix(".json").read_text()) | {"name": name}
    (project.registry.root / f"{name}.json").write_text(json.dumps(card))


def accept(project, value):
    """Accept a block in which every voxel is `value`."""
    edit = project.edit(CORRECTED)
    edit.record(np.full(CORRECTED.shape, value, np.uint8))
    return project.accept(edit.number)


def test_labels_go_into_the_open_project_and_corrections_win(viewer, dock, drive, project, source, tmp_path):
    accept(project, 2)
    dock.session.notify()
    drive.choose()
    assert drive.form.into.isVisibleTo(dock)
    assert not drive.form.output_row.isVisibleTo(dock)
    assert "Into brain.vesselkd. Your 1 accepted block stay" in drive.form.output_fact.text()
    assert not drive.form.voxel_size.boxes[0].isEnabled()
    assert words(drive)[:4] == ["vesselkd", "segment", str(source), str(project.path)]
    drive.finish()
    headless = tmp_path / "headless.ome.zarr"
    list(segment(source, headless, SegmentConfig(block=32)))
    expected = LabelStore.open(headless).levels[0][:]
    expected[CORRECTED.slices] = 1
    np.testing.assert_array_equal(project.labels.levels[0][:], expected)
    layer = student(viewer)
    np.testing.assert_array_equal(np.asarray(layer.data[0] if layer.multiscale else layer.data), expected)
    assert [one.name for one in viewer.layers].count("vesselkd: student") == 1


def test_after_a_promotion_only_what_is_asked_for_is_segmented_again(viewer, dock, drive, project, tmp_path):
    drive.choose()
    drive.finish()
    before = project.labels.levels[0][:]
    add_checkpoint(project, "finetune-001")
    project.promote("finetune-001")
    dock.session.notify()
    drive.settle()
    assert "finetune-001, the project's current one" in drive.form.checkpoint_fact.text()
    assert "Segment again" in drive.panel.run.text()
    assert "made by student-coarse-z" in drive.panel.estimate.text()
    drive.choose(where=Where.BOX)
    box = Region((0, 0, 0), (32, 32, 32))
    drive.form.region.set_box(box)
    drive.settle()
    drive.finish()
    after = project.labels.levels[0][:]
    outside = np.ones(SHAPE, bool)
    outside[box.slices] = False
    np.testing.assert_array_equal(after[outside], before[outside])
    headless = tmp_path / "headless.ome.zarr"
    other = project.registry.get("finetune-001").path
    config = SegmentConfig(block=32, checkpoint=str(other), region=box)
    list(segment(dock.session.volume, headless, config))
    np.testing.assert_array_equal(after[box.slices], LabelStore.open(headless).levels[0][:][box.slices])


def test_a_file_can_be_written_while_a_project_is_open(viewer, dock, drive, project, tmp_path):
    drive.form.into.button("File").click()
    drive.choose(output=tmp_path / "out.ome.zarr")
    assert drive.form.output_row.isVisibleTo(dock)
    drive.finish()
    assert project.labels is None
    assert LabelStore.open(tmp_path / "out.ome.zarr").levels[0][:].any()


def test_another_layer_than_the_projects_goes_to_a_file(viewer, dock, drive, project, image):
    viewer.add_image(image, name="second")
    drive.form.volume.setCurrentIndex(1)
    drive.settle()
    assert not drive.form.into.isVisibleTo(dock)
    assert drive.form.output_row.isVisibleTo(dock)


def test_closing_the_project_during_a_run_stops_it_and_leaves_labels_that_go_on(dock, drive, project):
    drive.choose()
    drive.run()
    drive.wait_for_blocks(2)
    path = project.path
    dock.session.close()
    drive.wait_for(Phase.CANCELLED)
    assert not drive.form.into.isVisibleTo(dock)
    with Project.open(path) as again:
        blocks = [one for one in segment_project(again, SegmentConfig(block=32)) if hasattr(one, "done")]
    assert blocks[0].resumed >= 2
    assert blocks[-1].done == blocks[-1].total == 18
