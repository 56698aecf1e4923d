"""Promises of gap proposals, inside a volume and across the blocks of one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.proofreading.tools import VESSEL, ProposalsFound, gap_proposals, walk_gaps
from napari_vesselkd.proofreading.tools.gap_score import GapFeatures, belief
from napari_vesselkd.proofreading.tools.gap_search import scene_of
from napari_vesselkd.proofreading.tools.gaps import gap_candidates, without_conflicts
from napari_vesselkd.reports import Progress
from tubes import Counting, picture, tube_mask

ALL = np.ones((3, 3, 3), bool)
ONE = (1.0, 1.0, 1.0)
SIZES = [ONE, (3.0, 1.0, 1.0), (2.0, 0.7, 0.7)]


def applied(mask, changes):
    after = mask.copy()
    for change in changes:
        assert change.value == VESSEL and not mask[change.voxels].any()
        after[change.voxels] = True
    return after


def broken(size=ONE, start=55, stop=63, radius=3.3):
    """Return a vessel through the volume, and the same with a gap."""
    truth = tube_mask((25, 50, 120), (12, 25, -9), (12, 25, 129), radius, size)
    mask = truth.copy()
    mask[:, :, start:stop] = False
    return truth, mask


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_image", [True, False])
def test_a_gap_between_two_ends_is_found_and_closed(size, with_image):
    truth, mask = broken(size, 57, 62)
    (gap,) = gap_proposals(mask, size, image=picture(truth) if with_image else None)
    after = applied(mask, [gap])
    assert ndimage.label(after, ALL)[1] == 1
    assert gap.score > 0.5 and gap.tool == "gap" and "another end" in gap.reason
    assert abs(gap.points[0][2] - gap.points[-1][2]) == pytest.approx(6, abs=2)


def test_a_gap_to_the_side_of_a_vessel_is_found():
    trunk = tube_mask((31, 60, 120), (15, 15, -9), (15, 15, 129), 5.0)
    branch = tube_mask(trunk.shape, (15, 15, 60), (15, 70, 60), 2.5)
    mask = trunk | branch
    mask[:, 21:28] = False
    (gap,) = gap_proposals(mask, ONE, image=picture(trunk | branch))
    assert "side of a vessel" in gap.reason
    assert ndimage.label(applied(mask, [gap]), ALL)[1] == 1


def test_what_the_image_denies_is_less_likely_than_what_it_shows():
    truth, mask = broken()
    seen, denied = (gap_candidates(mask, ONE, image=picture(one)) for one in (truth, mask))
    assert max(one.score for one in seen) > 0.8 > 0.5 > max(one.score for one in denied)


def test_vessels_that_leave_the_volume_and_whole_ones_have_no_gap():
    truth, _ = broken()
    assert gap_proposals(truth, ONE, image=picture(truth), least_score=0.0) == ()
    assert gap_proposals(np.zeros((5, 6, 7), bool), ONE) == ()
    beside = truth | np.roll(truth, 12, axis=1)  # two neighbours, nothing missing
    assert gap_proposals(beside, ONE, image=picture(beside), least_score=0.0) == ()


def test_no_end_is_used_twice():
    truth, mask = broken()
    mask |= tube_mask(mask.shape, (12, 29, 66), (12, 40, 90), 2.5)  # a rival for one of the ends
    candidates = gap_candidates(mask, ONE, image=picture(truth | mask))
    kept = without_conflicts(candidates, ONE)
    ends = [end.node for one in kept for end in (one.end, one.other) if end is not None]
    assert len(ends) == len(set(ends)) and len(kept) < len(candidates)
    assert kept[0].score == max(one.score for one in candidates)


def test_gaps_longer_than_asked_for_are_left_alone():
    truth, mask = broken()
    assert gap_proposals(mask, ONE, image=picture(truth), most_um=5.0) == ()


def test_every_feature_is_what_its_name_says():
    truth, mask = broken()
    best = max(gap_candidates(mask, ONE, image=picture(truth)), key=lambda one: one.score).features
    assert best.here > 0.95 and best.there > 0.95 and best.side == 0
    assert best.straight == pytest.approx(1) and best.apart == 1
    assert best.voxels == pytest.approx(np.log1p(9), abs=0.2)
    assert best.mean > 0.8 and best.contrast > 0.5 and best.distinct > 1
    assert best.core == pytest.approx(1, abs=0.1) and best.weakest > 0.8 and best.clear > best.distinct
    assert best.behind > 2 and best.beyond == pytest.approx(1, abs=0.1)
    assert best.stub == 0 and best.border < 0.01 and best.radius == pytest.approx(np.log(3), abs=0.2)
    unseen = GapFeatures.of([*best.as_array()[:12], *np.zeros(9)])
    assert belief(unseen, seen=True) < belief(best, seen=True)
    assert belief(unseen, seen=False) == belief(best, seen=False)  # without an image it is not looked at


def test_how_like_the_vessel_on_the_other_side_is():
    truth, mask = broken()
    half = picture(truth).copy()
    half[:, :, 60:] = half.min() + (half[:, :, 60:] - half.min()) / 2  # the other side is half as bright
    found = sorted(one.features.beyond for one in gap_candidates(mask, ONE, image=half))
    assert 0.3 < found[0] < 0.6  # seen from the bright side
    assert found[-1] == pytest.approx(2, abs=0.2)  # and from the dark one


def test_a_stub_that_is_hardly_more_than_a_bump_can_be_one_side_of_a_gap():
    trunk = tube_mask((31, 70, 120), (15, 12, -9), (15, 12, 129), 5.0)
    branch = tube_mask(trunk.shape, (15, 12, 60), (15, 80, 60), 2.5)
    mask = trunk | branch
    mask[:, 21:30] = False
    mask[:, 17:21] |= branch[:, 17:21]  # 4 voxels of the branch still stick out of the trunk
    graph = scene_of(mask, ONE, Region.whole(mask.shape), image=None, probability=None)
    assert len(graph.stubs) >= 1
    stubs = [one for one in gap_candidates(mask, ONE, image=picture(trunk | branch)) if one.features.stub]
    assert stubs
    (gap,) = gap_proposals(mask, ONE, image=picture(trunk | branch))
    assert ndimage.label(applied(mask, [gap]), ALL)[1] == 1


@pytest.mark.parametrize("block", [(25, 50, 40), (13, 25, 59), (25, 50, 500)])
def test_gaps_across_the_seams_of_blocks_are_found_once(block):
    truth, mask = broken()
    whole = gap_proposals(mask, ONE, image=picture(truth))
    reports = list(walk_gaps(mask, ONE, image=picture(truth), block=block, most_um=15.0))
    found = [one for report in reports if isinstance(report, ProposalsFound) for one in report.proposals]
    assert len(found) == len(whole) == 1
    assert ndimage.label(applied(mask, found), ALL)[1] == 1
    done = [report for report in reports if isinstance(report, Progress)]
    assert [one.done for one in done] == list(range(1, done[-1].total + 1))


def test_a_walk_reads_a_block_and_its_halo_at_a_time_and_can_be_stopped():
    _, mask = broken()
    source = Counting(mask)
    walk = walk_gaps(source, ONE, block=(25, 50, 20), most_um=6.0)
    next(walk)
    walk.close()
    assert source.voxels <= 2 * 25 * 50 * 32


def test_a_region_has_its_own_ends_and_bad_input_is_refused():
    truth, mask = broken()
    part = Region((0, 0, 30), (25, 50, 90))
    (gap,) = gap_proposals(mask, ONE, image=picture(truth), region=part)
    assert part.contains(gap.region) and ndimage.label(applied(mask, [gap]), ALL)[1] == 1
    with pytest.raises(RegionError):
        gap_proposals(mask, ONE, region=Region((0, 0, 0), (25, 50, 121)))
    with pytest.raises(InvalidInputError):
        gap_proposals(mask, ONE, image=np.zeros((3, 3, 3)))
    for wrong in ({"block": (0, 5, 5)}, {"most_um": 0.0}, {"most_um": np.inf}):
        with pytest.raises(InvalidInputError):
            walk_gaps(mask, ONE, **wrong)
