"""Promises of what the shape of the vessels in a block says."""

import numpy as np
import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.proofreading.queue_lines import line_difference, line_doubt
from napari_vesselkd.proofreading.queue_topology import Topology, topology
from tubes import picture, tube_mask

ONE = (1.0, 1.0, 1.0)
SHAPE = (24, 64, 128)
BLOCK = Region((0, 0, 32), (24, 64, 96))


def through(radius=3.0):
    return tube_mask(SHAPE, (12, 32, -9), (12, 32, 140), radius)


def test_a_vessel_that_goes_through_the_block_has_nothing_to_say():
    found = topology(through(), ONE, BLOCK)
    assert (found.ends, found.pieces, found.jumps, found.gaps) == (0, 0, 0, 0)
    assert found.length_um == pytest.approx(64, rel=0.05)


def test_an_empty_block_has_nothing_to_say():
    assert topology(np.zeros(SHAPE, bool), ONE, BLOCK) == Topology()


def test_a_gap_is_two_ends_and_a_likely_gap():
    truth = through()
    mask = truth.copy()
    mask[:, :, 60:66] = False
    found = topology(mask, ONE, BLOCK, image=picture(truth))
    assert (found.ends, found.gaps, found.pieces) == (2, 1, 0)
    assert found.count == 3


def test_an_end_belongs_to_the_block_that_it_lies_in():
    mask = through()
    mask[:, :, 100:] = False
    assert topology(mask, ONE, BLOCK).ends == 0
    assert topology(mask, ONE, Region((0, 0, 64), (24, 64, 128))).ends == 1


def test_a_loose_piece_is_counted_once_and_not_by_its_neighbours():
    mask = through()
    mask[4:7, 8:11, 50:54] = True
    assert topology(mask, ONE, BLOCK).pieces == 1
    assert topology(mask, ONE, Region((0, 0, 64), (24, 64, 128))).pieces == 0


def test_a_vessel_that_swells_at_once_is_a_jump_and_one_that_tapers_is_none():
    jump = tube_mask(SHAPE, (12, 32, -20), (12, 32, 64), 2.0) | tube_mask(
        SHAPE, (12, 32, 64), (12, 32, 150), 8.0
    )
    assert topology(jump, ONE, BLOCK).jumps >= 1
    taper = np.zeros(SHAPE, bool)
    for x in range(SHAPE[2]):
        z, y = np.ogrid[:24, :64]
        taper[:, :, x] = (z - 12) ** 2 + (y - 32) ** 2 <= (2 + 6 * x / 128) ** 2
    assert topology(taper, ONE, BLOCK).jumps == 0


def test_where_lines_are_sure_or_absent_there_is_no_doubt():
    mask = through()
    probability = np.where(mask, np.float32(1), np.float32(0))
    assert line_doubt(probability, 0.5).sum() == 0


def test_the_doubt_of_a_line_is_the_chance_that_it_is_none_and_of_a_faint_one_that_it_is():
    sure, faint = through(), tube_mask(SHAPE, (12, 10, -9), (12, 10, 140), 2.0)
    probability = np.where(sure, np.float32(0.7), np.where(faint, np.float32(0.3), np.float32(0)))
    doubt = line_doubt(probability, 0.5)
    length = skeleton(sure).sum(), skeleton(faint).sum()
    assert doubt[:, 20:].sum() == pytest.approx(0.3 * length[0], rel=0.05)
    assert doubt[:, :20].sum() == pytest.approx(0.3 * length[1], rel=0.15)
    said = np.where(sure, np.float32(0.9), probability)
    assert line_doubt(probability, 0.5, said)[:, 20:].sum() == pytest.approx(0.1 * length[0], rel=0.05)


def test_the_difference_of_two_masks_is_counted_on_centrelines_not_on_walls():
    thin, thick = through(2.0), through(4.0)
    assert line_difference(thin, thick).sum() == 0
    broken = thin.copy()
    broken[:, :, 50:60] = False
    assert line_difference(thin, broken).sum() == line_difference(broken, thin).sum()
    assert line_difference(thin, broken).sum() == pytest.approx(10, abs=1)
