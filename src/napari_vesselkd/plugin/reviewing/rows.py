"""The lines of the list of blocks, computed without Qt."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.project import BlockState, ReviewBlock
from napari_vesselkd.proofreading import Candidate

HELD_OUT = (
    "Held out: never learned from, so that new and current model are compared on what neither has seen."
)
FLAG, NOTE = "⚑", "✎"


@dataclass(frozen=True)
class Row:
    """One line of the list.

    Attributes
    ----------
    state, place, why : str
        The columns.
    kind : str
        Which dot stands before the state: a value of `BlockState`, or empty.
    tooltip : str
    """

    state: str
    kind: str
    place: str
    why: str
    tooltip: str


def row_of(candidate: Candidate, open_number: int | None = None) -> Row:
    """Return the line of a candidate."""
    block, region = candidate.block, candidate.region
    state, kind = "new", ""
    if block is not None:
        kind = str(block.state.value)
        state = "held out" if is_held(block) else kind
        state = "being edited" if block.number == open_number else state
    bits = "" if candidate.uncertainty is None else f"{candidate.uncertainty:.2f}"
    queued = candidate.worth is not None or candidate.reason
    why = (candidate.reason or "nothing striking") if queued else bits
    marks = "" if block is None else (FLAG if block.flagged else "") + (NOTE if block.note else "")
    place = " · ".join(str(low) for low in region.start)
    return Row(state, kind, f"{marks} {place}".strip(), why, _tooltip(candidate, state))


def progress_text(blocks: Sequence[ReviewBlock], listed: int) -> str:
    """Return how many of the listed blocks are done, what became of them, and how long the rest will take."""
    if not listed:
        return ""
    accepted = [one for one in blocks if one.state is BlockState.ACCEPTED]
    skipped = [one for one in blocks if one.state is BlockState.SKIPPED]
    opened = sum(one.state is BlockState.OPEN for one in blocks)
    held = sum(one.held_out for one in accepted)
    done = [*accepted, *skipped]
    kinds = [f"{len(accepted)} accepted" + (f" ({held} held out)" if held else "")] if accepted else []
    kinds += [f"{len(skipped)} skipped"] if skipped else []
    parts = [f"{len(done)} of {listed} done" + (": " if kinds else "") + ", ".join(kinds)]
    parts += [f"{opened} open"] if opened else []
    times = [one.seconds for one in done if one.seconds > 0]
    if times:
        usual = median(times)
        parts.append(f"{describe_seconds(usual)} a block")
        if listed > len(done):
            parts.append(f"{describe_seconds(usual * (listed - len(done)))} for the rest")
    return " · ".join(parts)


def describe_seconds(seconds: float) -> str:
    """Return ``40 s``, ``2.5 min`` or ``3.1 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe_block(region: Region) -> str:
    """Return ``48 × 128 × 128 voxels at z 0 · y 128 · x 256``."""
    shape = " × ".join(str(size) for size in region.shape)
    at = " · ".join(f"{axis} {low}" for axis, low in zip("zyx", region.start, strict=True))
    return f"{shape} voxels at {at}"


def is_held(block: ReviewBlock) -> bool:
    """Whether a block is held out now."""
    return block.held_out and block.state is BlockState.ACCEPTED


def _tooltip(candidate: Candidate, state: str) -> str:
    block = candidate.block
    number = "" if block is None else f"Block {block.number}: "
    lines = [f"{number}{state} · {describe_block(candidate.region)}"]
    if block is not None and block.state is BlockState.ACCEPTED:
        vessel, background = describe_count(block.vessel), describe_count(block.background)
        lines.append(f"{vessel}vessel and {background}background voxels")
        lines += [HELD_OUT] if block.held_out else []
    if block is not None:
        lines += ["Flagged"] if block.flagged else []
        lines += [f"Note: {block.note}"] if block.note else []
        lines += [f"Worked on for {describe_seconds(block.seconds)}"] if block.seconds >= 1 else []
    lines += [f"• {reason}" for reason in candidate.reasons]
    if candidate.worth is not None:
        lines.append(f"Worth {candidate.worth:.1f} times a block like the others")
        if candidate.stands_for >= 0.005:
            lines.append(f"Stands for {candidate.stands_for:.0%} of what is doubtful, with blocks like it")
    if candidate.uncertainty is not None:
        lines.append(f"Mean entropy {candidate.uncertainty:.2f} bits: 0 sure, 1 a guess")
    return "\n".join(lines)
