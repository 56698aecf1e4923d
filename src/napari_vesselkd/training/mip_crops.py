"""What is painted on projections, on disk with the image behind it, and what a patch of it can learn.

A slab is cut across its rays into pieces with some context around them; each piece keeps every painted ray
that passes through it, whole, so that the rule of the visual hull (`projections.rays.cut`) can be applied to
any patch of it later.

Notation: arrays are (z, y, x); regions are voxels of the volume; a plane is an array of a slab's shape with
its axis collapsed to 1, uint8 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.labels.edits import BACKGROUND, UNLABELLED, VESSEL
from napari_vesselkd.projections import SlabProjector, contrast_window
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.projections.rays import RayLabels, hull, plane_shape, ray_depths
from napari_vesselkd.projections.tubes import by_brightness, round_vessels
from napari_vesselkd.training.crops import Crop, read_crop, write_crop
from napari_vesselkd.volume import Volume

ALONG: tuple[Axis, ...] = ("z", "y", "x")
ACROSS = 256  # voxels of a piece along the axes that a slab is not projected along
LEAST = 64  # voxels of a piece with its context: a patch should see more than a thin slab and its reflection
Depths = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Painted:
    """A painted projection of the volume.

    Attributes
    ----------
    name : str
        For messages: "MIP 3".
    labels : RayLabels
    window : (low, high)
        Raw values that were black and white in its picture.
    """

    name: str
    labels: RayLabels
    window: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Rays:
    """Painted rays and where along them the image is brightest.

    Attributes
    ----------
    labels : RayLabels
        Rays from the front of their slab to its back.
    depths : ndarray of int32
        In the shape of the plane: index along the axis, in voxels of the volume.
    """

    labels: RayLabels
    depths: Depths


@dataclass(frozen=True, eq=False)
class MipCrop:
    """A piece of the volume with painted rays through it; the first are those it was cut for.

    Attributes
    ----------
    crop : Crop
        The image; its labels are what the rays say of voxels: background where one of them is, and of those
        behind painted vessels what brightness says (`projections.tubes`).
    rays : tuple of Rays
    """

    crop: Crop
    rays: tuple[Rays, ...]


def painted(name: str, labels: RayLabels, volume: Volume) -> Painted:
    """Return a painted projection with the contrast that its picture has, measured on all of its slab."""
    shown = SlabProjector(volume).project(labels.region, ALONG[labels.axis])
    return Painted(name, labels, contrast_window(shown.image))


def without(labels: RayLabels, regions: Sequence[Region]) -> RayLabels:
    """Return the labels without those of rays that pass through one of `regions` (held-out blocks)."""
    plane = labels.plane.copy()
    for region in regions:
        part = labels.part(region)
        if part is not None:
            place = list(part.region.relative_to(labels.region.start).slices)
            place[labels.axis] = slice(0, 1)
            plane[tuple(place)] = UNLABELLED
    return RayLabels(labels.region, labels.axis, plane)


def mip_crops(
    volume: Volume,
    window: tuple[float, float],
    all_painted: Sequence[Painted],
    context: Shape,
    *,
    least: int = LEAST,
) -> Iterator[MipCrop]:
    """Yield the pieces of all painted projections that have a label.

    Parameters
    ----------
    volume : Volume
    window : (low, high)
        The volume's intensity window, as `Crop` has it.
    all_painted : sequence of Painted
    context : (z, y, x)
        Voxels around a piece that are seen but not learned from, at least.
    least : int, optional
        Voxels along each side of a piece with its context, where the volume has as many.
    """
    for one in all_painted:
        for piece in _pieces(one.labels):
            around = [max(c, -(-(least - n) // 2)) for c, n in zip(context, piece.shape, strict=True)]
            place = piece.expanded(around).intersection(Region.whole(volume.shape))
            assert place is not None  # noqa: S101  (the slab lies in the volume)
            others = [other for other in all_painted if other is not one]
            seen = [_rays(volume, other, place) for other in (one, *others)]
            found = [rays for rays in seen if rays is not None]
            image = volume.read(place)
            crop = Crop(
                f"{one.name} {piece}",
                image,
                _voxels(found, image, place, volume.voxel_size_um),
                window,
                volume.signature(),
                volume.voxel_size_um,
                place.start,
            )
            yield MipCrop(crop, tuple(found))


def write_mip_crop(path: Path, piece: MipCrop) -> None:
    """Write `piece` to `path` (.npz) and the rays beside it, each aside and then renamed."""
    values: dict[str, npt.NDArray[np.generic]] = {}
    for number, rays in enumerate(piece.rays):
        region = rays.labels.region
        values[f"region{number}"] = np.array([region.start, region.stop])
        values[f"axis{number}"] = np.array(rays.labels.axis)
        values[f"plane{number}"], values[f"depths{number}"] = rays.labels.plane, rays.depths
    aside = path.with_suffix(".rays.part")
    with aside.open("wb") as stream:
        np.savez_compressed(stream, count=np.array(len(piece.rays)), **values)  # type: ignore[arg-type]
    aside.replace(path.with_suffix(".rays.npz"))
    write_crop(path, piece.crop)


def read_mip_crop(path: Path) -> MipCrop:
    """Read what `write_mip_crop` wrote."""
    with np.load(path.with_suffix(".rays.npz"), allow_pickle=False) as stored:
        rays = []
        for number in range(int(stored["count"])):
            start, stop = (as_shape(corner) for corner in stored[f"region{number}"])
            labels = RayLabels(Region(start, stop), int(stored[f"axis{number}"]), stored[f"plane{number}"])
            rays.append(Rays(labels, stored[f"depths{number}"]))
    return MipCrop(read_crop(path), tuple(rays))


def _voxels(
    found: Sequence[Rays], image: npt.NDArray[Any], place: Region, voxel_size_um: VoxelSize
) -> npt.NDArray[np.uint8]:
    """Return what rays say of the voxels of `place`, 0, 1 or 2."""
    voxels, behind = np.zeros(place.shape, np.uint8), np.zeros(place.shape, bool)
    for rays in found:
        labels, at = rays.labels, rays.labels.axis
        vessel = np.squeeze(labels.plane == VESSEL, at)
        common = labels.region.intersection(place)
        if common is None or not vessel.any():
            continue
        depth = np.squeeze(rays.depths, at) - np.int32(labels.region.start[at])
        tubes = round_vessels(vessel, depth, labels.region.shape[at], at, voxel_size_um)
        inside = tubes[common.relative_to(labels.region.start).slices]
        here = common.relative_to(place.start).slices
        voxels[here][inside] = VESSEL
        part = labels.part(common)
        assert part is not None  # noqa: S101  (it lies in the slab)
        behind[here] |= part.plane == VESSEL
    voxels[~hull(place, [rays.labels for rays in found])] = BACKGROUND
    return by_brightness(voxels, image, behind)


def _pieces(labels: RayLabels) -> Iterator[Region]:
    """Cut a slab across its rays; yield the pieces that have a label, cut to the labels' bounds."""
    shape = as_shape([labels.region.shape[at] if at == labels.axis else ACROSS for at in range(3)])
    for piece in labels.region.pieces(shape):
        part = labels.part(piece)
        if part is not None and part.plane.any():
            bounds = [(int(at.min()), int(at.max()) + 1) for at in np.nonzero(part.plane)]
            start, stop = list(piece.start), list(piece.stop)
            for at in range(3):
                if at != labels.axis:
                    start[at], stop[at] = piece.start[at] + bounds[at][0], piece.start[at] + bounds[at][1]
            yield Region(as_shape(start), as_shape(stop))


def _rays(volume: Volume, one: Painted, place: Region) -> Rays | None:
    """Return the painted rays that pass through `place`, from front to back; None where there is none."""
    labels, at = one.labels, one.labels.axis
    if labels.region.intersection(place) is None:
        return None
    start, stop = list(place.start), list(place.stop)
    start[at], stop[at] = labels.region.start[at], labels.region.stop[at]
    part = labels.part(Region(as_shape(start), as_shape(stop)))
    if part is None or not part.plane.any():
        return None
    depths = ray_depths(volume.read(part.region), at, one.window) + np.int32(part.region.start[at])
    assert depths.shape == plane_shape(part.region.shape, at)  # noqa: S101
    return Rays(part, depths)
