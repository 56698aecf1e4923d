"""What the tab says about the queue, computed without Qt.

`Looking` is the background work that keeps the queue up to date; `draw_queue` turns it, and the block that
flag and note are about, into a `QueuePicture`.
"""

from dataclasses import dataclass

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.project import ReviewBlock
from napari_vesselkd.proofreading.calibration import Reliability

NO_BLOCK = "Open a block first, or select one in the list that was begun"
NOT_CALIBRATED = (
    "Accept blocks: one of the first three is held out, and tells whether the probabilities mean "
    "what they say."
)


@dataclass(frozen=True)
class Looking:
    """The work in the background.

    Attributes
    ----------
    running, stopped : bool
        At work; stopped by hand.
    done, total : int
        Blocks that were looked at, and that there are.
    reliability : Reliability or None
    failure : Failure or None
    notice : str
    """

    running: bool = False
    stopped: bool = False
    done: int = 0
    total: int = 0
    reliability: Reliability | None = None
    failure: Failure | None = None
    notice: str = ""


@dataclass(frozen=True)
class QueuePicture:
    """Everything the queue's part of the tab paints.

    Attributes
    ----------
    status, notice : str
    share : float or None
        Of the blocks that were looked at, 0..1; None hides the bar.
    turn : Button or None
        Stops the work, or goes on with it; None where it goes by itself.
    flag : Button
    flagged : bool
    note : str
    note_hint : str
        Of the field for it.
    note_enabled : bool
    reliability : Reliability or None
    curve : str
        What the curve says.
    """

    status: str
    notice: str
    share: float | None
    turn: Button | None
    flag: Button
    flagged: bool
    note: str
    note_hint: str
    note_enabled: bool
    reliability: Reliability | None
    curve: str


def draw_queue(
    looking: Looking,
    block: ReviewBlock | None = None,
    *,
    locked: str = "",
) -> QueuePicture:
    """Return what the tab shows of the queue.

    Parameters
    ----------
    looking : Looking
    block : ReviewBlock or None
        That flag and note are about: the open one, else the selected one if it was begun.
    locked : str
        Why nothing can be changed; empty where it can.
    """
    wait = locked or ("" if block is not None else NO_BLOCK)
    flagged = block is not None and block.flagged
    tip = "Take the flag away" if flagged else "Mark this block, to come back to it or to show somebody"
    return QueuePicture(
        status=_status(looking),
        notice=looking.notice if looking.failure is None else str(looking.failure.headline),
        share=looking.done / looking.total if looking.running and looking.total else None,
        turn=_turn(looking, locked),
        flag=Button("Flagged" if flagged else "Flag", not wait, wait or tip),
        flagged=flagged,
        note="" if block is None else block.note,
        note_hint="Note" if block is None else f"Note on block {block.number}",
        note_enabled=not wait,
        reliability=looking.reliability,
        curve=_curve(looking.reliability),
    )


def _status(looking: Looking) -> str:
    if looking.running:
        if not looking.total:  # mostly nothing has changed
            return ""
        return f"Looking at the blocks: {looking.done} of {looking.total}. The list can be used meanwhile."
    if looking.stopped:
        return f"Stopped after {looking.done} of {looking.total} blocks; the others count by their entropy."
    return ""


def _turn(looking: Looking, locked: str) -> Button | None:
    if looking.running and looking.total:
        return Button("Stop", True, "What was found is kept; go on whenever you like")
    if looking.stopped:
        return Button("Go on", not locked, locked or "Look at the blocks that are left")
    return None


def _curve(found: Reliability | None) -> str:
    if found is None:
        return NOT_CALIBRATED
    sure = "too sure of itself" if found.temperature > 1.05 else "less sure than it may be"
    how = "about right" if abs(found.temperature - 1) <= 0.05 else sure
    blocks = "one held-out block" if found.blocks == 1 else f"{found.blocks} held-out blocks"
    return (
        f"By {blocks} the model is {how}{_shifted(found.shift)}: here its logits are divided by "
        f"{found.temperature:.2f} and {found.shift:+.2f} is added. "
        f"Probabilities were off by {found.error_before:.1%} on average and are by {found.error_after:.1%} "
        "now, measured on the same blocks."
    )


def _shifted(shift: float) -> str:
    if abs(shift) < 0.1:
        return ""
    return " and finds too little" if shift > 0 else " and finds too much"
