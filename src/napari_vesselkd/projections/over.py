"""Labels over a projection: predictions, corrections and code maps, on whatever grid they lie.

Few values (a prediction, corrections) are projected like the image: the largest one in the slab shows. Many
values (codes, instances) have no order: of those, the one at the voxel that made the pixel shows.

Notation: a place v (z, y, x) in voxels of the image lies at ``scale * v + offset`` in voxels of the labels,
both counted from the centre of voxel 0; labels over a projection are (rows, columns).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import AXES, Region, as_shape
from napari_vesselkd.projections.levels import choose_level, level_factor, level_for_pixels, region_at
from napari_vesselkd.projections.slabs import SlabProjection, SlabProjector
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import Volume
from napari_vesselkd.volume.sampling import sample_regions

FEW = 2  # corrections have 1 background and 2 vessel
READ_VOXELS = 16_000_000
SAMPLED_VOXELS = 65_536
CACHE_BYTES = 64 * 2**20
Vector = tuple[float, float, float]


class LabelOverlay:
    """Labels that lie over a volume.

    Parameters
    ----------
    labels : Volume
    scale, offset : (z, y, x)
        Where the labels lie; see the module.
    """

    def __init__(
        self, labels: Volume, scale: Vector = (1.0, 1.0, 1.0), offset: Vector = (0.0, 0.0, 0.0)
    ) -> None:
        self.labels, self.scale, self.offset = labels, scale, offset
        self._projector = SlabProjector(labels, cache_bytes=CACHE_BYTES)
        self._few: bool | None = True if labels.dtype.kind == "b" else None

    def forget(self) -> None:
        """Read the labels again from now on: they may have changed."""
        self._projector.forget()
        self._few = True if self.labels.dtype.kind == "b" else None

    def over(self, shown: SlabProjection) -> Iterator[Progress | npt.NDArray[Any]]:
        """Yield the labels over `shown`, (rows, columns), after the progress of reading; 0 is nothing."""
        region = self._covered(shown)
        if region is None:
            yield np.zeros(shown.image.shape, self.labels.dtype)
        elif self.has_few():
            yield from self._largest(shown, region)
        else:
            yield self._at_voxels(shown, region)

    def has_few(self) -> bool:
        """Return whether the labels have few values, judged by a sample."""
        if self._few is None:
            coarse = self.labels.at_level(len(self.labels.levels) - 1)
            regions = sample_regions(coarse.shape, coarse.chunks, SAMPLED_VOXELS)
            self._few = all(int(coarse.read(region).max()) <= FEW for region in regions)
        return self._few

    def _covered(self, shown: SlabProjection) -> Region | None:
        """Return the voxels of the labels that the slab touches."""
        slab, start, stop = shown.full, [], []
        for low, high, scale, offset in zip(slab.start, slab.stop, self.scale, self.offset, strict=True):
            start.append(math.floor(scale * (low - 0.5) + offset + 0.5 + 1e-6))
            stop.append(math.ceil(scale * (high - 0.5) + offset + 0.5 - 1e-6))
        return Region(as_shape(start), as_shape(stop)).intersection(Region.whole(self.labels.shape))

    def _largest(self, shown: SlabProjection, region: Region) -> Iterator[Progress | npt.NDArray[Any]]:
        shapes = self._projector.shapes
        level = level_for_pixels(shapes, region, shown.axis, max(shown.image.shape))
        level = max(level, choose_level(shapes, region))
        found: SlabProjection | None = None
        for report in self._projector.projecting(region, shown.axis, levels=(level,)):
            if isinstance(report, Progress):
                yield report
            else:
                found = report
        flat = cast(SlabProjection, found)
        axes = [axis for axis in range(3) if AXES[axis] != shown.axis]
        picks = [self._index(shown, axis, level) - flat.region.start[axis] for axis in axes]
        yield _picked(flat.image, picks)

    def _at_voxels(self, shown: SlabProjection, region: Region) -> npt.NDArray[Any]:
        level = choose_level(self._projector.shapes, region, voxels=READ_VOXELS)
        box = region_at(region, self.labels.shape, self._projector.shapes[level])
        block = self.labels.read(box, level)
        at = AXES.index(shown.axis)
        axes = [axis for axis in range(3) if axis != at]
        picks: list[Any] = [None, None, None]
        for place, axis in enumerate(axes):
            line = self._index(shown, axis, level) - box.start[axis]
            picks[axis] = line[:, None] if place == 0 else line[None, :]
        depth = shown.depth
        if depth is None:
            depth = np.full(shown.image.shape, (shown.region.start[at] + shown.region.stop[at]) // 2)
        picks[at] = self._places(depth, shown, at, level) - box.start[at]
        inside = np.ones(shown.image.shape, bool)
        for pick, size in zip(picks, block.shape, strict=True):
            inside &= (pick >= 0) & (pick < size)
        z, y, x = (np.clip(pick, 0, size - 1) for pick, size in zip(picks, block.shape, strict=True))
        return np.asarray(np.where(inside, block[z, y, x], 0).astype(self.labels.dtype))

    def _index(self, shown: SlabProjection, axis: int, level: int) -> npt.NDArray[np.intp]:
        """Return the label voxel of `level` under each row or column of the projection."""
        voxels = np.arange(shown.region.start[axis], shown.region.stop[axis])
        return self._places(voxels, shown, axis, level)

    def _places(
        self, voxels: npt.NDArray[Any], shown: SlabProjection, axis: int, level: int
    ) -> npt.NDArray[np.intp]:
        centres = (voxels + 0.5) * shown.factors[axis] - 0.5
        found = self.scale[axis] * centres + self.offset[axis]
        factor = level_factor(self.labels.shape[axis], self._projector.shapes[level][axis])
        return np.asarray(np.floor((found + 0.5) / factor + 1e-6).astype(np.intp))


def _picked(flat: npt.NDArray[Any], picks: list[npt.NDArray[np.intp]]) -> npt.NDArray[Any]:
    """Return `flat` at the given rows and columns; 0 where they lie outside."""
    rows, columns = (np.clip(pick, 0, size - 1) for pick, size in zip(picks, flat.shape, strict=True))
    result = flat[np.ix_(rows, columns)]
    for axis, (pick, size) in enumerate(zip(picks, flat.shape, strict=True)):
        outside = (pick < 0) | (pick >= size)
        result[outside if axis == 0 else (slice(None), outside)] = 0
    return result
