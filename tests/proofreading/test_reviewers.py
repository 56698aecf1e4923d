"""Promises of two reviewers of one block: as each left it, where they differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from correcting import give_labels
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import BlockEdit
from napari_vesselkd.labels.ledger import Ledger
from napari_vesselkd.measure import Overlap
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.reviewers import Reviewed, began, compare, reviews_in, reviews_of
from napari_vesselkd.volume import open_volume, write_multiscale
from tubes import tube_mask

REGION = Region((4, 8, 16), (25, 58, 136))


def two_people(tmp_path):
    """Return the journal of a block that anna began and ben went on with, and what each left."""
    start = np.ones(REGION.shape, np.uint8)
    path, left = tmp_path / "000001.jsonl", {}
    edit = BlockEdit.begin(path, number=1, region=REGION, start=start, identity={})
    for who, box, value in (
        ("anna", Region((0, 0, 0), (4, 9, 9)), 2),
        ("anna", Region((9, 9, 9), (10, 20, 20)), 2),
        ("ben", Region((0, 0, 0), (2, 9, 9)), 1),
    ):
        ledger = Ledger(0)
        ledger.who = who
        edit.close()
        edit = BlockEdit.open(path, {}, ledger)
        edit.change(box, np.full(box.shape, value, np.uint8))
        left[who] = np.array(edit.voxels)
    edit.close()
    return path, start, left


def test_a_journal_gives_the_block_as_each_person_left_it(tmp_path):
    path, start, left = two_people(tmp_path)
    anna, ben = reviews_of(path)
    assert (anna.who, anna.strokes, ben.who, ben.strokes) == ("anna", 2, "ben", 1)
    assert anna.region == ben.region == REGION
    np.testing.assert_array_equal(anna.voxels, left["anna"])
    np.testing.assert_array_equal(ben.voxels, left["ben"])
    np.testing.assert_array_equal(began(path), start)
    assert (left["anna"] != left["ben"]).any()


def test_agreement_is_dice_and_cldice_where_both_have_labelled():
    vessel = tube_mask(REGION.shape, (12, 25, -9), (12, 25, 129), 4.3)
    first = np.where(vessel, 2, 1).astype(np.uint8)
    second = first.copy()
    second[:, :, 55:65] = 1  # a gap
    second[:3] = 0  # never looked at: says nothing
    first[:3] = 2
    found = compare(first, REGION, Reviewed("anna", REGION, second))
    where = second > 0
    assert found.dice == pytest.approx(Overlap.of((first == 2) & where, (second == 2) & where).dice)
    assert found.compared == where.sum() and found.only_second == 0
    assert found.only_first == (vessel & ~(second == 2) & where).sum() == (found.difference == 1).sum()
    assert found.cldice < 1 and found.largest is not None
    z, y, x = np.subtract(found.largest, REGION.start)
    assert found.difference[z, y, x] == 1 and 57 <= x <= 62 and abs(y - 25) <= 2


def test_two_blocks_are_compared_where_they_overlap():
    first, second = np.full((4, 4, 4), 2, np.uint8), np.full((4, 4, 4), 2, np.uint8)
    second[0, 0, 0] = 1
    here, there = Region((0, 0, 0), (4, 4, 4)), Region((2, 2, 2), (6, 6, 6))
    found = compare(first, here, Reviewed("anna", there, second))
    assert found.region == Region((2, 2, 2), (4, 4, 4)) and found.compared == 8
    assert (found.only_first, found.only_second, found.largest) == (1, 0, (2, 2, 2))
    with pytest.raises(InvalidInputError, match="no voxel in common"):
        compare(first, here, Reviewed("anna", Region((4, 0, 0), (8, 4, 4)), second))
    with pytest.raises(InvalidInputError, match="labelled by both"):
        compare(first * 0, here, Reviewed("anna", here, second))
    nothing = np.ones((4, 4, 4), np.uint8)
    agreed = compare(nothing, here, Reviewed("anna", here, nothing))
    assert math.isnan(agreed.dice) and math.isnan(agreed.cldice) and agreed.largest is None


def project_of(tmp_path, name, image):
    project = Project.create(tmp_path / name, open_volume(image))
    give_labels(project)
    return project


def test_a_second_reviewers_project_gives_its_accepted_blocks(tmp_path):
    voxels = np.random.default_rng(0).integers(90, 110, (24, 48, 64)).astype(np.uint16)
    write_multiscale(tmp_path / "a.ome.zarr", voxels, voxel_size_um=(2, 1, 1), chunk=(16, 32, 32))
    region, near = Region((0, 0, 0), (16, 32, 32)), Region((8, 8, 8), (24, 40, 40))
    with project_of(tmp_path, "anna.vesselkd", tmp_path / "a.ome.zarr") as anna:
        image = anna.image.signature
        with pytest.raises(InvalidInputError, match="accepted no block"):
            reviews_in(anna.path, region, image)
        edit = anna.edit(near)
        edit.change(Region((0, 0, 0), (2, 2, 2)), np.full((2, 2, 2), 2, np.uint8))
        painted = np.array(edit.voxels)
        anna.accept(edit.number)
    (found,) = reviews_in(tmp_path / "anna.vesselkd", region, image)
    assert found.region == near and found.who.endswith("in anna")
    np.testing.assert_array_equal(found.voxels, painted)
    with pytest.raises(InvalidInputError, match="another image"):
        reviews_in(tmp_path / "anna.vesselkd", region, "other")
