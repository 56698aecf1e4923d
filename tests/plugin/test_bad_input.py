"""Each bad input gives one readable notice, ends the progress bar and leaves nothing half-written."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.plugin.segment_state import Phase, Where
from napari_vesselkd.volume import write_multiscale

PLUGIN = "napari-vesselkd"
SHAPE = (40, 64, 64)


@pytest.fixture
def image():
    image = np.random.default_rng(0).integers(90, 110, SHAPE).astype(np.uint16)
    image[:, 20:24, :] = 900
    return image


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "in" / "brain.ome.zarr"
    path.parent.mkdir()
    write_multiscale(path, image, voxel_size_um=(2, 1, 1), chunk=(32, 32, 32))
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out" / "labels.ome.zarr"


@pytest.fixture
def opened(viewer, drive, source):
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    return layer


def assert_failed_readably(drive, *words):
    drive.wait_for(Phase.FAILED)
    assert drive.panel.error.isVisibleTo(drive.dock)
    text = drive.panel.error.headline.text() + " " + drive.panel.error.remedy.text()
    for word in words:
        assert word in text, text
    assert "Traceback" in drive.panel.error.details.box.toPlainText()
    assert "Stopped by an error" in drive.panel.bar_text.text()
    assert drive.panel.bar.maximum() > 0
    assert not drive.panel.cancel.isEnabled()


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_a_corrupt_chunk_is_named(drive, opened, source, output):
    chunk = max(
        (p for p in source.rglob("*") if p.is_file() and "c" in p.parts[-4:]), key=lambda p: p.stat().st_size
    )
    drive.choose(output=output)
    chunk.write_bytes(b"garbage" * 20)
    drive.run()
    assert_failed_readably(drive, "brain.ome.zarr")


def test_a_volume_that_vanished_after_opening_is_missed(drive, opened, source, output):
    drive.choose(output=output)
    shutil.rmtree(source)
    drive.run()
    assert_failed_readably(drive, "no longer where it was opened", str(source))
    assert leftovers(output.parent) == []


def test_a_truncated_tiff_is_refused_at_opening(viewer, drive, tmp_path, image):
    path = tmp_path / "short.tif"
    tifffile.imwrite(path, image)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(Exception, match=r"short\.tif"):
        viewer.open(str(path), plugin=PLUGIN)
    assert len(viewer.layers) == 0
    assert "Open a volume first" in drive.panel.reason.text()


@pytest.mark.skipif("os.environ.get('CUDA_VISIBLE_DEVICES')", reason="there may be a GPU")
def test_cuda_asked_for_where_there_is_none_disables_run_with_the_reason(drive, opened, output):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    drive.form.device.setCurrentText("cuda")
    drive.choose(output=output)
    assert not drive.panel.run.isEnabled()
    assert "cuda" in drive.panel.estimate.text().lower()
    assert drive.panel.run.toolTip() == drive.panel.estimate.text()
    drive.form.device.setCurrentText("cpu")
    drive.settle()
    assert drive.panel.run.isEnabled()


def test_a_view_beside_the_volume_and_an_empty_box_say_so(viewer, drive, opened, output):
    viewer.scene.camera.center = (0, 5000, 5000)
    drive.choose(output=output, where=Where.VIEW)
    assert not drive.panel.run.isEnabled()
    assert "on screen" in drive.panel.reason.text()
    drive.choose(where=Where.BOX)
    low, high = drive.form.region.bounds[0]
    low.setValue(30)
    high.setValue(30)
    assert not drive.panel.run.isEnabled()
    assert "box is empty" in drive.panel.reason.text()


@pytest.mark.parametrize(("kind", "word"), [("constant", "constant"), ("nan", "NaN")])
def test_a_constant_volume_and_nan_are_segmented_with_a_notice(viewer, drive, output, kind, word, image):
    data = np.full(SHAPE, 7, np.float32) if kind == "constant" else image.astype(np.float32)
    if kind == "nan":
        data[:, :8] = np.nan
    viewer.add_image(data, contrast_limits=(0, 1000), name=kind)
    drive.choose(output=output)
    drive.finish()
    assert word in drive.panel.notices.text.text()
    assert drive.panel.notices.isVisibleTo(drive.dock)


def test_a_read_only_folder_is_said_before_the_run(drive, opened, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(closed) and access(path, mode))
    drive.choose(output=closed / "labels.ome.zarr")
    assert not drive.panel.run.isEnabled()
    assert "No permission" in drive.form.output_fact.text()
    assert leftovers(closed) == []


def test_an_output_below_a_file_fails_readably(drive, opened, tmp_path):
    (tmp_path / "file").write_text("x")
    drive.choose(output=tmp_path / "file" / "labels.ome.zarr")
    drive.run()
    assert_failed_readably(drive, "labels.ome.zarr")
    assert (tmp_path / "file").read_text() == "x"


def test_an_output_that_is_something_else_is_not_touched(drive, opened, output):
    output.mkdir(parents=True)
    (output / "notes.txt").write_text("mine")
    drive.choose(output=output)
    drive.run()
    assert_failed_readably(drive, "was not written by a segmentation")
    assert (output / "notes.txt").read_text() == "mine"


def test_an_output_of_other_settings_names_the_control_that_replaces_it(drive, opened, output):
    drive.choose(output=output)
    drive.finish()
    drive.form.threshold.setValue(0.9)
    drive.settle()
    drive.run()
    assert_failed_readably(drive, "threshold", "Start over")
    drive.form.restart.setChecked(True)
    drive.settle()
    drive.finish()
    assert not drive.form.restart.isChecked()


def test_an_rgb_layer_says_how_to_split_it(viewer, drive):
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="retina")
    drive.qtbot.wait(50)
    assert "Split RGB" in drive.form.volume_fact.text()
    assert not drive.panel.run.isEnabled()
    assert "Split RGB" in drive.panel.run.toolTip()


def test_without_any_layer_the_dock_says_what_to_open(drive):
    assert not drive.panel.run.isEnabled()
    assert "Open a volume first" in drive.panel.reason.text()


def test_a_broken_checkpoint_fails_readably(viewer, drive, opened, output, tmp_path, monkeypatch):
    registry = CheckpointRegistry()
    assert str(tmp_path) in str(registry.root), registry.root
    registry.root.mkdir(parents=True)
    good = registry.choose((2, 1, 1))
    shutil.copy(good.path, registry.root / "broken.safetensors")
    card = json.loads(good.path.with_suffix(".json").read_text())
    card["name"] = "broken"
    (registry.root / "broken.json").write_text(json.dumps(card))
    weights = registry.root / "broken.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    drive.form.set_checkpoints([("broken", "cut short")])
    drive.form.checkpoint.setCurrentIndex(1)
    drive.choose(output=output)
    drive.run()
    assert_failed_readably(drive, "broken")


def test_the_error_can_be_copied_and_goes_away_with_the_next_run(drive, opened, source, output, tmp_path):
    from qtpy.QtWidgets import QApplication

    moved = source.with_name("moved.ome.zarr")
    drive.choose(output=output)
    source.rename(moved)
    drive.run()
    drive.wait_for(Phase.FAILED)
    drive.panel.error.fold.header.setChecked(True)
    drive.click(drive.panel.error.details.copy)
    assert "SourceNotFoundError" in QApplication.clipboard().text()
    moved.rename(source)
    drive.settle()
    drive.finish()
    assert not drive.panel.error.isVisibleTo(drive.dock)
