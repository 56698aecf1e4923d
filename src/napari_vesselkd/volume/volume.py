"""The lazy 3D image: levels of (z, y, x) arrays with their voxel sizes, whatever they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, VesselKDError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.volume.lazy import LazyArray
from napari_vesselkd.volume.sampling import sample_regions
from napari_vesselkd.volume.sources.found import first_line

SIGNATURE_VOXELS = 65_536


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image that is read region by region; a context manager that closes its file.

    Attributes
    ----------
    name : str
        The file's name without ending, or the layer's.
    path : Path or None
        The file or folder, None for arrays in memory.
    format : str
        "ome-zarr 0.5", "zarr v3", "tiff", "ome-tiff", "tiff folder", "nifti", "hdf5", "mha", "nrrd",
        "picture" or "array".
    levels : tuple of LazyArray
        (z, y, x) each, the finest first: zarr arrays where the file has them in that shape, else thin views
        that read on indexing.
    level_voxel_sizes_um : tuple of (z, y, x) in um
        One per level.
    level_chunks : tuple of (z, y, x) in voxels
        What one read of the source decodes at least, per level.
    origin_um : (z, y, x) in um
        Position of the centre of the first voxel of level 0.
    voxel_size_known : bool
        False where the file gives no size (then 1 um) or no unit.
    channel : int
        Index of the channel that `levels` show.
    channel_names : tuple of str
        Empty without a channel axis.
    """

    name: str
    path: Path | None
    format: str
    levels: tuple[LazyArray, ...]
    level_voxel_sizes_um: tuple[VoxelSize, ...]
    level_chunks: tuple[Shape, ...]
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_size_known: bool = True
    channel: int = 0
    channel_names: tuple[str, ...] = ()
    release: Callable[[], None] | None = None
    count_missing: Callable[[int], int | None] | None = None

    ndim = 3

    @property
    def shape(self) -> Shape:
        return as_shape(self.levels[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels, in this machine's byte order."""
        return np.dtype(self.levels[0].dtype).newbyteorder("=")

    @property
    def size(self) -> int:
        """Number of voxels of level 0."""
        z, y, x = self.shape
        return z * y * x

    @property
    def nbytes(self) -> int:
        """Bytes of level 0 once unpacked."""
        return self.size * self.dtype.itemsize

    @property
    def voxel_size_um(self) -> VoxelSize:
        return self.level_voxel_sizes_um[0]

    @property
    def chunks(self) -> Shape:
        return self.level_chunks[0]

    def read(self, region: Region, level: int = 0) -> npt.NDArray[Any]:
        """Read a region.

        Parameters
        ----------
        region : Region
            In voxels of `level`.
        level : int, optional
            0 is the finest.

        Returns
        -------
        ndarray (z, y, x)
            The raw voxels, contiguous, in this machine's byte order.

        Raises
        ------
        RegionError
            If the region is empty or not inside the level.
        InvalidInputError
            If there is no such level.
        CorruptSourceError
            If the file cannot be decoded there; it names the chunk.
        """
        array = self.levels[self._checked_level(level)]
        region.checked(array.shape)
        try:
            block = np.asarray(array[region.slices])
        except VesselKDError:
            raise
        except Exception as error:  # each codec and file format fails in its own way
            raise self._damage(region, level, error) from error
        return np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("="))

    def at_level(self, level: int) -> Volume:
        """Return the same volume with `level` as its finest; closing either closes both.

        Raises
        ------
        InvalidInputError
            If there is no such level.
        """
        level = self._checked_level(level)
        if level == 0:
            return self
        count = self.count_missing
        sizes = self.level_voxel_sizes_um
        z, y, x = (
            start + (coarse - fine) / 2
            for start, coarse, fine in zip(self.origin_um, sizes[level], sizes[0], strict=True)
        )
        return replace(
            self,
            levels=self.levels[level:],
            level_voxel_sizes_um=sizes[level:],
            level_chunks=self.level_chunks[level:],
            origin_um=(z, y, x),
            count_missing=None if count is None else lambda below: count(below + level),
        )

    def missing_chunks(self) -> int | None:
        """Count the chunks of level 0 that are not stored and therefore read as the fill value (usually 0).

        None where the format has no such chunks, or they are too many to count.
        """
        return None if self.count_missing is None else self.count_missing(0)

    def signature(self) -> str:
        """Return a hash of shape, type, voxel size and a bounded sample of voxels; a moved file keeps it."""
        digest = hashlib.sha256(f"{self.shape} {self.dtype.str} {self.voxel_size_um}".encode())
        for region in sample_regions(self.shape, self.chunks, SIGNATURE_VOXELS, blocks=27, seed=0):
            digest.update(self.read(region).tobytes())
        return digest.hexdigest()[:32]

    def close(self) -> None:
        """Close the file; the volume cannot be read afterwards."""
        if self.release is not None:
            self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked_level(self, level: int) -> int:
        if not 0 <= level < len(self.levels):
            raise InvalidInputError(
                f"{self.path or self.name} has no such level",
                value=level,
                limit=f"0..{len(self.levels) - 1}" if len(self.levels) > 1 else "0, the only one",
                remedy="`vesselkd info` lists the levels",
            )
        return level

    def _damage(self, region: Region, level: int, error: Exception) -> CorruptSourceError:
        """Return the error that names the first chunk of `region` that cannot be read."""
        array, chunk = self.levels[level], self.level_chunks[level]
        for piece in region.aligned(chunk).pieces(chunk):
            part = piece.intersection(region)
            try:
                if part is not None:
                    array[part.slices]
            except Exception as cause:
                error, region = cause, part or region
                break
        return CorruptSourceError(
            f"{self.path or self.name} is damaged at level {level}, region {region}, "
            f"chunk {tuple(low // size for low, size in zip(region.start, chunk, strict=True))}",
            value=first_line(error),
            remedy="Copy the file again, or segment a region that leaves it out",
        )


def level_sizes(finest: VoxelSize, shapes: Sequence[Shape]) -> tuple[VoxelSize, ...]:
    """Return the voxel size of each level from that of the finest and the shapes, (z, y, x) in um."""
    sizes = []
    for shape in shapes:
        z, y, x = (
            size * max(1, round(fine / coarse))
            for size, fine, coarse in zip(finest, shapes[0], shape, strict=True)
        )
        sizes.append((z, y, x))
    return tuple(sizes)
