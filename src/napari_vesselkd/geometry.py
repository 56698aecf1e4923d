"""Regions and voxel sizes.

Notation: z, y, x are the axes of a volume in storage order; a region is a half-open box of voxels
``[start, stop)`` in (z, y, x); a voxel size is (z, y, x) in micrometres. A 2D image is
a volume with one slice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from napari_vesselkd.errors import RegionError, VoxelSizeError

Shape = tuple[int, int, int]
VoxelSize = tuple[float, float, float]

AXES = ("z", "y", "x")
_NUMBER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Region:
    """Half-open box of voxels, (z, y, x).

    Raises
    ------
    RegionError
        If an axis is reversed (``stop < start``). Empty regions are allowed; parsing refuses them.
    """

    start: Shape
    stop: Shape

    def __post_init__(self) -> None:
        for axis, low, high in zip(AXES, self.start, self.stop, strict=True):
            if high < low:
                raise RegionError(
                    f"The region is reversed along {axis}",
                    value=f"{low}:{high}",
                    limit="start < stop",
                    remedy="Swap the two numbers",
                )

    @classmethod
    def whole(cls, shape: Sequence[int]) -> Region:
        """Return the region that covers an array of `shape`."""
        return cls((0, 0, 0), as_shape(shape))

    @classmethod
    def parse(cls, text: str, within: Sequence[int]) -> Region:
        """Read ``"z0:z1,y0:y1,x0:x1"``; an empty bound means the border of `within`.

        Raises
        ------
        RegionError
            If the text is not three ranges of whole numbers, or the region is reversed, empty or not
            inside `within`.
        """
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 3 or any(part.count(":") != 1 for part in parts):
            raise RegionError(
                "The region is not three ranges",
                value=repr(text),
                limit="z0:z1,y0:y1,x0:x1",
                remedy="Give one range of voxels per axis, for example 0:64,0:128,0:128",
            )
        bounds = [
            _parse_range(axis, part, size) for axis, part, size in zip(AXES, parts, within, strict=True)
        ]
        region = cls(as_shape([low for low, _ in bounds]), as_shape([high for _, high in bounds]))
        return region.checked(within)

    def checked(self, within: Sequence[int]) -> Region:
        """Return this region if it is not empty and lies inside an array of shape `within`.

        Raises
        ------
        RegionError
            If it does not.
        """
        for axis, low, high, size in zip(AXES, self.start, self.stop, within, strict=True):
            if low < 0 or high > size or low >= high:
                raise RegionError(
                    f"The region is outside the volume or empty along {axis}",
                    value=f"{low}:{high}",
                    limit=f"0 <= start < stop <= {size}",
                    remedy="Choose a region inside the volume; `vesselkd info` prints its shape",
                )
        return self

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" for low, high in zip(self.start, self.stop, strict=True))

    @property
    def shape(self) -> Shape:
        return as_shape([high - low for low, high in zip(self.start, self.stop, strict=True)])

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The index that reads this region from a (z, y, x) array."""
        z, y, x = (slice(low, high) for low, high in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def centre(self) -> tuple[float, float, float]:
        z, y, x = ((low + high) / 2 for low, high in zip(self.start, self.stop, strict=True))
        return z, y, x

    def intersection(self, other: Region) -> Region | None:
        """Return the common box, or None where there is none."""
        start = as_shape([max(a, b) for a, b in zip(self.start, other.start, strict=True)])
        stop = as_shape([min(a, b) for a, b in zip(self.stop, other.stop, strict=True)])
        if any(high <= low for low, high in zip(start, stop, strict=True)):
            return None
        return Region(start, stop)

    def contains(self, other: Region) -> bool:
        return all(a <= b for a, b in zip(self.start, other.start, strict=True)) and all(
            a >= b for a, b in zip(self.stop, other.stop, strict=True)
        )

    def expanded(self, margin: Sequence[int]) -> Region:
        """Return the box grown by `margin` voxels (z, y, x) on each side; it may leave the volume."""
        start = as_shape([low - m for low, m in zip(self.start, margin, strict=True)])
        stop = as_shape([high + m for high, m in zip(self.stop, margin, strict=True)])
        return Region(start, stop)

    def shifted(self, offset: Sequence[int]) -> Region:
        """Return the box moved by `offset` voxels (z, y, x)."""
        start = as_shape([low + o for low, o in zip(self.start, offset, strict=True)])
        stop = as_shape([high + o for high, o in zip(self.stop, offset, strict=True)])
        return Region(start, stop)

    def relative_to(self, origin: Sequence[int]) -> Region:
        """Return the box in the coordinates of an array whose first voxel is `origin`."""
        return self.shifted([-o for o in origin])

    def aligned(self, multiple: Sequence[int]) -> Region:
        """Return the smallest box around this one whose bounds are multiples of `multiple` (z, y, x)."""
        start = as_shape([low // m * m for low, m in zip(self.start, multiple, strict=True)])
        stop = as_shape([-(-high // m) * m for high, m in zip(self.stop, multiple, strict=True)])
        return Region(start, stop)

    def pieces(self, shape: Sequence[int]) -> Iterator[Region]:
        """Cut this region into boxes of at most `shape`, in z, y, x order."""
        for z in range(self.start[0], self.stop[0], shape[0]):
            for y in range(self.start[1], self.stop[1], shape[1]):
                for x in range(self.start[2], self.stop[2], shape[2]):
                    box = Region((z, y, x), (z + shape[0], y + shape[1], x + shape[2]))
                    yield cast(Region, box.intersection(self))

    def reads(self, chunk: Sequence[int], voxels: int) -> Iterator[Region]:
        """Cut this region into reads of about `voxels` voxels, so that no storage chunk is in two of them.

        Parameters
        ----------
        chunk : (z, y, x)
            The storage chunk; a read holds at least one.
        voxels : int
            About the size of a read.
        """
        shape = list(chunk)
        for axis in (2, 1, 0):
            spanned = -(-self.stop[axis] // chunk[axis]) - self.start[axis] // chunk[axis]
            shape[axis] *= min(max(1, voxels // math.prod(shape)), spanned)
        for piece in self.aligned(chunk).pieces(shape):
            yield cast(Region, piece.intersection(self))


def as_shape(values: Sequence[int]) -> Shape:
    """Return three whole numbers as a tuple of plain ints."""
    z, y, x = (int(value) for value in values)
    return z, y, x


def checked_voxel_size(values: Sequence[float]) -> VoxelSize:
    """Return (z, y, x) in um as floats.

    Raises
    ------
    VoxelSizeError
        If there are not three values, or one is not a positive finite number.
    """
    sizes = tuple(float(value) for value in values)
    if len(sizes) != 3 or any(not math.isfinite(size) or size <= 0 for size in sizes):
        raise VoxelSizeError(
            "The voxel size cannot be used",
            value=",".join(f"{size:g}" for size in sizes),
            limit="three positive finite numbers z,y,x in um",
            remedy="Give it with --voxel-size z,y,x",
        )
    return sizes


def parse_voxel_size(text: str) -> VoxelSize:
    """Read ``"z,y,x"`` in um.

    Raises
    ------
    VoxelSizeError
        If it is not three positive finite numbers.
    """
    try:
        return checked_voxel_size([float(part) for part in text.split(",")])
    except ValueError as error:
        if isinstance(error, VoxelSizeError):
            raise
        raise VoxelSizeError(
            "The voxel size is not made of numbers",
            value=repr(text),
            limit="z,y,x in um",
            remedy="For example --voxel-size 3,1.625,1.625",
        ) from error


def _parse_range(axis: str, text: str, size: int) -> tuple[int, int]:
    low, high = (part.strip() for part in text.split(":"))
    for bound in (low, high):
        if bound and not _NUMBER.fullmatch(bound):
            raise RegionError(
                f"The region has a bound that is not a whole number along {axis}",
                value=repr(text),
                limit="whole numbers of voxels",
            )
    return int(low or 0), int(high or size)
