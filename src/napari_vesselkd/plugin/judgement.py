"""What the gate said about a new checkpoint, and what the dock makes of it. No Qt.

Notation: scores are 0..1; a gain is (estimate, low, high) of its 95 % interval, new minus current.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_vesselkd.plugin.segment_state import Button

Gain = tuple[float, float, float]

NO_HELD_OUT = "no held-out blocks"


@dataclass(frozen=True)
class BlockResult:
    """One held-out block under both checkpoints; `region` reads ``z0:z1,y0:y1,x0:x1``."""

    region: str
    number: int | None
    dice_new: float
    dice_old: float
    cldice_new: float
    cldice_old: float

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "BlockResult":
        """Return it from its JSON."""
        scores = (_number(found[name]) for name in ("dice_new", "dice_old", "cldice_new", "cldice_old"))
        number = found.get("number")
        return cls(str(found["region"]), None if number is None else int(number), *scores)


@dataclass(frozen=True)
class Judged:
    """A judgement of the gate, as read from a run folder.

    Attributes
    ----------
    candidate, current : str
        The new checkpoint and the one it was compared with.
    verdict : str
        "better", "worse", "undecided" or "no held-out blocks".
    text : str
        The same in one sentence.
    """

    candidate: str
    current: str
    verdict: str
    text: str
    blocks: tuple[BlockResult, ...]
    dice_new: float
    dice_old: float
    cldice_new: float
    cldice_old: float
    dice_gain: Gain
    cldice_gain: Gain
    worst: BlockResult | None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Judged":
        """Return it from its JSON."""
        worst = found.get("worst")
        return cls(
            candidate=str(found["candidate"]),
            current=str(found["current"]),
            verdict=str(found["verdict"]),
            text=str(found["text"]),
            blocks=tuple(BlockResult.of(block) for block in found.get("blocks", ())),
            dice_new=_number(found["dice_new"]),
            dice_old=_number(found["dice_old"]),
            cldice_new=_number(found["cldice_new"]),
            cldice_old=_number(found["cldice_old"]),
            dice_gain=_gain(found["dice_gain"]),
            cldice_gain=_gain(found["cldice_gain"]),
            worst=BlockResult.of(worst) if worst else None,
        )

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare on."""
        return self.verdict != NO_HELD_OUT

    def scores(self) -> dict[str, Any]:
        """Return what a promotion records."""
        if not self.compared:
            return {}
        return {
            "verdict": self.verdict,
            "held_out_blocks": len(self.blocks),
            "dice": [self.dice_old, self.dice_new],
            "cldice": [self.cldice_old, self.cldice_new],
            "dice_gain": list(self.dice_gain),
            "cldice_gain": list(self.cldice_gain),
        }


@dataclass(frozen=True)
class GateState:
    """What the gate's buttons depend on.

    Attributes
    ----------
    name : str
        The checkpoint that came out of the run.
    judged : Judged or None
        None while, or where, it was not compared.
    current : str
        The project's checkpoint now.
    promoted : bool
        Whether `name` was ever promoted.
    kept : bool
        Whether the user chose to keep the current one.
    sure : bool
        Whether Promote was pressed once and asked for a second time.
    locked : str
        Why nothing can be changed; empty where it can.
    """

    name: str
    judged: Judged | None
    current: str
    promoted: bool = False
    kept: bool = False
    sure: bool = False
    locked: str = ""


@dataclass(frozen=True)
class GatePicture:
    """Everything the gate shows.

    Attributes
    ----------
    tone : {"good", "bad", "plain"}
    rows : tuple of (measure, current, new, gain with interval)
    worst : Button or None
        Leads to the block that came out worst.
    promote_first : bool
        Whether Promote is the button to press.
    decided : str
        What was decided, or what a second click would mean.
    segment_again : bool
        Whether the new checkpoint is in use, so that predictions can be made again.
    """

    title: str
    verdict: str
    tone: str
    rows: tuple[tuple[str, str, str, str], ...]
    basis: str
    worst: Button | None
    promote: Button
    keep: Button
    promote_first: bool
    decided: str
    segment_again: bool


