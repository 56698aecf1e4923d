"""What the Correct tab shows, computed without Qt.

`Review` is the list of blocks, `Work` the block that is open in the viewer, `Here` the region another block
would have; `draw_correct` turns them into a `CorrectPicture`, which the tab paints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.reviewing.rows import (
    HELD_OUT,
    Row,
    describe_block,
    is_held,
    progress_text,
    row_of,
)
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.project import BlockState
from napari_vesselkd.proofreading import Candidate

SIDE = 128
LARGEST = 256**3
COVERED = "While a block is open the prediction is hidden, so that what you erase is gone from sight too."


@dataclass(frozen=True)
class Review:
    """The list of blocks.

    Attributes
    ----------
    candidates : tuple of Candidate
    selected : int
        Row; -1 where none is.
    has_labels : bool
        Whether anything is segmented.
    """

    candidates: tuple[Candidate, ...] = ()
    selected: int = -1
    has_labels: bool = False


@dataclass(frozen=True)
class Work:
    """The block that is open in the viewer.

    Attributes
    ----------
    number : int
    region : Region
    labelled : bool
        Whether anything in it is labelled.
    painting : int
        The label that the tool in hand paints with.
    can_undo, can_redo : bool
    failure : Failure or None
        Why what is painted is not on the disk.
    notice : str
    """

    number: int
    region: Region
    labelled: bool = True
    painting: int = 2
    can_undo: bool = False
    can_redo: bool = False
    failure: Failure | None = None
    notice: str = ""


@dataclass(frozen=True)
class Here:
    """The region that "Edit this region" would open.

    Attributes
    ----------
    region : Region or None
        None where it is empty or outside the volume.
    drawn : bool
        A box, not what is amid the view.
    """

    region: Region | None = None
    drawn: bool = False


@dataclass(frozen=True)
class CorrectPicture:
    """Everything the tab paints."""

    locked: str
    rows: tuple[Row, ...]
    selected: int
    summary: str
    held_out: str
    list_hint: str
    previous: Button
    next: Button
    open: Button
    edit: Button
    here: str
    here_is_problem: bool
    block_title: str
    block_fact: str
    block_visible: bool
    tools_enabled: bool
    painting: int
    undo: Button
    redo: Button
    accept: Button
    skip: Button
    saved: str
    notices: tuple[str, ...]
    failure: Failure | None


def draw_correct(
    review: Review,
    here: Here,
    work: Work | None,
    *,
    locked: str = "",
    busy: str = "",
    message: str = "",
    failure: Failure | None = None,
    can_undo: bool = False,
    can_redo: bool = False,
) -> CorrectPicture:
    """Return what the tab shows.

    Parameters
    ----------
    review, here, work
        See the classes; `work` is None where no block is open.
    locked : str
        Why nothing can be edited at all; empty where it can.
    busy : str
        What a worker is doing; everything waits for it.
    message : str
        What happened last, if that is worth a line.
    failure : Failure or None
        What went wrong last, apart from saving.
    can_undo, can_redo : bool
        Whether the project's history has something, where no block is open.
    """
    wait = locked or busy
    unsaved = "" if work is None or work.failure is None else "What is painted is not saved yet: see below"
    left = wait or unsaved
    no_block = "Open a block first: from the list, or “Edit this region”"
    selected = _selected(review)
    return CorrectPicture(
        locked=locked,
        rows=tuple(row_of(one, None if work is None else work.number) for one in review.candidates),
        selected=review.selected,
        summary=_summary(review),
        held_out=HELD_OUT if any(one.block and is_held(one.block) for one in review.candidates) else "",
        list_hint=_list_hint(review, locked),
        previous=_move("Previous", review, left, back=True),
        next=_move("Next", review, left, back=False),
        open=_open(selected, work, left),
        edit=_button(
            "Edit this region", left or _why_not_here(here), "Open this region as a block to paint on"
        ),
        here="" if locked else _here(here),
        here_is_problem=bool(_why_not_here(here)),
        block_title="No block is open" if work is None else f"Block {work.number}",
        block_fact="" if work is None else describe_block(work.region),
        block_visible=work is not None,
        tools_enabled=not wait and work is not None,
        painting=-1 if work is None else work.painting,
        undo=_button("Undo", wait or _why_not_undo(work, can_undo), "Take back what was done last"),
        redo=_button("Redo", wait or _why_not_redo(work, can_redo), "Do again what was undone"),
        accept=_button("Accept", left or _why_not_accept(work, no_block), _accept_tip()),
        skip=_button("Skip", left or ("" if work else no_block), "Set this block aside; it teaches nothing"),
        saved=_saved(work, busy, message),
        notices=_notices(work),
        failure=(None if work is None else work.failure) or failure,
    )


def region_around(point: Sequence[float], side: int, shape: Shape) -> Region | None:
    """Return the cube of `side` voxels centred on `point` (z, y, x), clipped to a volume of `shape`.

    None where nothing of it is in the volume.
    """
    start = [round(centre) - side // 2 for centre in point]
    cube = Region(as_shape(start), as_shape([low + side for low in start]))
    return cube.intersection(Region.whole(shape))


def _selected(review: Review) -> Candidate | None:
    known = 0 <= review.selected < len(review.candidates)
    return review.candidates[review.selected] if known else None


def _summary(review: Review) -> str:
    blocks = [one.block for one in review.candidates if one.block is not None]
    return progress_text(blocks, len(review.candidates))


def _list_hint(review: Review, locked: str) -> str:
    if locked or review.candidates:
        return ""
    if review.has_labels:
        return "Nothing is segmented yet in this project: the list fills up block by block."
    return "The list comes from a segmentation into this project. Without one, edit any region below."


def _move(text: str, review: Review, reason: str, *, back: bool) -> Button:
    left = any(one.block is None or one.block.state is BlockState.OPEN for one in review.candidates)
    reason = reason or ("" if left else "No block is left: all are accepted or skipped")
    return _button(
        text, reason, f"Open the {'previous' if back else 'next'} block that is neither done nor skipped"
    )


def _open(selected: Candidate | None, work: Work | None, reason: str) -> Button:
    block = None if selected is None else selected.block
    done = block is not None and block.state is not BlockState.OPEN
    text = "Reopen" if done else "Open"
    if selected is None:
        return _button(text, reason or "Select a block in the list first", "")
    if work is not None and block is not None and block.number == work.number:
        return _button(text, reason or "This block is open already", "")
    tip = (
        "Edit the block again; the corrections keep it until it is accepted again"
        if done
        else "Open this block"
    )
    return _button(text, reason, tip)


def _why_not_here(here: Here) -> str:
    if here.region is None:
        box = "The box is empty: make each stop larger than its start"
        return box if here.drawn else "The middle of the view is outside the volume: move the view over it"
    if here.region.size > LARGEST:
        return (
            f"{describe_count(here.region.size)}voxels are too many to edit at once "
            f"(allowed: {describe_count(LARGEST)}voxels, as 256 × 256 × 256): choose a smaller region"
        )
    return ""


def _here(here: Here) -> str:
    return _why_not_here(here) or ("" if here.region is None else describe_block(here.region))


def _why_not_undo(work: Work | None, can_undo: bool) -> str:
    if work is not None and work.failure:
        return ""
    return "" if can_undo or (work is not None and work.can_undo) else "Nothing has been painted yet"


def _why_not_redo(work: Work | None, can_redo: bool) -> str:
    return "" if can_redo or (work is not None and work.can_redo) else "Nothing was undone"


def _why_not_accept(work: Work | None, no_block: str) -> str:
    if work is None:
        return no_block
    return "" if work.labelled else "Nothing in this block is labelled: paint vessel or background first"


def _accept_tip() -> str:
    return "This block is right now: learn from it, and keep it over every later prediction"


def _saved(work: Work | None, busy: str, message: str) -> str:
    if busy:
        return busy
    if work is None:
        return message
    return "" if work.failure else f"{message} Every stroke is saved as you paint.".strip()


def _notices(work: Work | None) -> tuple[str, ...]:
    if work is None:
        return ()
    return (work.notice,) if work.notice else ()


def _button(text: str, reason: str, tip: str) -> Button:
    return Button(text, not reason, reason or tip)
