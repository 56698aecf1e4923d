"""Tubes to voxels: signed distances to capsules of linearly changing radius, evaluated at voxel centres.

Notation: a segment goes from `start` to `stop` (z, y, x in um) with radius `radius_start` to `radius_stop`.
For a point p, t in [0, 1] is its clamped projection on the segment and q(t) the point there; the signed
distance is ``|p - q(t)| - r(t)``, negative inside. The signed distance of a network is the minimum over its
segments. Voxel (k, j, i) has its centre at ``(k, j, i) * voxel_size_um``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Shape, VoxelSize

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
_BOX_SIDES = np.array(
    [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256, 512, 1024]
)
_BATCH_VOXELS = 1_000_000
_LARGE_BOX = 6_000


@dataclass(frozen=True, eq=False)
class Segments:
    """The capsules of a network; N is the number of segments.

    Attributes
    ----------
    start, stop : (N, 3) float64, z y x in um
    radius_start, radius_stop : (N,) float64, um
    edge : (N,) int32, which edge of the graph a segment belongs to
    """

    start: F64
    stop: F64
    radius_start: F64
    radius_stop: F64
    edge: I32

    def __len__(self) -> int:
        return len(self.start)


def signed_distance(
    segments: Segments,
    shape: Shape,
    voxel_size_um: VoxelSize,
    *,
    reach_um: float,
    inflation_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> tuple[F32, I32]:
    """Return the signed distance to the nearest tube and the index of its segment.

    Parameters
    ----------
    reach_um : float
        Distances above this are not computed; such voxels hold `reach_um` and segment -1.
    inflation_um : tuple of float
        Half axes (z, y, x) in um of the ellipsoid by which the tubes are thickened: along the unit vector n
        from the axis to the voxel the radius grows by the ellipsoid's support, ``|inflation * n|``.

    Returns
    -------
    distance : (z, y, x) float32, um, negative inside
    segment : (z, y, x) int32, -1 where no tube is within reach
    """
    distance = np.full(shape, reach_um, np.float32)
    owner = np.full(shape, -1, np.int32)
    size = np.asarray(voxel_size_um)
    widest = np.maximum(segments.radius_start, segments.radius_stop)[:, None]
    margin = widest + reach_um + max(inflation_um)  # an oblique n takes from every half axis
    low = np.ceil((np.minimum(segments.start, segments.stop) - margin) / size).astype(np.int64)
    high = np.floor((np.maximum(segments.start, segments.stop) + margin) / size).astype(np.int64) + 1
    extent = np.asarray(shape)
    touching = np.flatnonzero(np.all((high > 0) & (low < extent) & (high > low), axis=1))
    low, high = np.clip(low[touching], 0, extent), np.clip(high[touching], 0, extent)
    sides = np.minimum(_BOX_SIDES[np.searchsorted(_BOX_SIDES, high - low)], extent)
    low = np.minimum(low, extent - sides)
    kinds, kind = np.unique(sides, axis=0, return_inverse=True)
    for index, box in enumerate(kinds):
        members = np.flatnonzero(kind.ravel() == index)
        per_batch = max(1, _BATCH_VOXELS // int(box.prod())) if box.prod() <= _LARGE_BOX else 1
        for first in range(0, len(members), per_batch):
            chosen = members[first : first + per_batch]
            _paint(
                distance,
                owner,
                segments=segments,
                chosen=touching[chosen],
                low=low[chosen],
                box=box,
                size=size,
                inflation_um=inflation_um,
            )
    return distance, owner


def _paint(
    distance: F32,
    owner: I32,
    *,
    segments: Segments,
    chosen: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    box: npt.NDArray[np.int64],
    size: F64,
    inflation_um: tuple[float, float, float],
) -> None:
    values = _box_distances(segments, chosen, low=low, box=box, size=size, inflation_um=inflation_um)
    if len(chosen) == 1:
        place = tuple(slice(int(a), int(a + n)) for a, n in zip(low[0], box, strict=True))
        closer = values[0] < distance[place]
        distance[place][closer] = values[0][closer]
        owner[place][closer] = chosen[0]
        return
    stride = (distance.shape[1] * distance.shape[2], distance.shape[2], 1)
    flat = sum(
        ((low[:, axis, None] + np.arange(box[axis])) * stride[axis]).reshape(_axis_shape(len(low), axis, box))
        for axis in range(3)
    )
    near = values < distance.ravel()[flat]
    places, candidates = np.asarray(flat)[near], values[near]
    names = np.broadcast_to(chosen[:, None, None, None], values.shape)[near]
    np.minimum.at(distance.reshape(-1), places, candidates)
    winners = candidates <= distance.ravel()[places]
    owner.reshape(-1)[places[winners]] = names[winners]


def _axis_shape(count: int, axis: int, box: npt.NDArray[np.int64]) -> tuple[int, ...]:
    shape = [count, 1, 1, 1]
    shape[axis + 1] = int(box[axis])
    return tuple(shape)


def _box_distances(
    segments: Segments,
    chosen: npt.NDArray[np.int64],
    *,
    low: npt.NDArray[np.int64],
    box: npt.NDArray[np.int64],
    size: F64,
    inflation_um: tuple[float, float, float],
) -> F32:
    """Return (B, z, y, x) signed distances of B segments, each in its own box."""
    start = segments.start[chosen]
    along = segments.stop[chosen] - start
    squared_length = np.maximum((along**2).sum(1), 1e-12)
    offset = [
        ((low[:, axis, None] + np.arange(box[axis])) * size[axis] - start[:, axis, None])
        .astype(np.float32)
        .reshape(_axis_shape(len(low), axis, box))
        for axis in range(3)
    ]
    direction = along.astype(np.float32)[:, :, None, None, None]
    unit = (along / squared_length[:, None]).astype(np.float32)[:, :, None, None, None]
    t = offset[0] * unit[:, 0] + offset[1] * unit[:, 1] + offset[2] * unit[:, 2]
    np.clip(t, 0, 1, out=t)
    squared = [np.square(offset[axis] - t * direction[:, axis]) for axis in range(3)]
    length = np.sqrt(squared[0] + squared[1] + squared[2])
    first = segments.radius_start[chosen].astype(np.float32)[:, None, None, None]
    growth = (segments.radius_stop - segments.radius_start)[chosen].astype(np.float32)[:, None, None, None]
    signed = length - (first + growth * t)
    if any(inflation_um):
        support = sum(np.float32(h) ** 2 * part for h, part in zip(inflation_um, squared, strict=True))
        signed -= np.sqrt(support) / np.maximum(length, np.float32(1e-6))
    return np.asarray(signed, np.float32)
