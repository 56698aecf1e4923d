"""A suggestion as it is shown and applied: which voxels change, into what, and the line that says so. No Qt.

Notation: regions are in voxels (z, y, x) of the volume; values 0 unlabelled, 1 background, 2 vessel.
"""

from dataclasses import dataclass

import numpy as np

from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.plugin.tools.proposing import Suggestion
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.plugin.visible import describe_count

ADDED, REMOVED, CLEARED = 1, 2, 3  # what the proposal's layer shows


@dataclass(frozen=True, eq=False)
class Preview:
    """What would change.

    Attributes
    ----------
    region : Region
        The smallest box around the change.
    values : ndarray of uint8, (z, y, x)
    where : ndarray of bool, (z, y, x)
        The voxels that change.
    shown : ndarray of uint8, (z, y, x)
        0 nothing, 1 vessel added, 2 vessel removed, 3 unlabelled.
    outside : int
        How many of them lie outside the block.
    text : str
        What it does and its numbers.
    """

    region: Region
    values: np.ndarray
    where: np.ndarray
    shown: np.ndarray
    outside: int
    text: str

    @property
    def count(self) -> int:
        return int(np.count_nonzero(self.where))


def preview(suggestion: Suggestion, scene: Scene) -> Preview | None:
    """Return what applying a suggestion would change, in the block and outside of it; None for nothing."""
    changes = [one for one in suggestion.changes if one.count]
    if not changes:
        return None
    box = _around([one.region for one in changes])
    before, inside = _before(scene, box)
    values = before.copy()
    for one in changes:
        values[one.region.relative_to(box.start).slices][one.mask] = one.value
    where = values != before
    beyond = int(np.count_nonzero(where & ~inside))
    if not where.any():
        return None
    shown = np.where(values == VESSEL, ADDED, np.where(before == VESSEL, REMOVED, 0)).astype(np.uint8)
    shown[values == 0] = CLEARED
    shown[~where] = 0
    tight = _tight(where)
    text = _text(suggestion, shown, scene, beyond)
    return Preview(
        tight.shifted(box.start),
        values[tight.slices],
        where[tight.slices],
        shown[tight.slices],
        beyond,
        text,
    )


def together(suggestions: list[Suggestion]) -> Suggestion:
    """Return several suggestions as one step."""
    changes = tuple(change for one in suggestions for change in one.changes)
    return Suggestion(changes, f"{len(suggestions)} proposals")


def _before(scene: Scene, box: Region) -> tuple[np.ndarray, np.ndarray]:
    """Return what `box` holds now, 0 to 2, and where it is inside the block."""
    before = np.where(scene.read(box), VESSEL, 1).astype(np.uint8)
    inside = np.zeros(box.shape, bool)
    common = box.intersection(scene.block)
    if common is not None:
        at = common.relative_to(box.start).slices
        before[at], inside[at] = scene.inside(common), True
    return before, inside


def _text(suggestion: Suggestion, shown: np.ndarray, scene: Scene, beyond: int) -> str:
    volume = float(np.prod(scene.voxel_size_um))
    parts = []
    for code, sign in ((ADDED, "+"), (REMOVED, "\N{MINUS SIGN}"), (CLEARED, "0")):
        count = int(np.count_nonzero(shown == code))
        if count:
            what = "unlabelled: " if code == CLEARED else sign + " "
            parts.append(f"{what}{describe_count(count)}voxels ({_um3(count * volume)})")
    text = f"{suggestion.reason.replace(' um', ' µm')}.\n{' · '.join(parts)}"
    if beyond:
        text += f"\n{describe_count(beyond)}voxels of it lie outside the block; one undo takes all back."
    return text


def _um3(volume: float) -> str:
    if volume >= 1e7:
        return f"{volume / 1e9:.3g} mm³"
    return f"{volume:.0f} µm³" if volume >= 100 else f"{volume:.3g} µm³"


def _around(regions: list[Region]) -> Region:
    start = as_shape(np.min([one.start for one in regions], axis=0).tolist())
    return Region(start, as_shape(np.max([one.stop for one in regions], axis=0).tolist()))


def _tight(where: np.ndarray) -> Region:
    spans = [np.flatnonzero(where.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return Region(as_shape([int(one[0]) for one in spans]), as_shape([int(one[-1]) + 1 for one in spans]))
