"""Every tool of the Correct tab: what it is called, its key, what the person does, what can be set. No Qt.

Notation: lengths in um; a default may be given in voxels of the finest axis, as volumes differ.
"""

from dataclasses import dataclass
from enum import Enum

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.plugin import keymap
from napari_vesselkd.plugin.keymap import Shortcut


class Kind(Enum):
    """How a tool is used."""

    CLICKS = "clicks"  # one or two clicks make a proposal
    LIST = "list"  # looks through the block; its proposals are walked through
    BLOCK = "block"  # one proposal for the whole block, at once
    BRUSH = "brush"  # a stroke paints


@dataclass(frozen=True)
class Option:
    """A number that a tool takes.

    Attributes
    ----------
    name, text, suffix, tip : str
        Of the engine; before and behind the number; when the mouse is over it.
    low, high : float
    default : float
    by_voxel : bool
        The default is in sides (`power` 1) or volumes (`power` 3) of the smallest voxel side.
    switch : bool
        Yes or no instead of a number.
    """

    name: str
    text: str
    suffix: str
    tip: str
    low: float = 0.0
    high: float = 1e6
    default: float = 0.0
    by_voxel: int = 0
    decimals: int = 1
    switch: bool = False

    def default_for(self, size: VoxelSize) -> float:
        """Return the default in the option's unit for voxels of `size` (um)."""
        unit = {0: 1.0, 1: min(size), 3: size[0] * size[1] * size[2]}[self.by_voxel]
        return round(self.default * unit, self.decimals) or 10**-self.decimals * bool(self.default)


@dataclass(frozen=True)
class Tool:
    """One tool.

    Attributes
    ----------
    name : str
        As in the journal and on the screen: "connect", "delete piece", ...
    title : str
        On its button.
    shortcut : Shortcut
    kind
    steps : tuple of str
        What to do, one sentence for each click; one for other kinds.
    nothing : str
        What is said where it finds nothing.
    options : tuple of Option
    """

    name: str
    title: str
    shortcut: Shortcut
    kind: Kind
    steps: tuple[str, ...]
    nothing: str = "There is nothing to change here."
    options: tuple[Option, ...] = ()

    clickable: bool = False  # of a tool for the whole block: a click limits it to one vessel

    @property
    def clicks(self) -> int:
        """How many clicks make a proposal."""
        return len(self.steps)

    @property
    def wants_clicks(self) -> bool:
        return self.kind is Kind.CLICKS or self.clickable


WITHIN = Option("radius_um", "Not beyond", " µm", "How far from the click a fill may go", 0.1, 1e4, 30, 1)
LEAK = Option("leak_um", "Close openings of up to", " µm", "Wider openings are none of the wall")
FLAT = Option("flat", "Only in the slice on screen", "", "The hole may be open in 3D", switch=True)
WALL = Option("most_um", "The wall moves at most", " µm", "By how much a wall may move", 0.1, 1e3, 2, 1)
LEAST = Option("least_um3", "Keep pieces of at least", " µm³", "Smaller are unlabelled", 0, 1e9, 100, 3, 0)
SURE = Option(
    "least_certainty",
    "like vessel by at least",
    " %",
    "How much a piece looks like the other vessels in the image; less sure ones are unlabelled",
    0,
    100,
    50,
    0,
    0,
)

TOOLS: tuple[Tool, ...] = (
    Tool(
        "connect",
        "Connect",
        keymap.CONNECT,
        Kind.CLICKS,
        ("Click where the new vessel begins.", "Click where it ends."),
        "The two places are connected already.",
    ),
    Tool(
        "join",
        "Join",
        keymap.JOIN,
        Kind.CLICKS,
        ("Click one of two pieces that nearly touch.", "Click the other piece."),
    ),
    Tool(
        "interpolate",
        "Between",
        keymap.INTERPOLATE,
        Kind.CLICKS,
        ("Click what is drawn in a slice.", "Go to another slice and click what is drawn there."),
        "Everything between the two slices is vessel already.",
    ),
    Tool(
        "fill",
        "Fill",
        keymap.FILL,
        Kind.CLICKS,
        ("Click into a hole: it is filled as far as the wall.",),
        options=(WITHIN, LEAK, FLAT),
    ),
    Tool(
        "threshold brush",
        "Brush",
        keymap.SMART_BRUSH,
        Kind.BRUSH,
        ("Draw along a vessel: only what is bright enough is painted. Size: [ ]. Label: Q, W.",),
        "The image supports nothing under the brush.",
    ),
    Tool(
        "delete piece",
        "Piece",
        keymap.DELETE_PIECE,
        Kind.CLICKS,
        ("Click a piece: all that is connected with it goes.",),
    ),
    Tool(
        "delete spur",
        "Spur",
        keymap.DELETE_SPUR,
        Kind.CLICKS,
        ("Click near the tip of a branch that is no vessel.",),
    ),
    Tool(
        "cut",
        "Cut",
        keymap.CUT,
        Kind.CLICKS,
        ("Click where the vessel is to come apart.",),
    ),
    Tool(
        "split",
        "Split",
        keymap.SPLIT,
        Kind.CLICKS,
        ("Click one of two vessels that are one by mistake.", "Click the other vessel."),
    ),
    Tool(
        "fit to image",
        "Fit",
        keymap.FIT,
        Kind.BLOCK,
        ("Click a vessel to fit it alone.",),
        "The walls are where the image falls to half already.",
        (WALL,),
        clickable=True,
    ),
    Tool(
        "gap",
        "Gaps",
        keymap.GAPS,
        Kind.LIST,
        ("Looking for gaps…",),
        "No likely gap was found in this block.",
    ),
    Tool(
        "spur",
        "Spurs",
        keymap.SPURS,
        Kind.LIST,
        ("Looking for spurs…",),
        "No likely spur was found in this block.",
    ),
    Tool(
        "false piece",
        "Pieces",
        keymap.PIECES,
        Kind.LIST,
        ("Looking for pieces that are no vessel…",),
        "No isolated piece in this block looks false.",
    ),
    Tool(
        "lumen",
        "Lumens",
        keymap.LUMENS,
        Kind.LIST,
        ("Looking for hollow vessels…",),
        "No hollow vessel was found in this block.",
    ),
    Tool(
        "sure pieces",
        "Sure",
        keymap.SURE,
        Kind.BLOCK,
        ("Pieces that are too small or unsure are unlabelled; they teach nothing then.",),
        "Every piece in this block is large and sure enough: nothing to unlabel.",
        (LEAST, SURE),
    ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
BRUSH = BY_NAME["threshold brush"]


def default_options(size: VoxelSize) -> dict[str, dict[str, float]]:
    """Return the numbers of all tools that suit voxels of `size` (um)."""
    return {tool.name: {one.name: one.default_for(size) for one in tool.options} for tool in TOOLS}
