"""What the tools' part of the Correct tab shows, computed without Qt.

`Hand` is what is going on with the tool in hand; `draw_tools` turns it into a `ToolsPicture`.
"""

from dataclasses import dataclass, field

from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.tools.catalogue import Kind, Option, Tool
from napari_vesselkd.plugin.tools.preview import Preview
from napari_vesselkd.plugin.tools.proposing import Click
from napari_vesselkd.plugin.tools.searching import Walk

NO_BLOCK = "Open a block first: from the list, or “Edit this region”"
NO_TOOL = "Choose a tool, or paint with napari's brush."
CHANCE = ("gap", "spur", "false piece")  # tools whose score says how sure they are


@dataclass(frozen=True, eq=False)
class Hand:
    """The tool in hand, and how far it is.

    Attributes
    ----------
    tool : Tool or None
    clicks : tuple of Click
    busy : str
        What a worker is doing.
    walk : Walk or None
    preview : Preview or None
        What is proposed now.
    score : float or None
    all : bool
        Whether everything that is left of the walk is proposed at once.
    left_out : tuple of (str, int)
        The tool that looked through the block last, and how many were left out as they were rejected before.
    message : str
        What happened last.
    problem : str
        Why there is no proposal.
    failure : Failure or None
        An error that was not foreseen.
    """

    tool: Tool | None = None
    clicks: tuple[Click, ...] = ()
    busy: str = ""
    walk: Walk | None = None
    preview: Preview | None = None
    score: float | None = None
    all: bool = False
    left_out: tuple[str, int] = ("", 0)
    message: str = ""
    problem: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class ToolsPicture:
    """Everything the tools' part of the tab paints."""

    enabled: bool
    why: str
    checked: str
    title: str
    line: str
    line_is_problem: bool
    proposal: str
    options: tuple[Option, ...]
    walking: bool
    in_hand: bool
    apply: Button
    discard: Button
    reject: Button
    another: Button
    apply_all: Button
    again: Button | None
    failure: Failure | None = field(default=None)


def draw_tools(hand: Hand, *, why_not: str = "") -> ToolsPicture:
    """Return what the tools show; `why_not` says why none can be used, empty where they can."""
    tool = hand.tool
    ready = "" if hand.preview is not None else (hand.busy or "Nothing is proposed yet")
    walking = tool is not None and tool.kind is Kind.LIST
    line, problem = _line(hand, why_not)
    left = 0 if hand.walk is None else len(hand.walk.left)
    stop = "Discard" if hand.preview is not None or hand.clicks or hand.busy else "Put away"
    return ToolsPicture(
        enabled=not why_not,
        why=why_not,
        checked="" if tool is None else tool.name,
        title=_title(hand),
        line=line,
        line_is_problem=problem,
        proposal="" if hand.preview is None else _proposal(hand, hand.preview),
        options=() if tool is None else tool.options,
        walking=walking,
        in_hand=tool is not None,
        apply=_button("Accept" if walking else "Apply", ready, "Make this change; one undo takes it back"),
        discard=_button("Put away" if walking else stop, "", "Leave the block as it is"),
        reject=_button("Reject", ready, "Leave the block as it is here, and do not ask again"),
        another=_button("Next", ready or ("" if left > 1 else "This is the last one"), "Decide later"),
        apply_all=_button(
            f"Accept all {left} left" if left > 1 else "Accept all",
            ready or ("" if left > 1 else "This is the last one"),
            "Make all changes that are left at once; one undo takes them all back",
        ),
        again=_again(hand, why_not),
        failure=hand.failure,
    )


def _again(hand: Hand, why_not: str) -> Button | None:
    """Return the button that brings rejected proposals back; None where none was left out."""
    count = hand.left_out[1]
    if not count or hand.busy:
        return None
    text = "Propose the rejected one again" if count == 1 else f"Propose the {count} rejected again"
    return _button(text, why_not, "They were rejected in this block before, and nothing changed there since")


def _title(hand: Hand) -> str:
    tool, walk = hand.tool, hand.walk
    if tool is None:
        return "Tools"
    if walk is None or not walk.found or hand.preview is None:
        return tool.shortcut.does
    if hand.all:
        return f"{tool.title}: all {len(walk.left)} that are left"
    return f"{tool.title}: {walk.at + 1} of {len(walk.found)}"


def _line(hand: Hand, why_not: str) -> tuple[str, bool]:
    """Return the line of instruction, and whether it tells of a problem."""
    tool = hand.tool
    if hand.problem:
        return hand.problem, True
    if hand.busy:
        return hand.busy, False
    if tool is None:
        return hand.message or ("" if why_not else NO_TOOL), False
    if hand.preview is not None or tool.kind is Kind.LIST:
        return hand.message, False
    if tool.kind is Kind.BRUSH and hand.message:
        return hand.message, False
    step = tool.steps[min(len(hand.clicks), len(tool.steps) - 1)]
    return f"{hand.message} {step}".strip(), False


def _proposal(hand: Hand, preview: Preview) -> str:
    if hand.score is None or hand.tool is None or hand.tool.name not in CHANCE:
        return preview.text
    first, rest = preview.text.split("\n", 1)
    return f"{first}\nSure by {hand.score:.0%} · {rest}"


def _button(text: str, reason: str, tip: str) -> Button:
    return Button(text, not reason, reason or tip)
