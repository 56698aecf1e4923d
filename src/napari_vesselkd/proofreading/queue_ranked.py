"""The list of blocks in the order of the queue: what was found about them, what they are worth, why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from napari_vesselkd.geometry import Region
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.proofreading.queue import Candidate, review_list
from napari_vesselkd.proofreading.queue_findings import Findings, QueueFile
from napari_vesselkd.proofreading.queue_order import in_order
from napari_vesselkd.proofreading.queue_worth import Reason, reasons, worths

LOOKED_AT = 400  # blocks at most: half of them the most uncertain ones, half drawn at random
IN_A_ROW = 3  # reasons, in few words; all of them in many
DONE = (BlockState.ACCEPTED, BlockState.SKIPPED)


def review_by_worth(project: Project, *, side: int = 128, count: int = 200) -> tuple[Candidate, ...]:
    """Return the blocks worth a look in the order of the queue; those that are done come last.

    Parameters
    ----------
    project : Project
    side, count : int, optional
        As in `review_list`.

    Notes
    -----
    It is made of what `learning.update_queue` found. Where it has not looked yet, a block counts by its mean
    entropy, so that there is a list from the beginning.

    Raises
    ------
    InvalidInputError
        If `side` or `count` cannot be used.
    """
    listed = blocks_to_look_at(project, side=side, count=max(count, LOOKED_AT))
    kept = {one.region: one for one in QueueFile.load(project.path, project.id, side).findings}
    left = [one for one in listed if one.block is None or one.block.state not in DONE]
    done = [one for one in listed if one.block is not None and one.block.state in DONE]
    found = [_known(one, kept) for one in left]
    known = [_known(one, kept) for one in done if one.block and one.block.state is BlockState.ACCEPTED]
    worth, why = worths(found), reasons(found)
    placed = in_order(found, worth, [one for one in known if one.look], count)
    ranked = [
        replace(
            left[one.index],
            worth=one.worth,
            stands_for=one.stands_for,
            reason=_in_a_row(found[one.index], why[one.index]),
            reasons=tuple(reason.words for reason in why[one.index]),
        )
        for one in placed
    ]
    return (*ranked, *done)


def _in_a_row(found: Findings, why: tuple[Reason, ...]) -> str:
    """Return the reasons for the narrow column of a list."""
    if found.topology is None:
        return "not looked at yet" if found.uncertainty is None else f"{found.uncertainty:.2f} bits"
    return ", ".join(reason.short for reason in why[:IN_A_ROW])


def blocks_to_look_at(project: Project, *, side: int = 128, count: int = LOOKED_AT) -> list[Candidate]:
    """Return blocks for the queue: the most uncertain ones and random ones in turn, and all that were begun.

    What the mean entropy misses (docs/queue.md) must have a chance too.
    """
    uncertain = review_list(project, side=side, count=count)
    if len(uncertain) < count:
        return list(uncertain)
    drawn = review_list(project, side=side, count=count, order="random")
    return list(_in_turn(uncertain, drawn, count))


def _in_turn(one: Sequence[Candidate], other: Sequence[Candidate], count: int) -> Iterator[Candidate]:
    seen: set[Region] = set()
    for pair in zip_longest(one, other):
        for candidate in pair:
            if candidate is not None and candidate.region not in seen and len(seen) < count:
                seen.add(candidate.region)
                yield candidate


def _known(candidate: Candidate, kept: dict[Region, Findings]) -> Findings:
    found = kept.get(candidate.region)
    return found or Findings(candidate.region, uncertainty=candidate.uncertainty)