def draw_gate(state: GateState) -> GatePicture:
    """Return what the gate shows."""
    judged = state.judged
    compared = judged is not None and judged.compared
    return GatePicture(
        title=f"Is {state.name} better?",
        verdict=_verdict(judged),
        tone={"better": "good", "worse": "bad"}.get(judged.verdict if judged else "", "plain"),
        rows=_rows(judged) if judged is not None and compared else (),
        basis=_basis(judged) if judged is not None and compared else "",
        worst=_worst(judged.worst) if judged is not None and judged.worst is not None else None,
        promote=_promote(state),
        keep=_keep(state),
        promote_first=judged is not None and judged.verdict == "better" and not state.promoted,
        decided=_decided(state),
        segment_again=state.current == state.name,
    )


def needs_a_second_click(judged: Judged | None) -> bool:
    """Return whether a promotion must be confirmed: nothing speaks for it, or something against it."""
    return judged is None or not judged.compared or judged.verdict == "worse"


def _verdict(judged: Judged | None) -> str:
    if judged is None:
        return "It was not compared with the current checkpoint."
    return judged.text


def _rows(judged: Judged) -> tuple[tuple[str, str, str, str], ...]:
    return (
        ("clDice", _score(judged.cldice_old), _score(judged.cldice_new), describe_gain(judged.cldice_gain)),
        ("Dice", _score(judged.dice_old), _score(judged.dice_new), describe_gain(judged.dice_gain)),
    )


def _basis(judged: Judged) -> str:
    count = len(judged.blocks)
    blocks = f"{count} held-out block{'s' if count != 1 else ''}"
    return f"Measured on {blocks}, never learned from; gain with its 95 % interval."


def describe_gain(gain: Gain) -> str:
    """Return ``+0.029``, and its interval on the next line."""
    estimate, low, high = gain
    if not math.isfinite(estimate):
        return "–"
    if not (math.isfinite(low) and math.isfinite(high)):
        return _signed(estimate)
    return f"{_signed(estimate)}\n{_signed(low)}…{_signed(high)}"


def describe_block(block: BlockResult) -> str:
    """Return ``Block 4: clDice 0.710 → 0.690``."""
    name = f"block {block.number}" if block.number is not None else block.region
    return f"{name}: clDice {_score(block.cldice_old)} → {_score(block.cldice_new)}"


def _worst(block: BlockResult) -> Button:
    return Button(f"Worst: {describe_block(block)}", True, "Go to this block in the viewer")


def _promote(state: GateState) -> Button:
    if state.locked:
        return Button("Promote", False, state.locked)
    if state.current == state.name:
        return Button("Promote", False, "It is the project's current checkpoint")
    if not needs_a_second_click(state.judged):
        return Button("Promote", True, f"Use {state.name} from now on; one click leads back")
    worse = state.judged is not None and state.judged.verdict == "worse"
    text = "Promote although it is worse" if worse else "Promote without a comparison"
    if state.sure:
        return Button(text, True, "Press again to use it; one click leads back")
    return Button("Promote…", True, f"Asks once more: {text[0].lower()}{text[1:]}")


def _keep(state: GateState) -> Button:
    if state.locked:
        return Button("Keep current", False, state.locked)
    if state.current == state.name:
        return Button("Keep current", False, "The new one is in use; Checkpoints below lead back")
    if state.kept:
        return Button("Keep current", False, "The current one was kept")
    return Button("Keep current", True, "Go on with the current checkpoint; the new one stays in the list")


def _decided(state: GateState) -> str:
    if state.current == state.name:
        return f"Promoted: {state.name} is the project's checkpoint now."
    if state.promoted:
        return f"It was promoted before; now {state.current} is in use."
    if state.kept:
        return f"Kept: {state.current} stays in use."
    if state.sure:
        return "Nothing says that it is better. Press once more to use it all the same."
    return ""


def _score(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'}{abs(value):.3f}"


def _gain(found: Any) -> Gain:
    estimate, low, high = (_number(value) for value in found)
    return estimate, low, high


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
