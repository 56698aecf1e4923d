"""What the quality of the open block shows, computed without Qt.

`Measured` is the block as it began and as it is now, `Second` who else corrected it and how far the two
agree; `draw_quality` turns them into a `QualityPicture`, which the panel paints.
"""

import math
from dataclasses import dataclass

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.proofreading.reviewers import Agreement
from napari_vesselkd.proofreading.tools import Quality

HEADINGS = ("", "began as", "now", "change")
NO_DICE = (
    "Dice is estimated from the probability that the model in use gives: a minute of work, once a block."
)
NOBODY_ELSE = (
    "Nobody else has painted on this block here. Compare with a colleague's project of the same image."
)
MEASURING = "Measuring…"


@dataclass(frozen=True)
class Measured:
    """The quality of the open block.

    Attributes
    ----------
    before : Quality
        As the block was when it was begun.
    now : Quality
        As it is painted; `stale` where it has been painted on since.
    stale : bool
    """

    before: Quality
    now: Quality
    stale: bool = False


@dataclass(frozen=True)
class Second:
    """The second reviewer of the open block.

    Attributes
    ----------
    names : tuple of str
        Who can be compared with.
    chosen : int
        Row; -1 where none is.
    agreement : Agreement or None
    shown : bool
        Whether where the two differ is shown as a layer.
    """

    names: tuple[str, ...] = ()
    chosen: int = -1
    agreement: Agreement | None = None
    shown: bool = False


@dataclass(frozen=True)
class Line:
    """One line of the table; the tone of its change is "good", "bad" or "plain"."""

    name: str
    before: str
    now: str
    change: str = ""
    tone: str = "plain"
    tooltip: str = ""


@dataclass(frozen=True)
class QualityPicture:
    """Everything the panel paints."""

    visible: bool
    lines: tuple[Line, ...]
    hint: str
    estimate: Button
    estimate_visible: bool
    names: tuple[str, ...]
    chosen: int
    agreement: str
    differs: str
    second_hint: str
    show: Button
    shown: bool
    go: Button
    other: Button
    failure: Failure | None


def draw_quality(
    measured: Measured | None,
    second: Second,
    *,
    open_: bool,
    busy: str = "",
    estimating: str = "",
    failure: Failure | None = None,
) -> QualityPicture:
    """Return what the panel shows.

    Parameters
    ----------
    measured : Measured or None
        None before the first measurement.
    second : Second
    open_ : bool
        Whether a block is open.
    busy : str
        What is being compared, if anything.
    estimating : str
        What the model is doing for the estimated Dice.
    failure : Failure or None
        What went wrong last.
    """
    found = second.agreement
    known = measured is not None and not math.isnan(measured.now.estimated_dice)
    return QualityPicture(
        visible=open_,
        lines=_lines(measured) if measured is not None else (),
        hint=estimating or (MEASURING if open_ and (measured is None or measured.stale) else ""),
        estimate=Button("Estimate Dice", open_ and not estimating, estimating or NO_DICE),
        estimate_visible=open_ and not known,
        names=second.names,
        chosen=second.chosen,
        agreement="" if found is None or busy else _agreement(found),
        differs="" if found is None or busy else _differs(found),
        second_hint=busy or ("" if second.names or not open_ else NOBODY_ELSE),
        show=Button(
            "Show where",
            found is not None and found.largest is not None,
            "Layer “vesselkd: differences”: green is vessel for you only, violet for the other only",
        ),
        shown=second.shown,
        go=Button(
            "Go to the largest",
            found is not None and found.largest is not None,
            "Move the view to the largest place where the two differ",
        ),
        other=Button("Another project…", open_ and not busy, "A colleague's project of the same image"),
        failure=failure,
    )


def _lines(measured: Measured) -> tuple[Line, ...]:
    before, now = measured.before, measured.now
    lines = [
        _counted("pieces", before.components, now.components, "Connected pieces of vessel"),
        _length(before.length_um, now.length_um),
        _counted(
            "open ends",
            before.open_ends,
            now.open_ends,
            "Ends of vessels inside the block; fewer is better where vessels go on",
            fewer=True,
        ),
        _counted("loops", before.betti.loops, now.betti.loops, "Betti 1: ways round and back"),
        _counted(
            "cavities", before.betti.cavities, now.betti.cavities, "Betti 2: holes inside vessels", fewer=True
        ),
    ]
    if not math.isnan(now.estimated_dice) or not math.isnan(before.estimated_dice):
        lines.append(_dice(before.estimated_dice, now.estimated_dice))
    return tuple(lines)


def _counted(name: str, before: int, now: int, tip: str, *, fewer: bool = False) -> Line:
    step = now - before
    tone = "plain" if not step or not fewer else ("good" if step < 0 else "bad")
    return Line(name, f"{before:,}", f"{now:,}", _signed(f"{step:+,}") if step else "", tone, tip)


def _length(before: float, now: float) -> Line:
    step = now - before
    change = _signed(f"{step:+,.0f}") if abs(step) >= 0.5 else ""
    return Line("length, µm", f"{before:,.0f}", f"{now:,.0f}", change, tooltip="Of the centrelines")


def _dice(before: float, now: float) -> Line:
    step = now - before
    known = not math.isnan(step) and abs(step) >= 0.0005
    tone = "plain" if not known else ("good" if step > 0 else "bad")
    tip = (
        "Dice that is expected of the block by the model's probability, as far as that is calibrated: "
        "it falls where you correct what the model is sure of"
    )
    return Line("est. Dice", _share(before), _share(now), _signed(f"{step:+.3f}") if known else "", tone, tip)


def _agreement(found: Agreement) -> str:
    return f"Dice {_share(found.dice)} · clDice {_share(found.cldice)}"


def _differs(found: Agreement) -> str:
    if found.largest is None:
        return f"No difference in {describe_count(found.compared)}voxels that both have labelled."
    return (
        f"Of {describe_count(found.compared)}voxels that both have labelled, {found.only_first:,} are vessel "
        f"for you only (green), {found.only_second:,} for {found.who} only (violet)."
    )


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _signed(text: str) -> str:
    return text.replace("-", "−")
