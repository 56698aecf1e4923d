"""Batches from painted projections.

Notation: arrays are (z, y, x); B batch; a plane has a patch's shape with one axis collapsed to 1; labels are
0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from skimage.morphology import skeletonize
from torch import Tensor

from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.labels.edits import VESSEL
from napari_vesselkd.projections.rays import RayLabels, cut
from napari_vesselkd.training.augment import Symmetry, draw_symmetry
from napari_vesselkd.training.crops import FilesByVolume, appearance, mask_of
from napari_vesselkd.training.mip_crops import MipCrop, Rays, read_mip_crop
from napari_vesselkd.training.patches import CENTRELINE, Batch, PatchConfig, fill, to_batch
from napari_vesselkd.training.patches import VESSEL as VESSEL_BIT

VESSELS = 0.5  # share of the patches that hold a painted vessel, where there is one: most rays are background
LABELLED = 8  # bit of a plane: background or vessel
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class RayTarget:
    """Rays of one patch of a batch.

    Attributes
    ----------
    entry : int
        Which patch.
    axis : int
        They run along: 0 z, 1 y, 2 x.
    start, stop : int
        The voxels along the axis that belong to the slab.
    label, centreline, valid : Tensor (Z, Y, X) float32, with the axis collapsed to 1
        0 or 1, as in `Batch`: vessel; the skeleton of the painted vessels, dilated by two pixels; labelled.
    """

    entry: int
    axis: int
    start: int
    stop: int
    label: Tensor
    centreline: Tensor
    valid: Tensor


@dataclass(frozen=True)
class MipBatch:
    """One training step's data.

    Attributes
    ----------
    voxels : Batch
        The image, and what the rays say of voxels: see `MipCrop`.
    targets : tuple of RayTarget
    """

    voxels: Batch
    targets: tuple[RayTarget, ...]

    @property
    def image(self) -> Tensor:
        return self.voxels.image

    @property
    def names(self) -> tuple[str, ...]:
        return self.voxels.names

    @property
    def statistics(self) -> int | None:
        return self.voxels.statistics

    def to(self, device: torch.device) -> MipBatch:
        """Return it on a device, with the channels last in memory."""
        targets = tuple(
            replace(
                one,
                label=one.label.to(device),
                centreline=one.centreline.to(device),
                valid=one.valid.to(device),
            )
            for one in self.targets
        )
        return MipBatch(self.voxels.to(device), targets)


@dataclass(frozen=True, eq=False)
class _Patch:
    """One patch.

    Attributes
    ----------
    image : ndarray (z, y, x) float32
    mask : ndarray (z, y, x) uint8
        Bits of its voxels, see `mask_of`.
    rays : list of (axis, line, plane)
        Of each slab: uint8, 1 on its voxels along the axis, with the others collapsed; the bits of its rays,
        with the axis collapsed.
    """

    image: npt.NDArray[np.float32]
    mask: Mask
    rays: list[tuple[int, Mask, Mask]]

    def turned(self, symmetry: Symmetry) -> _Patch:
        """Return it mirrored and turned."""
        rays = [
            (symmetry.axis(axis), symmetry.apply(line), symmetry.apply(plane))
            for axis, line, plane in self.rays
        ]
        return _Patch(symmetry.apply(self.image), symmetry.apply(self.mask), rays)

    def planes(self, shape: Sequence[int]) -> list[tuple[int, Mask, Mask]]:
        """Return the rays of the patch when it is filled up to `shape`; there are none in the filling."""
        grow = [(0, side - n) for side, n in zip(shape, self.image.shape, strict=True)]
        found = []
        for axis, line, plane in self.rays:
            along = [pair if at == axis else (0, 0) for at, pair in enumerate(grow)]
            across = [(0, 0) if at == axis else pair for at, pair in enumerate(grow)]
            found.append((axis, np.pad(line, along), np.pad(plane, across)))
        return found


class MipPatches:
    """Batches from painted projections; call with a step's number.

    The same seed and step give the same batch. A patch holds its rays from front to back where it is long
    enough for them.

    Parameters
    ----------
    files : sequence of Path
        Written by `write_mip_crop`.
    volumes : sequence of str
        Signatures of the volumes; `Batch.statistics` is the index into it.
    config : PatchConfig
    seed : int
        Of places, orientation and appearance.
    """

    def __init__(
        self, files: Sequence[Path], volumes: Sequence[str], config: PatchConfig, seed: int = 0
    ) -> None:
        self.config, self.seed = config, seed
        self._read = cache(_read_with_centrelines)
        self._files = FilesByVolume(files, volumes, lambda file: self._read(file)[0].crop.volume)

    def __call__(self, step: int) -> MipBatch:
        """Return the batch of `step`."""
        rng = np.random.default_rng([self.seed, abs(step), int(step < 0), 3])
        volume, chosen = self._files.drawn(self.config.batch, rng)
        patches = [self._patch(file, rng) for file in chosen]
        shape = self.config.shape
        filled = [fill(patch.image, patch.mask, shape) for patch in patches]
        targets = tuple(
            _target(entry, *rays) for entry, patch in enumerate(patches) for rays in patch.planes(shape)
        )
        names = tuple(self._read(file)[0].crop.name for file in chosen)
        return MipBatch(to_batch(filled, names=names, statistics=volume), targets)

    def _patch(self, file: Path, rng: np.random.Generator) -> _Patch:
        piece, mask, lines = self._read(file)
        place = self._place(piece, rng)
        box = place.relative_to(piece.crop.origin)
        image = appearance(piece.crop, box.slices, self.config.augment, rng)
        symmetry, patch = draw_symmetry(rng), _Patch(image, mask[box.slices], [])
        labels = [rays.labels for rays in piece.rays]
        for rays, line in zip(piece.rays, lines, strict=True):
            said = cut(rays.labels, place, labels)
            if said is not None and said.plane.any():
                patch.rays.append((said.axis, *_line_and_plane(said, rays, line, place)))
        return patch.turned(symmetry)

    def _place(self, piece: MipCrop, rng: np.random.Generator) -> Region:
        """Return a random patch that holds a painted ray of the piece; from front to back if it can."""
        rays, config = piece.rays[0], self.config
        at, region = rays.labels.axis, piece.crop.region
        vessel = np.flatnonzero(rays.labels.plane == VESSEL)
        labelled = np.flatnonzero(rays.labels.plane)
        if len(vessel) and rng.random() < VESSELS:
            labelled = vessel
        pixel = np.unravel_index(labelled[int(rng.integers(len(labelled)))], rays.labels.plane.shape)
        first = [int(index) + low for index, low in zip(pixel, rays.labels.region.start, strict=True)]
        last = list(first)
        low, high = rays.labels.region.start[at], rays.labels.region.stop[at]
        sides = [min(side, n) for side, n in zip(config.shape, region.shape, strict=True)]
        least = max(config.thinnest, high - low if at == 0 else 0)
        if rng.random() < config.thin and sides[0] > least:
            sides[0] = int(rng.integers(least, sides[0] + 1))
        if high - low <= sides[at]:
            first[at], last[at] = low, high - 1
        else:
            first[at] = last[at] = int(rays.depths[pixel])
        start = [
            _start(one, other, side, (begin, end), rng)
            for one, other, side, begin, end in zip(
                first, last, sides, region.start, region.stop, strict=True
            )
        ]
        return Region(as_shape(start), as_shape([s + side for s, side in zip(start, sides, strict=True)]))


def _start(first: int, last: int, side: int, bounds: tuple[int, int], rng: np.random.Generator) -> int:
    """Return the start of a random run of `side` voxels inside `bounds` that holds `first` to `last`."""
    low, high = max(bounds[0], last - side + 1), min(bounds[1] - side, first)
    return int(rng.integers(low, max(low, high) + 1))


def _line_and_plane(
    said: RayLabels, rays: Rays, line: npt.NDArray[np.bool_], place: Region
) -> tuple[Mask, Mask]:
    """Return where along the rays a slab lies in the patch `place`, and the bits of its rays."""
    at, shape = said.axis, place.shape
    inside = said.region.relative_to(place.start).slices
    run = np.zeros([n if axis == at else 1 for axis, n in enumerate(shape)], np.uint8)
    run[tuple(inside[axis] if axis == at else slice(None) for axis in range(3))] = 1
    across = _across(said.region, rays.labels.region.start, at)
    vessel = said.plane == VESSEL
    bits = (said.plane > 0) * np.uint8(LABELLED) + vessel * np.uint8(VESSEL_BIT)
    bits += (vessel & line[across]) * np.uint8(CENTRELINE)
    plane = np.zeros([1 if axis == at else n for axis, n in enumerate(shape)], np.uint8)
    plane[tuple(slice(0, 1) if axis == at else inside[axis] for axis in range(3))] = bits
    return run, plane


def _across(region: Region, origin: Sequence[int], axis: int) -> tuple[slice, ...]:
    """Return where in a plane that begins at `origin` the rays of `region` are."""
    inside = region.relative_to(origin).slices
    return tuple(slice(0, 1) if at == axis else inside[at] for at in range(3))


def _target(entry: int, axis: int, line: Mask, plane: Mask) -> RayTarget:
    along = np.flatnonzero(line)
    label, centreline, valid = (
        torch.from_numpy((plane & bit != 0).astype(np.float32)) for bit in (VESSEL_BIT, CENTRELINE, LABELLED)
    )
    return RayTarget(entry, axis, int(along[0]), int(along[-1]) + 1, label, centreline, valid)


def _read_with_centrelines(file: Path) -> tuple[MipCrop, Mask, tuple[npt.NDArray[np.bool_], ...]]:
    """Return a piece, the bits of its voxels, and of each plane the dilated skeleton of its vessels."""
    piece = read_mip_crop(file)
    return piece, mask_of(piece.crop.label), tuple(_centreline(rays.labels) for rays in piece.rays)


def _centreline(labels: RayLabels) -> npt.NDArray[np.bool_]:
    vessel = np.squeeze(labels.plane == VESSEL, labels.axis)
    line = ndimage.binary_dilation(skeletonize(vessel), iterations=2) & vessel
    return np.asarray(np.expand_dims(line, labels.axis))
