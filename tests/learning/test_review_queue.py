"""Promises of keeping the review queue up to date, on a real project segmented by a real student."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import SegmentConfig, segment, segment_project
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.learning import BlockLookedAt, QueueReady, update_queue
from napari_vesselkd.learning.review_queue import TEACHER
from napari_vesselkd.learning.second_look import SecondLook
from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.proofreading import review_by_worth
from napari_vesselkd.proofreading.queue_findings import FILE, QueueFile
from napari_vesselkd.reports import Notice
from projects import new_project

SHAPE = (24, 128, 128)
SIDE = 64
FAST = SegmentConfig(device="cpu", threads=1)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(PhantomConfig(shape=SHAPE, seed=1_000_001, voxel_size_um=(4.0, 1.0, 1.0)))


@pytest.fixture(scope="module")
def segmented(tmp_path_factory, phantom):
    """Return a folder with an image and a project of it that is segmented."""
    folder = tmp_path_factory.mktemp("queue")
    write_phantom(phantom, folder)
    with new_project(folder / "a.vesselkd", folder / "image.ome.zarr") as project:
        for _ in segment_project(project, FAST):
            pass
    return folder


@pytest.fixture
def project(tmp_path, segmented):
    shutil.copytree(segmented / "a.vesselkd", tmp_path / "a.vesselkd")
    with Project.open(tmp_path / "a.vesselkd") as project:
        yield project


def run(project, **options):
    return list(update_queue(project, side=SIDE, **options))


def kept(project):
    return QueueFile.load(project.path, project.id, SIDE)


def accept_truth(project, phantom, region):
    edit = project.edit(region)
    edit.record((1 + phantom.label[edit.region.slices]).astype(np.uint8))
    return project.accept(edit.number)


def test_every_block_is_looked_at_once_and_a_second_run_reads_nothing(project):
    *blocks, ready = run(project)
    assert [type(one) for one in blocks] == [BlockLookedAt] * 4
    assert [one.done for one in blocks] == [1, 2, 3, 4] and blocks[-1].total == 4
    assert ready == QueueReady(4, 4, None)
    found = kept(project).findings
    assert len(found) == 4 and all(len(one.look) == 8 and one.topology for one in found)
    assert all(one.doubt is not None and one.doubt > 0 and one.flips is not None for one in found)
    assert run(project) == [QueueReady(4, 0, None)]


def test_closing_keeps_what_was_found_and_the_next_run_goes_on_there(project):
    reports = update_queue(project, side=SIDE)
    first = next(reports)
    reports.close()
    assert [one.region for one in kept(project).findings] == [first.found.region]
    *blocks, ready = run(project)
    assert len(blocks) == 3 and blocks[0].done == 2 and blocks[0].resumed == 1
    assert (ready.blocks, ready.looked_at) == (4, 3)


def test_the_queue_survives_closing_and_opening(project):
    run(project)
    before = review_by_worth(project, side=SIDE)
    path = project.path
    project.close()
    with Project.open(path) as again:
        assert review_by_worth(again, side=SIDE) == before
        assert run(again) == [QueueReady(4, 0, None)]


def test_only_blocks_that_were_segmented_anew_are_looked_at_again(project):
    run(project)
    record = project.labels_record
    region = Region((0, 0, 0), (24, 32, 32))
    record.forget(region)
    for _ in segment_project(project, replace(FAST, threshold=0.9)):
        pass
    assert run(project)[-1].looked_at == 4  # another threshold is another segmentation
    record = project.labels_record
    labels = project.labels.read(region)
    labels[:] = 1
    project.labels.write(region, labels)
    record.recount(region, project.labels.read)
    assert run(project)[-1].looked_at == 1


def test_a_correction_asks_for_another_look_at_its_block_alone(project, phantom):
    run(project)
    accept_truth(project, phantom, Region((0, 0, 0), (24, 64, 64)))
    *blocks, ready = run(project)
    assert ready.looked_at == 1
    assert blocks[0].found.region == Region((0, 0, 0), (24, 64, 64))


def test_what_is_done_comes_last_and_the_rest_has_worth(project, phantom):
    run(project)
    first = review_by_worth(project, side=SIDE)[0]
    accept_truth(project, phantom, first.region)
    listed = review_by_worth(project, side=SIDE)
    assert listed[-1].region == first.region and listed[-1].block.state is BlockState.ACCEPTED
    assert len(listed) == 4 and all(one.worth is not None and one.worth > 0 for one in listed[:-1])
    assert sum(one.stands_for for one in listed[:-1]) <= 1 + 1e-9


def test_mip_annotations_are_no_blocks_of_the_list(project):
    project.edit_mip(Region((0, 0, 0), (24, 64, 64)), 0)
    assert all(one.block is None for one in review_by_worth(project, side=SIDE))


def test_held_out_corrections_calibrate_and_another_held_out_block_calibrates_anew(project, phantom):
    corners = [Region((0, y, x), (24, y + 64, x + 64)) for y in (0, 64) for x in (0, 64)]
    blocks = [accept_truth(project, phantom, region) for region in corners[:3]]
    held = sum(one.held_out for one in blocks)
    assert held == 1
    curve = run(project)[-1].reliability
    assert curve.blocks == 1 and curve.voxels > 10_000
    assert curve.error_after <= curve.error_before + 0.01
    assert kept(project).reliability == curve
    assert run(project) == [QueueReady(4, 0, curve)]


def test_the_second_look_says_what_the_segmentation_said(project):
    with project.open_image() as volume:
        look = SecondLook.of(project, volume)
        region = Region((0, 0, 0), (24, 64, 64))
        found = 1 / (1 + np.exp(-look.logits(region))) >= look.threshold
        differ = (found != project.labels.read(region)).mean()
        assert differ < 0.02  # less context than a segmentation has, other rounding
        mirrored = 1 / (1 + np.exp(-look.logits(region, (2,)))) >= look.threshold
        assert 0 < (mirrored != found).mean() < 0.1  # turned back, else it would be far more
        assert look.forwards == 2


def test_a_teachers_labels_say_where_it_differs(project, segmented):
    output = project.path / TEACHER
    with project.open_image() as volume:
        for _ in segment(volume, output, FAST):
            pass
    assert [one.teacher for one in kept_after(project)] == [0, 0, 0, 0]  # the student itself: no difference
    store, record = LabelStore.open(output), RunRecord.open(output)
    region = Region((0, 0, 0), (24, 64, 64))
    store.write(region, np.zeros(region.shape, np.uint8))
    record.recount(region, store.read)
    found = {one.region: one.teacher for one in kept_after(project)}
    assert found[region] > 0 and sum(value > 0 for value in found.values()) == 1


def kept_after(project):
    run(project)
    return kept(project).findings


def test_labels_of_another_image_beside_the_project_are_no_teacher(project, segmented):
    output = project.path / TEACHER
    with project.open_image() as volume:
        for _ in segment(volume, output, FAST):
            pass
    run_json = output / ".vesselkd" / "run.json"
    values = json.loads(run_json.read_text())
    values["fingerprint"]["volume"] = "another"
    run_json.write_text(json.dumps(values))
    assert [one.teacher for one in kept_after(project)] == [None] * 4


def test_without_the_checkpoint_the_labels_alone_are_looked_at(project):
    record = project.labels_record
    fingerprint = {**record.fingerprint, "checkpoint": "gone"}
    record.save(fingerprint=fingerprint)
    found = kept_after(project)
    assert all(one.doubt is None and one.flips is None and one.topology for one in found)
    assert len(review_by_worth(project, side=SIDE)) == 4


def test_a_read_only_project_gets_reports_and_no_file(project):
    with Project.open(project.path, write=False) as reader:
        assert run(reader)[-1].looked_at == 4
    assert not (project.path / FILE).exists()


def test_a_damaged_chunk_of_labels_leaves_out_one_block(project):
    chunks = [
        file for file in (project.labels_path / "0").rglob("*") if file.is_file() and "zarr" not in file.name
    ]
    assert chunks
    for file in chunks:
        file.write_bytes(b"x")
    reports = run(project)
    assert any(isinstance(one, Notice) and "cannot be looked at" in one.text for one in reports)
    assert isinstance(reports[-1], QueueReady)


def test_a_project_without_labels_has_an_empty_queue(tmp_path, segmented):
    with new_project(tmp_path / "b.vesselkd", segmented / "image.ome.zarr") as project:
        assert run(project) == [QueueReady(0, 0, None)]
        assert review_by_worth(project, side=SIDE) == ()
