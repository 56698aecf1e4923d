"""What painting on a projection does and shows, computed without Qt.

Notation: a plane is (rows, columns) uint8, 0 unlabelled, 1 background, 2 vessel; places are (row, column) in
pixels, not whole ones: pixel 0 lies between 0 and 1; sizes are (row, column) in um.
"""

import math
from dataclasses import dataclass

import numpy as np

from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import AXES, Region
from napari_vesselkd.labels.edits import BACKGROUND, UNLABELLED, VESSEL
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.project import BlockState, ReviewBlock

PAINTS = {"Vessel": VESSEL, "Background": BACKGROUND, "Erase": UNLABELLED}
COLOURS = np.array([[0, 0, 0, 0], [90, 166, 255, 88], [255, 154, 46, 170]], np.uint8)  # of 0, 1, 2
LARGEST = 2**26  # voxels of a slab: what back-projection holds in memory at once
TEACHES_BEST = 32  # slices: on thicker slabs vessels hide each other, and few patches hold a whole ray
Place = tuple[float, float]


@dataclass(frozen=True)
class Painting:
    """What is being painted.

    Attributes
    ----------
    number : int
        Of the annotation in the project.
    region : Region
        The slab.
    axis : int
    vessel, background, pixels : int
        Pixels that are labelled so, and all of them.
    can_undo, can_redo : bool
    proposed : int
        Voxels of vessel shown in 3D; 0 where nothing is.
    """

    number: int
    region: Region
    axis: int
    vessel: int
    background: int
    pixels: int
    can_undo: bool
    can_redo: bool
    proposed: int = 0


@dataclass(frozen=True)
class PaintingPicture:
    """Everything the bar shows that is not an input."""

    start: Button
    tools_visible: bool
    tools_enabled: bool
    facts: str
    hint: str
    undo: bool
    redo: bool
    rest: Button
    show: Button
    take: Button
    accept: Button
    failure: Failure | None


def draw_painting(
    painting: Painting | None, *, refusal: str, busy: str, failure: Failure | None, notice: str = ""
) -> PaintingPicture:
    """Return what the bar shows; `refusal` says why nothing can be painted here."""
    why = busy or refusal
    idle = painting is not None and not busy
    vessel = painting is not None and painting.vessel > 0
    labelled = painting is not None and painting.vessel + painting.background > 0
    nothing = busy or "Paint a vessel first"
    return PaintingPicture(
        start=Button(
            "Paint on this projection", not why, why or "Label its vessels; the slab then stays as it is"
        ),
        tools_visible=painting is not None,
        tools_enabled=idle,
        facts="" if painting is None else describe_painting(painting),
        hint=busy or notice or ("" if painting is None else _hint(painting)),
        undo=idle and painting is not None and painting.can_undo,
        redo=idle and painting is not None and painting.can_redo,
        rest=Button(
            "Rest is background",
            idle and vessel,
            "Every pixel that is not labelled yet becomes background" if vessel else nothing,
        ),
        show=Button(
            "Propose in 3D",
            idle and vessel,
            "Propose voxels where the image is brightest behind the vessels" if vessel else nothing,
        ),
        take=Button(
            "Take into corrections",
            idle and painting is not None and painting.proposed > 0,
            "Write what is proposed, as you edited it, into the open block or the corrections"
            if painting is not None and painting.proposed
            else busy or "Propose it in 3D first",
        ),
        accept=Button(
            "Accept", idle and labelled, "A student may learn from it as it is" if labelled else nothing
        ),
        failure=failure,
    )


def describe_painting(painting: Painting) -> str:
    """Return ``MIP 3 along z · slices 24–56 · 1,204 vessel, 8,040 background, 12 % unlabelled``."""
    at = painting.axis
    low, high = painting.region.start[at], painting.region.stop[at]
    known = painting.vessel + painting.background
    left = 100 * (painting.pixels - known) / max(painting.pixels, 1)
    share = f"{left:.0f}" if left == 0 or left >= 1 else "<1"
    counts = f"{painting.vessel:,} vessel, {painting.background:,} background"
    return f"MIP {painting.number} along {AXES[at]} · slices {low}–{high} · {counts}, {share} % unlabelled"


def describe_slabs(blocks: tuple[ReviewBlock, ...]) -> list[tuple[int, str]]:
    """Return the number and a line for each painted projection of a project, the newest first."""
    marks = {BlockState.OPEN: "open", BlockState.ACCEPTED: "accepted", BlockState.SKIPPED: "set aside"}
    found = []
    for block in reversed(blocks):
        if block.axis is not None:
            low, high = block.region.start[block.axis], block.region.stop[block.axis]
            text = f"MIP {block.number} · {AXES[block.axis]} {low}–{high} · {marks[block.state]}"
            found.append((block.number, text))
    return found


def check_slab(region: Region) -> None:
    """Raise RegionError where a slab has more voxels than can be back-projected at once."""
    if region.size > LARGEST:
        raise RegionError(
            "The slab is too large to be painted at once",
            value=f"{'x'.join(str(side) for side in region.shape)}, {describe_count(region.size)}voxels",
            limit=f"{describe_count(LARGEST)}voxels",
            remedy="Zoom in, or make the slab thinner",
        )


def stamp(
    plane: np.ndarray, stroke: tuple[Place, Place], radius_um: float, pixel_um: Place, value: int
) -> bool:
    """Paint a round brush drawn from one place to another, in place; return whether a pixel changed.

    A brush smaller than a pixel still paints the pixel that it is over.
    """
    steps = np.asarray(pixel_um, float)
    ends = np.array(stroke, float)
    low = np.maximum(np.floor(ends.min(axis=0) - radius_um / steps), 0).astype(int)
    high = np.minimum(np.ceil(ends.max(axis=0) + radius_um / steps) + 1, plane.shape).astype(int)
    if (high <= low).any():
        return False
    rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
    y, x = (rows + 0.5) * steps[0], (columns + 0.5) * steps[1]
    (y0, x0), (y1, x1) = ends * steps
    length = (y1 - y0) ** 2 + (x1 - x0) ** 2
    along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length if length else 0.0
    along = np.clip(along, 0, 1)
    reach = max(radius_um, 0.5 * math.hypot(*steps))
    inside = (y - y0 - along * (y1 - y0)) ** 2 + (x - x0 - along * (x1 - x0)) ** 2 <= reach**2
    part = plane[low[0] : high[0], low[1] : high[1]]
    changed = bool((part[inside] != value).any())
    part[inside] = value
    return changed


def _hint(painting: Painting) -> str:
    depth = painting.region.shape[painting.axis]
    if depth > TEACHES_BEST:
        return (
            f"Slabs of 8 to {TEACHES_BEST} slices teach best; this one has {depth}: vessels hide each other."
        )
    if not painting.vessel:
        return "Paint the vessels; wheel: brush size. Then: Rest is background."
    return ""
