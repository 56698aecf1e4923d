"""What folding the project's journal gives: blocks with their state, promotions, where the image is.

Every event says of which project it is, and one about a block carries all of the block: a damaged record
loses one event and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.labels.ledger import user_name


class BlockState(StrEnum):
    """What has become of a block."""

    OPEN = "open"
    ACCEPTED = "accepted"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class ReviewBlock:
    """One block that somebody looked at.

    Attributes
    ----------
    number : int
        From 1, in order of beginning; 0 is a piece of what was painted anywhere.
    region : Region
        In voxels of the volume at the project's level.
    state : BlockState
    held_out : bool
        Kept from training, for the gate; settled when the block is accepted first.
    background, vessel : int
        Voxels labelled so when it was accepted last; 0 before.
    axis : int or None
        Along which the region was projected, where it is a MIP annotation.
    flagged : bool
    note : str
    seconds : float
        Time that people spent on it.
    """

    number: int
    region: Region
    state: BlockState = BlockState.OPEN
    held_out: bool = False
    background: int = 0
    vessel: int = 0
    axis: int | None = None
    flagged: bool = False
    note: str = ""
    seconds: float = 0.0

    @property
    def painted_anywhere(self) -> bool:
        """Whether it is no block, but a piece of what was painted with none open."""
        return self.number == SHEET


@dataclass(frozen=True)
class Promotion:
    """A change of the checkpoint in use.

    Attributes
    ----------
    name, previous : str
        Of the checkpoints; "auto" is the bundled one for the voxel size.
    time : str
        ISO 8601, UTC.
    scores : dict
        What the gate said; empty without one.
    """

    name: str
    previous: str
    time: str
    scores: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A block and what the corrections hold of it.

    Attributes
    ----------
    block : ReviewBlock
    mark : int
        Which of its acceptances the corrections hold; 0 none.
    turn : int
        Place of that acceptance among all of the project; later ones lie on top.
    rank : int
        Place, from 1, in the order that the held-out rule draws in; 0 not settled, -1 settled by an overlap.
    """

    block: ReviewBlock
    mark: int = 0
    turn: int = 0
    rank: int = 0

    def to_event(self) -> dict[str, Any]:
        block = self.block
        return {
            "event": "block",
            "number": block.number,
            "region": bounds(block.region),
            "state": block.state.value,
            "held_out": block.held_out,
            "background": block.background,
            "vessel": block.vessel,
            "mark": self.mark,
            "turn": self.turn,
            "rank": self.rank,
            "axis": block.axis,
            "flagged": block.flagged,
            "note": block.note,
            "seconds": block.seconds,
        }

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Entry:
        block = ReviewBlock(
            int(event["number"]),
            _region(event["region"]),
            BlockState(event["state"]),
            bool(event["held_out"]),
            int(event["background"]),
            int(event["vessel"]),
            event.get("axis"),
            bool(event.get("flagged", False)),
            str(event.get("note", "")),
            float(event.get("seconds", 0.0)),
        )
        return cls(block, int(event["mark"]), int(event["turn"]), int(event["rank"]))


@dataclass
class State:
    """A project's state.

    Attributes
    ----------
    entries : dict of int to Entry
    unstored : set of int
        Blocks whose corrections changed and are not all written to the store yet.
    unshown : dict of int to list of Region
        Blocks whose corrections are not in the labels yet, with the boxes where corrections were withdrawn.
    sheet : int
        The last operation on the sheet that the store of corrections holds.
    sheet_unshown : tuple of (Region, Region or None)
        Boxes of the sheet that are not in the labels yet, with the box where corrections were withdrawn.
    promotions : list of Promotion
    reviewer : str
        The name that was set for who works here; empty for that of the account.
    path, relative : str or None
        Where the image was found last, absolute and seen from the project.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    unstored: set[int] = field(default_factory=set)
    unshown: dict[int, list[Region]] = field(default_factory=dict)
    sheet: int = 0
    sheet_unshown: tuple[tuple[Region, Region | None], ...] = ()
    promotions: list[Promotion] = field(default_factory=list)
    reviewer: str = ""
    path: str | None = None
    relative: str | None = None

    @property
    def who(self) -> str:
        """The name under which strokes are kept."""
        return self.reviewer or user_name()

    @classmethod
    def folded(cls, events: Iterable[Mapping[str, Any]]) -> State:
        """Return the state after `events`; ValueError, KeyError or TypeError where one makes no sense."""
        state = cls()
        for event in events:
            state.follow(event)
        return state

    def follow(self, event: Mapping[str, Any]) -> None:
        """Take in one event; kinds that this version does not know change nothing."""
        kind = event["event"]
        if kind == "block":
            self._block(event)
        elif kind == "stored":
            self.unstored.discard(event["number"])
        elif kind == "shown":
            done = event["number"]
            if done == SHEET:
                self.sheet_unshown = ()
            self.unshown = {number: boxes for number, boxes in self.unshown.items() if number != done}
        elif kind == "sheet":
            self.sheet = max(self.sheet, int(event["seq"]))
            found = ((_region(one["box"]), one["withdrawn"]) for one in event["boxes"])
            shown = tuple((box, None if gone is None else _region(gone)) for box, gone in found)
            self.sheet_unshown = (*self.sheet_unshown, *shown)
        elif kind == "promoted":
            self.promotions.append(
                Promotion(event["name"], event["previous"], event["time"], dict(event["scores"]))
            )
        elif kind == "reviewer":
            self.reviewer = str(event["name"])
        elif kind in ("project", "moved"):
            self.path, self.relative = event["path"], event["relative"]

    @property
    def blocks(self) -> tuple[ReviewBlock, ...]:
        return tuple(self.entries[number].block for number in sorted(self.entries))

    @property
    def corrected(self) -> list[Entry]:
        """The blocks that the corrections hold, in the order in which they lie on each other."""
        entries = self.entries.values()
        return sorted(
            (one for one in entries if one.mark and one.block.axis is None), key=lambda one: one.turn
        )

    @property
    def current(self) -> str:
        """Name of the checkpoint in use."""
        return self.promotions[-1].name if self.promotions else "auto"

    def _block(self, event: Mapping[str, Any]) -> None:
        entry = Entry.from_event(event)
        number = entry.block.number
        before = self.entries.get(number)
        self.entries = {**self.entries, number: entry}  # other threads are looking at the one before
        if entry.block.axis is not None:
            return
        if (entry.mark, entry.turn) != ((before.mark, before.turn) if before else (0, 0)):
            self.unstored.add(number)
            withdrawn = event.get("withdrawn")
            boxes = list(self.unshown.get(number, []))
            if withdrawn is not None:
                boxes.append(_region(withdrawn))
            self.unshown = {**self.unshown, number: boxes}


def bounds(region: Region) -> list[list[int]]:
    """Return a region as an event holds it."""
    return [list(region.start), list(region.stop)]


def _region(corners: Sequence[Sequence[int]]) -> Region:
    return Region(as_shape(corners[0]), as_shape(corners[1]))
