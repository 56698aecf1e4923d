"""What the Correct tab and the project bar say, without a window."""

from dataclasses import replace
from pathlib import Path

import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.correct_state import HELD_OUT, Here, Review, Work, draw_correct, region_around
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.project_state import ProjectView, draw_bar, proposed_path, with_ending
from napari_vesselkd.project import BlockState, ReviewBlock
from napari_vesselkd.proofreading import Candidate

REGION = Region((0, 0, 0), (32, 64, 64))
HERE = Here(REGION)
WORK = Work(number=3, region=REGION)
FULL = Failure("The disk is full.", "Free some space", "", expected=True)


def candidate(state=None, *, number=1, held_out=False, uncertainty=0.5, y=0):
    region = REGION.shifted((0, y, 0))
    block = None if state is None else ReviewBlock(number, region, state, held_out, 10, 20)
    return Candidate(region, uncertainty, block)


def buttons(picture):
    names = ("previous", "next", "open", "edit", "undo", "redo", "accept", "skip")
    return [getattr(picture, name) for name in names]


@pytest.mark.parametrize(
    "locked", ["No project is open: press New… or Open… above the tabs", "The project is read-only here"]
)
def test_without_a_writable_project_every_button_says_why(locked):
    picture = draw_correct(Review((candidate(),)), HERE, None, locked=locked)
    assert not any(button.enabled for button in buttons(picture))
    assert {button.tooltip for button in buttons(picture)} == {locked}


def test_what_cannot_be_saved_keeps_the_block_and_leaves_undo():
    work = replace(WORK, failure=FULL, can_undo=True)
    picture = draw_correct(Review((candidate(),)), HERE, work)
    assert not picture.accept.enabled
    assert not picture.next.enabled
    assert not picture.edit.enabled
    assert picture.undo.enabled
    assert picture.failure is FULL
    assert "not saved" in picture.accept.tooltip


def test_rows_say_state_place_and_uncertainty_and_why_blocks_are_held_out():
    review = Review(
        (
            candidate(BlockState.ACCEPTED, number=1, held_out=True),
            candidate(BlockState.OPEN, number=2, y=64),
            candidate(BlockState.SKIPPED, number=4, y=128, uncertainty=None),
            candidate(y=192),
        )
    )
    picture = draw_correct(review, HERE, None)
    assert [row.state for row in picture.rows] == ["held out", "open", "skipped", "new"]
    assert [row.why for row in picture.rows] == ["0.50", "0.50", "", "0.50"]
    assert picture.rows[1].place == "0 · 64 · 0"
    assert picture.held_out == HELD_OUT
    assert picture.summary == "2 of 4 done: 1 accepted (1 held out), 1 skipped · 1 open"


def test_an_accepted_block_is_reopened_and_an_unlabelled_one_cannot_be_accepted():
    review = Review((candidate(BlockState.ACCEPTED),), selected=0)
    picture = draw_correct(review, HERE, replace(WORK, labelled=False))
    assert picture.open.text == "Reopen"
    assert "labelled" in picture.accept.tooltip
    assert not picture.next.enabled
    assert "No block is left" in picture.next.tooltip


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (Here(None, drawn=True), "box is empty"),
        (Here(None), "outside the volume"),
        (Here(Region((0, 0, 0), (300, 300, 300))), "too many"),
    ],
)
def test_a_region_that_cannot_be_edited_says_why(here, said):
    picture = draw_correct(Review(), here, None)
    assert said in picture.here
    assert picture.here_is_problem
    assert not picture.edit.enabled


def test_a_region_is_clipped_at_the_border():
    assert region_around((0, 50, 95), 64, (24, 96, 96)) == Region((0, 18, 63), (24, 82, 96))
    assert region_around((0, 500, 0), 64, (24, 96, 96)) is None


def test_the_bar_names_project_image_and_state():
    view = ProjectView(path=Path("/data/brain.vesselkd"), image="brain", accepted=3, open_blocks=1)
    picture = draw_bar(view)
    assert (picture.title, picture.fact) == ("brain", "brain · 3 accepted, 1 open")
    picture = draw_bar(replace(view, read_only=True, checkpoint="brain-2"))
    assert "read-only" in picture.fact
    assert "model brain-2" in picture.fact
    assert draw_bar(replace(view, image_missing=True, failure=FULL)).find_visible


def test_the_bar_says_under_whose_name_one_works():
    view = ProjectView(path=Path("/data/brain.vesselkd"), image="brain", reviewer="Anna")
    assert (draw_bar(view).reviewer.text, draw_bar(view).reviewer.enabled) == ("as Anna", True)
    locked = draw_bar(replace(view, read_only=True)).reviewer
    assert not locked.enabled and "read-only" in locked.tooltip
    assert draw_bar(ProjectView()).reviewer is None


def test_new_needs_an_image_and_proposes_a_place_beside_it(tmp_path):
    assert not draw_bar(ProjectView()).new.enabled
    assert draw_bar(ProjectView(layer_name="brain")).new.enabled
    assert proposed_path("brain", tmp_path / "brain.ome.zarr") == tmp_path / "brain.vesselkd"
    assert proposed_path("a/b", None).name == "a-b.vesselkd"
    assert with_ending("x").name == "x.vesselkd"
    assert with_ending("x.vesselkd").name == "x.vesselkd"
