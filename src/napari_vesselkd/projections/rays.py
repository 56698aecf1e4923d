"""Labels of the rays of a slab, as they are painted on its maximum-intensity projection, and what they imply.

A ray is the run of voxels of a slab behind one pixel of its projection. Background: no voxel of it is vessel;
vessel: at least one is. Kozinski et al. (Tracing in 2D to Reduce the Annotation Effort for 3D Deep
Delineation, MedIA 2020) train with them; two axes together leave vessel only in their visual hull.

Notation: regions are (z, y, x) voxels of the volume; `axis` is 0 z, 1 y, 2 x; a plane is an array of the
slab's shape with `axis` collapsed to 1; labels are uint8 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, Shape, as_shape
from napari_vesselkd.labels.edits import BACKGROUND, UNLABELLED, VESSEL
from napari_vesselkd.projections.picture import contrast_window

Plane = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RayLabels:
    """What is painted on the projection of a slab.

    Attributes
    ----------
    region : Region
        The slab.
    axis : int
        It is projected along.
    plane : ndarray of uint8
        0, 1 or 2 for each ray.

    Raises
    ------
    InvalidInputError
        If there is no such axis, or the plane is not the slab's.
    """

    region: Region
    axis: int
    plane: Plane

    def __post_init__(self) -> None:
        if self.axis not in range(3):
            raise InvalidInputError("No such axis", value=self.axis, limit="0 z, 1 y, 2 x")
        wanted = plane_shape(self.region.shape, self.axis)
        if self.plane.shape != wanted:
            raise InvalidInputError(
                f"What is painted is not of this slab along {AXES[self.axis]}",
                value=self.plane.shape,
                limit=str(wanted),
            )

    def part(self, box: Region) -> RayLabels | None:
        """Return the pieces of the rays inside `box`, labels as they are; None where there is none."""
        common = self.region.intersection(box)
        if common is None:
            return None
        place = list(common.relative_to(self.region.start).slices)
        place[self.axis] = slice(0, 1)
        return RayLabels(common, self.axis, self.plane[tuple(place)])

    def whole_in(self, box: Region) -> bool:
        """Return whether `box` holds the slab from front to back."""
        at = self.axis
        return box.start[at] <= self.region.start[at] and self.region.stop[at] <= box.stop[at]


def plane_shape(shape: Sequence[int], axis: int) -> Shape:
    """Return the shape of the plane of a slab of `shape`."""
    return as_shape([1 if at == axis else size for at, size in enumerate(shape)])


def ray_window(image: npt.NDArray[Any], axis: int) -> tuple[float, float]:
    """Return the raw values shown as black and white in the projection of `image` (z, y, x).

    It is the contrast of the pictures in the docks: what is brighter than white looks alike to who paints, so
    it must look alike to whatever asks where along a ray the vessel is.
    """
    return contrast_window(np.nanmax(finite(image), axis=axis))


def ray_depths(image: npt.NDArray[Any], axis: int, window: tuple[float, float]) -> npt.NDArray[np.int32]:
    """Return for each ray the index along `axis` of its maximum in `window`, in the shape of the plane.

    Voxels at or above the window's upper end are equals; of several maxima it is the middle one of their
    longest run, the first of equally long ones: the first voxel alone would lie on the wall of a vessel.
    """
    low, high = window
    values = np.clip(np.moveaxis(finite(image).astype(np.float32), axis, 0), low, high)
    best = values == values.max(axis=0)
    length = np.zeros(best.shape, np.int32)  # of the run of maxima that ends here
    length[0] = best[0]
    for index in range(1, len(best)):
        length[index] = np.where(best[index], length[index - 1] + 1, 0)
    end = length.argmax(axis=0)
    longest = np.take_along_axis(length, end[None], axis=0)[0]
    return np.expand_dims((end - longest // 2).astype(np.int32), axis)


def hull(box: Region, labels: Sequence[RayLabels]) -> Mask:
    """Return where in `box` (z, y, x) vessel can be: on no ray that is background.

    Unlabelled rays, and voxels that no slab holds, count as "maybe".
    """
    maybe = np.ones(box.shape, bool)
    for one in labels:
        part = one.part(box)
        if part is not None:
            maybe[part.region.relative_to(box.start).slices] &= part.plane != BACKGROUND
    return maybe


def cut(labels: RayLabels, box: Region, others: Sequence[RayLabels] = ()) -> RayLabels | None:
    """Return what the labels of rays say of their pieces inside `box`; None where there is no piece.

    Background stays: it holds for every piece of a ray. Vessel stays on rays that lie wholly inside. Of a ray
    that the box cuts, the vessel may lie outside. With the labels of other axes the rule is that of
    Kozinski's `criterionMIPhull`: the piece is vessel where one of its voxels is in the hull of their
    vessels, background where none is in their hull of vessel and unlabelled, otherwise unlabelled; with none
    it is unlabelled. A whole ray of vessel that the others contradict is unlabelled.

    Parameters
    ----------
    labels : RayLabels
    box : Region
        For example a training patch.
    others : sequence of RayLabels
        Of the same volume; those along the same axis tell nothing about depth and are left out.
    """
    part = labels.part(box)
    if part is None:
        return None
    across = [one for one in others if one is not labels and one.axis != labels.axis]
    whole = labels.whole_in(box)
    maybe = hull(part.region, across)
    vessels = _vessel_hull(part.region, across)
    possible, likely = (mask.any(axis=labels.axis, keepdims=True) for mask in (maybe, vessels))
    plane = part.plane.copy()
    vessel = plane == VESSEL
    if whole:
        plane[vessel & ~possible] = UNLABELLED
    else:
        plane[vessel & ~likely] = UNLABELLED
        plane[vessel & ~possible] = BACKGROUND
    return RayLabels(part.region, part.axis, plane)


def _vessel_hull(box: Region, labels: Sequence[RayLabels]) -> Mask:
    """Return where in `box` every ray that there is, and at least one, is vessel."""
    agreed, known = np.ones(box.shape, bool), np.zeros(box.shape, bool)
    for one in labels:
        part = one.part(box)
        if part is not None:
            place = part.region.relative_to(box.start).slices
            agreed[place] &= part.plane == VESSEL
            known[place] = True
    return agreed & known


def finite(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return `image` with its lowest value where it is not a number."""
    if image.dtype.kind != "f" or not np.isnan(image).any():
        return image
    known = image[np.isfinite(image)]
    return np.where(np.isnan(image), known.min() if known.size else 0, image)
