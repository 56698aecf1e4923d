"""Promises of segmenting into a project."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import (
    CheckpointNotFoundError,
    InvalidInputError,
    OutputBusyError,
    ProjectError,
    SourceNotFoundError,
)
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import BlockDone, SegmentConfig, SegmentFinished, segment, segment_project
from napari_vesselkd.inference.into_project import preflight_project
from napari_vesselkd.inference.uncertainty import entropy_sample
from napari_vesselkd.models import Student, StudentConfig, freeze_statistics
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import review_list
from napari_vesselkd.reports import Notice
from napari_vesselkd.volume import IntensityWindow, claim_output, open_volume
from projects import check_levels, new_project, paint, write_image
from segmenting import in_memory, labels_of, structured

SHAPE = (48, 96, 96)
WHOLE = Region.whole(SHAPE)
ONE = Region((0, 0, 0), (20, 30, 40))
FAST = SegmentConfig(device="cpu", precision="fp32", threads=1, block=32)


@pytest.fixture(scope="module")
def image_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(make_phantom(PhantomConfig(shape=SHAPE, seed=4)), folder)
    return folder / "image.ome.zarr"


@pytest.fixture
def project(tmp_path, image_path):
    with new_project(tmp_path / "a.vesselkd", image_path) as project:
        yield project


@pytest.fixture
def other(project, checkpoint):
    """Put a checkpoint with random weights into the project, promoted."""
    for ending in (".safetensors", ".json"):
        path = str(checkpoint).removesuffix(".safetensors") + ending
        shutil.copyfile(path, project.path / "checkpoints" / f"tiny{ending}")
    project.promote("tiny")
    return "tiny"


def predicted(project, **options):
    """Return what a plain segmentation gives."""
    config = replace(FAST, **options)
    with project.open_image() as volume:
        output = project.path.parent / f"plain{len(list(project.path.parent.iterdir()))}.ome.zarr"
        list(segment(volume, output, config))
    return labels_of(output)


def correct(project, region=ONE):
    """Accept a block in which everything is turned round."""
    edit = project.edit(region)
    new = 3 - np.maximum(edit.voxels, 1)
    edit.record(new)
    project.accept(edit.number)
    return new


def test_a_project_gets_the_labels_of_a_plain_segmentation(project):
    reports = list(segment_project(project, FAST))
    assert isinstance(reports[-1], SegmentFinished)
    np.testing.assert_array_equal(labels_of(project.labels_path), predicted(project))
    assert project.labels_record.is_done(WHOLE)
    again = list(segment_project(project, FAST))
    assert any(isinstance(report, Notice) and "finished already" in report.text for report in again)


def test_corrections_win_over_the_prediction_of_another_checkpoint(project, checkpoint):
    list(segment_project(project, FAST))
    before = project.labels.read(WHOLE)
    new = correct(project)
    np.testing.assert_array_equal(new == 2, before[ONE.slices] == 0)
    after = project.labels.read(WHOLE)
    np.testing.assert_array_equal(after[ONE.slices], new == 2)
    check_levels(project.labels)
    list(segment_project(project, replace(FAST, checkpoint=checkpoint)))
    expected = predicted(project, checkpoint=checkpoint)
    assert (expected != before).mean() > 0.05
    expected[ONE.slices] = new == 2
    np.testing.assert_array_equal(project.labels.read(WHOLE), expected)
    check_levels(project.labels)


def test_only_the_region_asked_for_is_computed_again_after_another_checkpoint(project, other, predictors):
    list(segment_project(project, replace(FAST, checkpoint="student-isotropic")))
    before = project.labels.read(WHOLE)
    bits = np.array(project.labels_record.uncertainty)
    predictors.clear()
    region = Region((0, 0, 0), (32, 32, 64))
    first = next(segment_project(project, replace(FAST, region=str(region))))
    config = replace(FAST, region=str(region))
    assert preflight_project(project, config).seconds == pytest.approx(first.seconds)
    reports = list(segment_project(project, config))
    assert sum(isinstance(report, BlockDone) for report in reports) == 2
    assert sum(predictor.forwards for predictor in predictors) == 2
    expected = before.copy()
    new = predicted(project, checkpoint=str(project.registry.get(other).path))
    expected[region.slices] = new[region.slices]
    np.testing.assert_array_equal(project.labels.read(WHOLE), expected)
    record = project.labels_record
    done = [record.missing(piece) is None for piece in WHOLE.pieces((32, 32, 32))]
    assert sum(done) == 2
    assert record.shown(WHOLE).all()
    assert not np.isnan(record.uncertainty).any()
    assert (record.uncertainty != bits).sum() == 2
    assert len(review_list(project, side=32)) == len(done)
    edit = project.edit(Region((32, 60, 60), (48, 90, 90)))
    np.testing.assert_array_equal(edit.voxels, before[edit.region.slices] + 1)


def test_another_threshold_computes_again_and_the_way_back_too(project):
    list(segment_project(project, FAST))
    first = project.labels.read(WHOLE)
    list(segment_project(project, replace(FAST, threshold=0.99)))
    assert (project.labels.read(WHOLE) < first).any()
    list(segment_project(project, FAST))
    np.testing.assert_array_equal(project.labels.read(WHOLE), first)


def test_the_checkpoint_in_use_is_taken_and_names_are_looked_up_in_the_project(project, other):
    reports = list(segment_project(project, FAST))
    assert reports[-1].checkpoint == "tiny"
    assert reports[0].checkpoint == preflight_project(project, FAST).checkpoint == "tiny"
    project.promote("auto")
    assert next(segment_project(project, FAST)).checkpoint.startswith("student")
    assert next(segment_project(project, replace(FAST, checkpoint="tiny"))).checkpoint == "tiny"
    with pytest.raises(CheckpointNotFoundError, match="nonsense"):
        next(segment_project(project, replace(FAST, checkpoint="nonsense")))


def test_a_checkpoint_in_use_that_is_gone_is_named(project, other):
    (project.path / "checkpoints" / "tiny.safetensors").unlink()
    with pytest.raises(CheckpointNotFoundError, match="tiny"):
        next(segment_project(project, FAST))


def test_uncertainty_is_there_for_segmented_cells_and_nan_elsewhere(project, predictors):
    region = Region((0, 32, 32), (32, 96, 96))
    list(segment_project(project, replace(FAST, region=str(region))))
    found = project.labels_record.uncertainty
    cells = project.labels_record.cells(region)
    inside = np.zeros(found.shape, bool)
    inside[cells.slices] = True
    np.testing.assert_array_equal(~np.isnan(found), inside)
    assert 0 <= np.nanmin(found) < np.nanmax(found) <= 1


@pytest.mark.parametrize("block", [32, 96])
def test_uncertainty_does_not_depend_on_the_blocks_or_on_memory(project, block, monkeypatch):
    list(segment_project(project, replace(FAST, block=64)))
    expected = np.array(project.labels_record.uncertainty)
    if block == 96:
        monkeypatch.setattr("napari_vesselkd.inference.blockwork.BlockWork.largest", 500_000, raising=False)
    list(segment_project(project, replace(FAST, block=block, restart=True)))
    np.testing.assert_allclose(project.labels_record.uncertainty, expected, atol=1e-4)


def test_uncertainty_is_the_entropy_of_the_probability(project, checkpoint):
    """Against the network run over the whole small volume at once."""
    list(segment_project(project, replace(FAST, checkpoint=checkpoint)))
    record = project.labels_record
    model, card = load_checkpoint(checkpoint)
    window = IntensityWindow(**record.values["window"])
    with project.open_image() as volume, torch.no_grad():
        voxels = torch.from_numpy(window.apply(volume.read(WHOLE)))[None, None]
        logits = model(voxels)[0, 0].numpy()
    assert isinstance(card, CheckpointCard)
    cell = Region((0, 0, 0), record.cell)
    assert float(record.uncertainty[0, 0, 0]) == pytest.approx(
        float(entropy_sample(logits[cell.slices], cell).mean()), abs=1e-3
    )


def test_a_block_accepted_while_a_segmentation_runs_is_in_the_labels_afterwards(project):
    expected = predicted(project)
    run = segment_project(project, FAST)
    new = None
    for report in run:
        if isinstance(report, BlockDone) and report.done == 2:
            edit = project.edit(ONE)
            assert edit.voxels.any()  # begins from what is done already
            new = paint(edit, Region((0, 0, 0), ONE.shape), 2)
            project.accept(edit.number)
            assert project.pending == (edit.number,)
            with pytest.raises(OutputBusyError), claim_output(project.labels_path):
                pass
    assert project.pending == ()
    expected[ONE.slices] = new == 2
    np.testing.assert_array_equal(project.labels.read(WHOLE), expected)
    check_levels(project.labels)


def test_a_cancelled_segmentation_shows_what_was_accepted_meanwhile_and_goes_on_later(project):
    expected = predicted(project)
    run = segment_project(project, FAST)
    while not isinstance(next(run), BlockDone):
        pass
    edit = project.edit(ONE)
    paint(edit, Region((0, 0, 0), ONE.shape), 2)
    project.accept(edit.number)
    run.close()
    assert project.pending == ()
    assert project.labels.read(ONE).all()
    reports = list(segment_project(project, FAST))
    assert reports[-1].resumed is False
    expected[ONE.slices] = 1
    np.testing.assert_array_equal(project.labels.read(WHOLE), expected)


def test_a_command_line_segments_while_a_viewer_holds_the_project_and_accepts(project):
    """In a process of its own, with blocks accepted here before and while it runs."""
    correct(project)
    code = """
        import sys
        from napari_vesselkd.inference import BlockDone, SegmentConfig, segment_project
        from napari_vesselkd.project import Project

        with Project.open(sys.argv[1]) as project:
            assert project.read_only
            config = SegmentConfig(device="cpu", precision="fp32", threads=1, block=32)
            for report in segment_project(project, config):
                if isinstance(report, BlockDone) and report.done == 2:
                    print("half", flush=True)
                    input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(project.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout.readline().strip() == "half"
        two = Region((20, 60, 60), (48, 96, 96))
        for region in (Region((0, 0, 40), (10, 10, 50)), two):
            edit = project.edit(region)
            paint(edit, Region((0, 0, 0), edit.region.shape), 2)
            project.accept(edit.number)
        assert project.pending != ()
        print(file=child.stdin, flush=True)
    assert child.returncode == 0
    labels = project.labels.read(WHOLE)
    corrections = project.corrected(WHOLE)
    np.testing.assert_array_equal(labels[corrections > 0], corrections[corrections > 0] - 1)
    assert labels[two.slices].all()
    assert project.apply_pending()
    np.testing.assert_array_equal(project.labels.read(WHOLE), labels)


def test_a_segmentation_waits_for_a_viewer_that_is_showing_a_correction(project, monkeypatch):
    held, free = threading.Event(), threading.Event()

    def hold():
        with claim_output(project.labels_path):
            held.set()
            free.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    monkeypatch.setattr("napari_vesselkd.inference.predict.PATIENCE", 0.0)
    with pytest.raises(OutputBusyError):
        next(segment_project(project, FAST))
    monkeypatch.setattr("napari_vesselkd.inference.predict.PATIENCE", 60.0)
    free.set()
    assert next(segment_project(project, FAST)).blocks > 1
    thread.join()


def test_a_withdrawn_correction_is_predicted_again_and_nothing_else(project, predictors):
    list(segment_project(project, FAST))
    before = project.labels.read(WHOLE)
    correct(project)
    project.skip(1)
    predictors.clear()
    list(segment_project(project, FAST))
    np.testing.assert_array_equal(project.labels.read(WHOLE), before)
    assert sum(predictor.forwards for predictor in predictors) <= 2


def test_labels_that_are_broken_are_begun_again_on_request(project):
    list(segment_project(project, FAST))
    before = project.labels.read(WHOLE)
    record = project.labels_path / ".vesselkd" / "run.json"
    record.write_text("{")
    list(segment_project(project, replace(FAST, restart=True)))
    np.testing.assert_array_equal(project.labels.read(WHOLE), before)


def test_a_checkpoint_with_other_cells_keeps_what_is_known_of_the_labels(project, tmp_path):
    model = Student(StudentConfig(widths=(4, 8), stem_stride=(2, 4, 6), strides=(2, 3))).eval()
    freeze_statistics(model, [torch.rand(1, 1, 24, 48, 72)])
    card = CheckpointCard(name="odd", description="other strides", config=model.config.to_dict())
    save_checkpoint(project.path / "checkpoints" / "odd.safetensors", model, card)
    list(segment_project(project, FAST))
    cell = project.labels_record.cell
    list(segment_project(project, replace(FAST, checkpoint="odd", region="0:32,0:32,0:32")))
    record = project.labels_record
    assert record.cell != cell
    assert record.shown(WHOLE).all()
    assert not np.isnan(record.uncertainty).any()
    assert json.loads((record.folder / "run.json").read_text())["generation"] == 1


def test_another_image_another_level_and_a_probability_are_refused(project, tmp_path):
    with pytest.raises(ProjectError, match="is not the image of this project"):
        next(segment_project(project, FAST, volume=in_memory(structured((10, 10, 10)))))
    other = write_image(tmp_path / "other.ome.zarr", shape=SHAPE)
    with open_volume(other) as volume, pytest.raises(ProjectError, match="is not the image"):
        next(segment_project(project, FAST, volume=volume))
    with pytest.raises(InvalidInputError, match="another level"):
        next(segment_project(project, replace(FAST, level=1)))
    with pytest.raises(InvalidInputError, match="no probability"):
        next(segment_project(project, replace(FAST, probability=True)))
    assert project.labels is None


def test_an_image_that_is_gone_is_asked_for(project, image_path, tmp_path):
    moved = tmp_path / "moved.ome.zarr"
    shutil.copytree(image_path, tmp_path / "image.ome.zarr")
    with new_project(tmp_path / "b.vesselkd", tmp_path / "image.ome.zarr") as other:
        (tmp_path / "image.ome.zarr").rename(moved)
        with pytest.raises(SourceNotFoundError, match="Say where it is now"):
            next(segment_project(other, FAST))
        with open_volume(moved) as volume:
            assert next(segment_project(other, FAST, volume=volume)).blocks > 1
    assert isinstance(project, Project)
