"""What was done in a project, one after the other: strokes in all blocks and on the sheet, accept, skip.

An operation is what one undo takes back. It may have parts in several journals (a tool that reaches across
the border of a block; an acceptance that clears the sheet). Every record carries the number of its operation,
so folding all journals in the order of these numbers gives the one history of the project. Notation: a box is
in voxels of the volume, (z, y, x).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import Ledger
from napari_vesselkd.labels.changes import around, boxes_of
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.labels.replaying import flat_shape
from napari_vesselkd.project.state import Entry, bounds

STATE = -1  # the part of an operation that is in the project's own journal
RECALLED = 256  # operations that are read at once
Part = tuple[int, Region]


@dataclass(frozen=True)
class Operation:
    """One operation of the history.

    Attributes
    ----------
    seq : int
        Its number; 0 in journals of earlier versions.
    who, at : str
        Name of the user; time, ISO 8601, UTC. Empty in journals of earlier versions.
    tool : str
        "brush", the name of a tool, "accept" or "skip".
    parts : tuple of (int, Region)
        Blocks that it changed, 0 the sheet, with the box of the volume.
    undone : bool
        It can be done again.
    """

    seq: int
    who: str
    at: str
    tool: str
    parts: tuple[Part, ...]
    undone: bool

    @property
    def number(self) -> int:
        """Of the block; 0 the sheet."""
        return self.parts[0][0]

    @property
    def box(self) -> Region:
        return around([box for _, box in self.parts])


@dataclass(frozen=True)
class Applied:
    """What an operation, its undo or redo changed.

    Attributes
    ----------
    seq : int
        Of the operation.
    tool : str
    parts : tuple of (int, Region)
        Blocks whose voxels changed, 0 the sheet, with the box of the volume.
    labels_changed : tuple of Region
        Boxes of the volume whose corrections, and labels, changed on the disk.
    decided : int or None
        Of the block that was accepted or skipped.
    """

    seq: int
    tool: str
    parts: tuple[Part, ...]
    labels_changed: tuple[Region, ...] = ()
    decided: int | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(number for number, _ in self.parts)

    def within(self, number: int) -> Region | None:
        """Return the box of the volume that changed in block `number`, None where nothing did."""
        boxes = [box for one, box in self.parts if one == number]
        return around(boxes) if boxes else None


@dataclass
class Done:
    """An operation while the journals are folded.

    Attributes
    ----------
    steps : dict of int to int
        The step of each block's journal.
    boxes : dict of int to list of Region
        Of each block, in voxels of the volume.
    among : tuple of int
        The journals it has parts in, where it has several.
    words : dict of int to (int, bool)
        Of each journal, the number of its last word about the operation and whether it is done.
    before, after : Entry or None
        The block before and after it was accepted or skipped.
    """

    seq: int
    who: str
    at: str
    tool: str
    among: tuple[int, ...]
    steps: dict[int, int] = field(default_factory=dict)
    boxes: dict[int, list[Region]] = field(default_factory=dict)
    words: dict[int, tuple[int, bool]] = field(default_factory=dict)
    before: Entry | None = None
    after: Entry | None = None

    @classmethod
    def from_line(cls, line: bytes) -> Done:
        """Return what `to_line` wrote."""
        seq, who, at, tool, among, steps, boxes, words, decided = json.loads(line)
        before, after = (None if one is None else Entry.from_event(one) for one in decided)
        return cls(
            seq,
            who,
            at,
            tool,
            tuple(among),
            dict(steps),
            {number: [Region(tuple(low), tuple(high)) for low, high in found] for number, found in boxes},
            {number: (word, done) for number, word, done in words},
            before,
            after,
        )

    def to_line(self) -> bytes:
        """Return the operation as a line of text, without its end."""
        boxes = [(number, [bounds(one) for one in found]) for number, found in self.boxes.items()]
        words = [(number, *word) for number, word in self.words.items()]
        decided = [None if one is None else one.to_event() for one in (self.before, self.after)]
        values = [self.seq, self.who, self.at, self.tool, self.among, list(self.steps.items())]
        return json.dumps([*values, boxes, words, decided], separators=(",", ":")).encode()

    def shown(self, *, undone: bool) -> Operation:
        return Operation(self.seq, self.who, self.at, self.tool, self.parts, undone)

    @property
    def parts(self) -> tuple[Part, ...]:
        first = [] if self.after is None else [(self.after.block.number, self.after.block.region)]
        order = [one for one in self.among if one in self.boxes] or self.boxes
        return (*first, *((number, around(self.boxes[number])) for number in order))

    def wanted(self, last: int) -> bool | None:
        """Return what the journals must agree on, done or not; None where they agree.

        An operation that a crash stopped before its last part is taken back (it is the last one that has a
        number: what is missing of an earlier one was damaged later); of an undo or redo the rest is done.
        """
        if set(self.among) - set(self.words):
            return False if self.seq == last else None
        newest = max(self.words.values())[1]
        return newest if any(done != newest for _, done in self.words.values()) else None


@dataclass(frozen=True)
class Past:
    """What was folded before, all of it settled: journals agree about every operation.

    Attributes
    ----------
    last : int
        The number given out last.
    places : dict of int to (Region, int or None)
        Of each block: where it is, and the axis along which it is flat.
    sheet_boxes : list of (int, list of Region)
    done, undone : tuple of bytes
        Operations as `Done.to_line` gives them, the one that is undone, or done again, next as the last.
    """

    last: int = 0
    places: dict[int, tuple[Region, int | None]] = field(default_factory=dict)
    sheet_boxes: tuple[tuple[int, list[Region]], ...] = ()
    done: tuple[bytes, ...] = ()
    undone: tuple[bytes, ...] = ()


NO_PAST = Past()


class Operations(Ledger):
    """The fold of all journals, and the numbers of what is done next.

    What was folded before is read from its lines no earlier than somebody undoes as far as there: a year has
    hundreds of thousands of operations.

    Attributes
    ----------
    sheet_boxes : list of (int, list of Region)
        Boxes of the sheet that changed, with the number of the change.
    odd : set of int
        Journals with a record that makes no sense; it is not in the history. STATE is the project's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._forget()

    def _forget(self, past: Past = NO_PAST) -> None:
        self._places = dict(past.places)
        self._of_step: dict[tuple[int, int], Done] = {}
        self._of_seq: dict[int, Done] = {}
        self._before = list(past.done)  # the older part of `_done`, as lines
        self._done: list[Done] = []
        self._undone: list[Done] = []
        self.odd: set[int] = set()
        self.sheet_boxes = list(past.sheet_boxes)
        self.last = max(self.last, past.last)
        for line in past.undone:
            self._undone.append(self._known(Done.from_line(line)))

    def fold(self, journals: Mapping[int, list[dict[str, Any]]], past: Past = NO_PAST) -> None:
        """Know what is `past`, then journals by number, STATE the project's own, and nothing else."""
        records = [(_seq(one), number, one) for number in journals for one in journals[number]]
        with self.turn:
            self._forget(past)
            for _, number, record in sorted(records, key=lambda one: one[0]):
                try:
                    self.told(number, record)
                except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                    self.odd.add(number)

    def past(self, sheet: int) -> Past:
        """Return the fold for another time, with the boxes of the sheet that changed after `sheet`."""
        with self.turn:
            done = (*self._before, *(one.to_line() for one in self._done))
            undone = tuple(one.to_line() for one in self._undone)
            boxes = tuple(one for one in self.sheet_boxes if one[0] > sheet)
            return Past(self.last, dict(self._places), boxes, done, undone)

    @property
    def operations(self) -> tuple[Operation, ...]:
        with self.turn:
            self._recall(len(self._before))
            done = [one.shown(undone=False) for one in self._done]
            return (*done, *(one.shown(undone=True) for one in reversed(self._undone)))

    @property
    def next_undo(self) -> Done | None:
        with self.turn:
            return self._done[-1] if self._done or self._recall() else None

    @property
    def next_redo(self) -> Done | None:
        return self._undone[-1] if self._undone else None

    def torn(self) -> list[Done]:
        """Return the operations about which the journals do not agree, the newest first."""
        several = [one for one in self._of_seq.values() if one.wanted(self.last) is not None]
        return sorted(several, key=lambda one: -one.seq)

    def sheet_steps_since(self, number: int) -> set[int]:
        """Return the steps of the sheet that are newer than the last one of a block."""
        found: set[int] = set()
        with self.turn:
            back = 0
            while back < len(self._done) or self._recall():
                back += 1
                steps = self._done[-back].steps
                if number in steps:
                    break
                if SHEET in steps:
                    found.add(steps[SHEET])
        return found

    def latest(self, number: int) -> bool:
        newest = self.next_undo
        return newest is not None and number in newest.steps

    def begun(self, number: int, region: Region, axis: int | None) -> None:
        """Hear of a block."""
        self._places[number] = (region, axis)

    def told(self, number: int, record: Mapping[str, Any]) -> None:
        """Take in one record of block `number`, or one event."""
        with self.turn:
            self.last = max(self.last, int(record.get("seq", 0)))
            kind = record.get("kind", record.get("does"))
            if kind == "begin":
                low, high = record["region"]
                self.begun(number, Region(tuple(low), tuple(high)), record.get("axis"))
            elif kind == "stroke":
                self._stroke(number, record)
            elif kind in ("accept", "skip"):
                self._decision(record)
            elif kind in ("undo", "redo"):
                done = self._moved_by(number, record)
                if done is not None:
                    self._moved(number, done, record, kind == "redo")

    def _stroke(self, number: int, record: Mapping[str, Any]) -> None:
        if number not in self._places:
            return  # its beginning is lost
        key = (number, int(record["step"]))
        if not self._done:
            self._recall()  # a stroke that goes on is of the last operation
        done = self._of_step.get(key)
        if done is None:
            done = self._of_step[key] = self._operation(record, str(record.get("tool", "brush")))
        done.steps[number] = key[1]
        done.words[number] = (int(record.get("seq", 0)), True)
        region, axis = self._places[number]
        boxes = [_in_volume(box, region, axis) for box in boxes_of(record, flat_shape(region, axis))]
        done.boxes.setdefault(number, []).extend(boxes)
        self._sheet_changed(number, record, boxes)

    def _decision(self, event: Mapping[str, Any]) -> None:
        done = self._operation(event, event["does"])
        done.before, done.after = Entry.from_event(event["before"]), Entry.from_event(event)
        done.words[STATE] = (int(event["seq"]), True)

    def _operation(self, record: Mapping[str, Any], tool: str) -> Done:
        seq = int(record.get("seq", 0))
        if seq in self._of_seq:  # another part of it
            found = self._of_seq[seq]
            found.tool = tool
            return found
        among = tuple(record.get("among", ()))
        done = Done(seq, str(record.get("who", "")), str(record.get("at", "")), tool, among)
        if seq:
            self._of_seq[seq] = done
        self._done.append(done)
        self._undone.clear()
        return done

    def _moved_by(self, number: int, record: Mapping[str, Any]) -> Done | None:
        """Return the operation that a record of kind "undo" or "redo" is about; None where that is lost."""
        while True:
            if number == STATE:
                done = self._of_seq.get(record.get("of", 0))
            else:
                done = self._of_step.get((number, int(record.get("step", 0))))
            if done is not None or not self._recall():
                return done

    def _recall(self, count: int = RECALLED) -> bool:
        """Read the newest of the operations that are lines still; False where none is."""
        lines = self._before[-count:] if count else []
        self._before = self._before[: len(self._before) - len(lines)]
        self._done[:0] = [self._known(Done.from_line(line)) for line in lines]
        return bool(lines)

    def _known(self, done: Done) -> Done:
        if done.seq:
            self._of_seq[done.seq] = done
        for number, step in done.steps.items():
            self._of_step[number, step] = done
        return done

    def _moved(self, number: int, done: Done, record: Mapping[str, Any], again: bool) -> None:
        done.words[number] = (int(record.get("seq", 0)), again)
        source, target = (self._undone, self._done) if again else (self._done, self._undone)
        found = [index for index, one in enumerate(source) if one is done]
        if found:
            del source[found[0]]
        if not any(one is done for one in target):
            target.append(done)
        self._sheet_changed(number, record, done.boxes.get(SHEET, []))

    def _sheet_changed(self, number: int, record: Mapping[str, Any], boxes: list[Region]) -> None:
        if number == SHEET:
            self.sheet_boxes.append((int(record.get("seq", 0)), list(boxes)))


def decision(does: str, before: Entry, after: Entry) -> dict[str, Any]:
    """Return the event of accepting or skipping a block, which holds what it takes to undo it."""
    return {**after.to_event(), "does": does, "before": before.to_event()}


def _seq(record: Mapping[str, Any]) -> int:
    seq = record.get("seq", 0)
    return seq if isinstance(seq, int) else 0


def _in_volume(box: Region, region: Region, axis: int | None) -> Region:
    start, stop = list(box.shifted(region.start).start), list(box.shifted(region.start).stop)
    if axis is not None:
        start[axis], stop[axis] = region.start[axis], region.stop[axis]
    return Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
