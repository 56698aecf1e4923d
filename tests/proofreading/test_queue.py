"""Promises of the list of blocks to review."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.project import BlockState
from napari_vesselkd.proofreading import next_candidate, review_list
from projects import CELL, accepted, give_labels, new_project, write_image

SHAPE = (40, 300, 70)


@pytest.fixture(scope="module")
def image_path(tmp_path_factory):
    return write_image(tmp_path_factory.mktemp("image") / "brain.ome.zarr", shape=SHAPE)


@pytest.fixture
def project(tmp_path, image_path):
    with new_project(tmp_path / "a.vesselkd", image_path) as project:
        yield project


def test_nothing_segmented_is_an_empty_list_and_begun_blocks_are_in_it(project):
    assert review_list(project) == ()
    project.edit(Region((0, 0, 0), (8, 8, 8)))
    (only,) = review_list(project)
    assert (only.block, only.uncertainty) == (project.block(1), None)


def test_blocks_cover_the_volume_clipped_at_its_border_the_most_uncertain_first(project):
    give_labels(project)
    found = review_list(project, side=32)
    assert sum(one.region.size for one in found) == np.prod(SHAPE)
    covered = np.zeros(SHAPE, np.uint8)
    for one in found:
        covered[one.region.slices] += 1
    assert (covered == 1).all()
    values = [one.uncertainty for one in found]
    assert values == sorted(values, reverse=True)
    record = project.labels_record
    for one in found:
        cells = record.uncertainty[record.cells(one.region).slices]
        assert one.uncertainty == pytest.approx(float(cells.mean()))


def test_the_count_keeps_the_first_and_the_blocks_that_were_begun(project):
    give_labels(project)
    everything = review_list(project, side=32)
    assert review_list(project, side=32, count=7) == everything[:7]
    last = everything[-1].region
    number, _ = accepted(project, last)
    found = review_list(project, side=32, count=7)
    assert [one.region for one in found] == [*(one.region for one in everything[:6]), last]
    assert found[-1].block == project.block(number)


def test_begun_blocks_take_the_place_of_those_of_the_grid_that_they_cover(project):
    give_labels(project)
    regions = [one.region for one in review_list(project, side=32)]
    accepted(project, regions[3])
    accepted(project, Region((0, 100, 0), (32, 140, 40)))
    found = review_list(project, side=32)
    assert sorted(one.block.number for one in found if one.block) == [1, 2]
    assert len([one for one in found if one.region == regions[3]]) == 1
    left_out = {str(one) for one in regions} - {str(one.region) for one in found}
    assert left_out == {"0:32,96:128,0:32"}


def test_a_random_order_is_the_same_for_the_same_seed(project):
    give_labels(project)
    one, again, other = (review_list(project, side=32, order="random", seed=seed) for seed in (1, 1, 2))
    assert one == again != other
    assert set(one) == set(other) == set(review_list(project, side=32))


def test_only_what_is_segmented_is_listed_and_unknown_uncertainty_comes_last(project):
    give_labels(project)
    record = project.labels_record
    record.forget(Region((0, 0, 0), (40, 150, 70)))
    record.uncertainty[:, -3:] = np.nan
    found = review_list(project, side=64)
    assert min(one.region.start[1] for one in found) == 160
    assert found[-1].uncertainty is None
    assert all(one.region.stop[1] <= SHAPE[1] for one in found)


def test_the_thin_rest_of_a_region_is_not_worth_a_block(project):
    give_labels(project)
    record = project.labels_record
    record.forget(Region((0, 0, 0), (40, 288, 70)))
    assert record.shown_box(Region.whole(SHAPE)) == Region((0, 288, 0), SHAPE)
    assert review_list(project, side=128) == ()


def test_no_voxel_is_read(project, monkeypatch):
    give_labels(project)
    accepted(project, Region((0, 0, 0), (16, 16, 16)))
    monkeypatch.setattr(LabelStore, "read", lambda *_: pytest.fail("a voxel was read"))
    assert len(review_list(project, side=32)) > 10


def test_next_and_previous_pass_over_what_is_accepted_or_skipped(project):
    give_labels(project)
    regions = [one.region for one in review_list(project, side=32)]
    accepted(project, regions[1])
    project.skip(project.edit(regions[2]).number)
    project.edit(regions[3])
    found = review_list(project, side=32)
    assert next_candidate(found, None).region == regions[0]
    assert next_candidate(found, regions[0]).region == regions[3]
    assert next_candidate(found, regions[0]).block.state is BlockState.OPEN
    assert next_candidate(found, regions[3], back=True).region == regions[0]
    assert next_candidate(found, regions[0], back=True) is None
    assert next_candidate(found, regions[-1]) is None
    assert next_candidate(found, Region((0, 0, 0), (1, 1, 1))).region == regions[0]
    assert next_candidate((), None) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"order": "size"}, "uncertainty, random"),
        ({"side": 0}, "side of the list"),
        ({"count": 0}, "count of the list"),
    ],
)
def test_bad_settings_are_refused(project, options, told):
    with pytest.raises(InvalidInputError, match=told):
        review_list(project, **options)


def test_sides_that_are_no_multiples_of_the_cells_are_fine(project):
    give_labels(project)
    assert CELL == (16, 16, 32)
    found = review_list(project, side=50)
    assert sum(one.region.size for one in found) == np.prod(SHAPE)
