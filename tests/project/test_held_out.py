"""Promises of the rule that keeps blocks for the gate."""

from __future__ import annotations

import uuid

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project
from napari_vesselkd.project.held_out import drawn, side
from napari_vesselkd.project.state import Entry, ReviewBlock
from projects import accepted, new_project


def test_one_of_the_second_and_third_then_one_of_each_four():
    for seed in range(200):
        held = [drawn(str(seed), rank) for rank in range(1, 44)]
        assert not held[0]
        assert sum(held[:3]) == 1
        assert all(sum(held[low : low + 4]) == 1 for low in range(3, 43, 4))


def test_every_place_is_drawn_about_equally_often():
    projects = [uuid.UUID(int=number).hex for number in range(2000)]
    share = np.array([[drawn(one, rank) for rank in range(1, 12)] for one in projects]).mean(axis=0)
    np.testing.assert_allclose(share, [0, 0.5, 0.5] + [0.25] * 8, atol=0.05)


def test_the_same_project_draws_the_same():
    assert [drawn("a", rank) for rank in range(1, 30)] == [drawn("a", rank) for rank in range(1, 30)]
    assert len({tuple(drawn(str(seed), rank) for rank in range(1, 20)) for seed in range(30)}) > 20


def entry(start, stop, held_out):
    return Entry(ReviewBlock(1, Region(start, stop), held_out=held_out), mark=1, turn=1, rank=1)


def test_an_overlapping_block_takes_the_side_with_which_it_shares_most():
    held = entry((0, 0, 0), (10, 10, 10), True)
    train = entry((0, 0, 10), (10, 10, 20), False)
    assert side("p", Region((0, 0, 6), (10, 10, 12)), [held, train], 2) == (True, -1)
    assert side("p", Region((0, 0, 8), (10, 10, 14)), [held, train], 2) == (False, -1)
    assert side("p", Region((0, 0, 20), (10, 10, 30)), [held, train], 2) == (drawn("p", 2), 2)


def test_a_project_holds_out_by_order_of_first_acceptance_and_for_ever(tmp_path, image_path):
    with new_project(tmp_path / "a.vesselkd", image_path) as project:
        regions = [Region((0, 20 * i, 0), (8, 20 * i + 8, 8)) for i in range(11)]
        for i in (4, 1, 0, 2, 3, *range(5, 11)):
            accepted(project, regions[i])
        expected = [drawn(project.id, rank) for rank in range(1, 12)]
        assert [block.held_out for block in project.blocks] == expected
        held = {block.number for block in project.held_out_blocks}
        assert len(held) == 3
        assert len(project.training_blocks) == 8
        for number in (1, *held):
            project.skip(number)
        assert project.held_out_blocks == ()
        for number in (*held, 1):
            project.edit_block(number)
            project.accept(number)
    with Project.open(tmp_path / "a.vesselkd") as project:
        assert {block.number for block in project.held_out_blocks} == held
        number, _ = accepted(
            project, regions[0].expanded((0, 0, 4)).intersection(Region.whole((40, 300, 70)))
        )
        first = next(block for block in project.blocks if block.region == regions[0])
        assert project.block(number).held_out == first.held_out
