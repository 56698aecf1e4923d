"""What the Look tab shows, computed without Qt.

Notation: regions are (z, y, x) voxels of the finest level; a slab is a half-open range along the projected
axis.
"""

from dataclasses import dataclass

from napari_vesselkd.geometry import AXES, Region, as_shape
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.visible import describe_count, slab_around
from napari_vesselkd.projections import SlabProjection
from napari_vesselkd.projections.project import Axis

HOWS = {"Maximum": "max", "Depth in colour": "depth", "Mean": "mean", "Minimum": "min"}


@dataclass(frozen=True)
class LookForm:
    """What the user chose.

    Attributes
    ----------
    thickness : int
        Slices of the slab; 0 for all of the region.
    centre : int
        The slab's middle slice along `axis`.
    how : {"max", "min", "mean", "depth"}
        What is shown of the voxels behind each other.
    """

    region: Region | None
    axis: Axis = "z"
    centre: int = 0
    thickness: int = 0
    how: str = "max"

    @property
    def slab(self) -> Region | None:
        """The region cut to the slab."""
        if self.region is None:
            return None
        if self.thickness == 0:
            return self.region
        at = AXES.index(self.axis)
        low, high = self.region.start[at], self.region.stop[at]
        start, stop = slab_around(self.centre - low, self.thickness, high - low)
        starts, stops = list(self.region.start), list(self.region.stop)
        starts[at], stops[at] = low + start, low + stop
        return Region(as_shape(starts), as_shape(stops))


@dataclass(frozen=True)
class LookPicture:
    """Everything the Look tab paints that is not an input."""

    facts: str
    project_enabled: bool
    project_tooltip: str
    saves_enabled: bool
    saves_tooltip: str
    hint: str
    failure: Failure | None


def draw_look(form: LookForm, *, refusal: str | None, busy: bool, has_picture: bool, failure: Failure | None,
              voxels: int = 0) -> LookPicture:  # fmt: skip
    """Return what the tab shows; `voxels` are those that a projection would read."""
    reason = refusal or ("" if form.slab is not None else "Nothing is chosen: move the view over the volume")
    waiting = has_picture or busy or bool(reason) or failure is not None
    hint = "" if waiting else f"{describe_count(voxels)}voxels to read: press Project"
    return LookPicture(
        facts=describe_slab(form),
        project_enabled=not reason and not busy,
        project_tooltip=reason or ("Projecting…" if busy else "Project the region again"),
        saves_enabled=has_picture,
        saves_tooltip="" if has_picture else (reason or "Nothing is projected yet"),
        hint="Projecting…" if busy and not has_picture else (reason if not has_picture else "") or hint,
        failure=failure,
    )


def describe_slab(form: LookForm) -> str:
    """Return ``slices z 24–56 (32) · y 0–512 · x 0–512``."""
    slab = form.slab
    if slab is None:
        return ""
    parts = []
    for axis, low, high in zip(AXES, slab.start, slab.stop, strict=True):
        depth = f" ({high - low} slices)" if axis == form.axis else ""
        parts.append(f"{axis} {low}–{high}{depth}")
    return " · ".join(parts)


def describe_voxel(shown: SlabProjection, row: int, column: int) -> str:
    """Return ``z 31 · y 204 · x 117 · 1843``: the voxel of the finest level behind a pixel, and its value."""
    voxel = shown.voxel(row, column)
    fine = [int((index + 0.5) * factor) for index, factor in zip(voxel, shown.factors, strict=True)]
    place = " · ".join(f"{axis} {at}" for axis, at in zip(AXES, fine, strict=True))
    return f"{place} · value {float(shown.image[row, column]):.5g}"
