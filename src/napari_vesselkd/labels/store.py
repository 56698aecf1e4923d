"""A label image as an OME-Zarr whose pyramid is right after every write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import CorruptSourceError, OutputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.volume import create_multiscale, downsample, open_levels, output_errors, update_pyramid
from napari_vesselkd.volume.pyramid import coarser_region, factors_between


@dataclass(frozen=True, eq=False)
class LabelStore:
    """An OME-Zarr image of one byte per voxel.

    Attributes
    ----------
    path : Path
        The folder.
    levels : tuple of zarr.Array
        (z, y, x) uint8 each, finest first; napari shows them as they are, also while they are written.
    voxel_size_um : tuple of float
        (z, y, x) of the finest level.
    label : bool
        True for labels (coarser voxels take the largest of theirs), False for a probability (their mean).
    """

    path: Path
    levels: tuple[Any, ...]
    voxel_size_um: VoxelSize
    label: bool = True

    @property
    def shape(self) -> Shape:
        return as_shape(self.levels[0].shape)

    @property
    def chunk(self) -> Shape:
        return as_shape(self.levels[0].chunks)

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: Sequence[int],
        voxel_size_um: Sequence[float],
        *,
        name: str | None = None,
        chunk: Sequence[int] | None = None,
        origin_um: Sequence[float] = (0.0, 0.0, 0.0),
        voxel_size_known: bool = True,
        label: bool = True,
    ) -> Self:
        """Create an empty label image; arguments as in `create_multiscale`.

        Raises
        ------
        OutputError
            If the folder holds something already or cannot be written.
        """
        size = checked_voxel_size(voxel_size_um)
        levels = create_multiscale(
            path,
            shape,
            np.uint8,
            voxel_size_um=size,
            chunk=chunk,
            name=name,
            origin_um=origin_um,
            voxel_size_known=voxel_size_known,
            label=label,
        )
        return cls(Path(path), tuple(levels), size, label)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a label image for reading and writing.

        Raises
        ------
        OutputError
            If the folder is not an OME-Zarr image of bytes.
        """
        path = Path(path)
        try:
            levels = open_levels(path)
            metadata = _ome(path)
            transforms = metadata["multiscales"][0]["datasets"][0]["coordinateTransformations"]
            size = checked_voxel_size(transforms[0]["scale"])
            known = all(level.ndim == 3 and level.dtype == np.uint8 for level in levels)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise _not_labels(path) from error
        if not known:
            raise _not_labels(path)
        return cls(path, tuple(levels), size, "image-label" in metadata)

    def read(self, region: Region, level: int = 0) -> npt.NDArray[np.uint8]:
        """Return the voxels of `region`, (z, y, x) uint8.

        Raises
        ------
        CorruptSourceError
            If a chunk cannot be decoded.
        """
        try:
            return np.asarray(self.levels[level][region.slices])
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            raise CorruptSourceError(
                f"The labels {self.path.name} are damaged at level {level}, region {region}",
                value=f"{self.path} ({error})",
                remedy="Segment again with --restart, or copy the folder back from a backup",
            ) from error

    def write(self, region: Region, voxels: npt.NDArray[np.uint8]) -> None:
        """Write the voxels of `region` and bring every coarser level in step. Not for two threads at once.

        Raises
        ------
        OutputError
            If the disk is full or read-only.
        """
        with output_errors(self.path):
            self.levels[0][region.slices] = voxels
            for depth, (fine, coarse) in enumerate(zip(self.levels, self.levels[1:], strict=False)):
                factors = factors_between(fine.shape, coarse.shape)
                if not _covers_whole_cells(region, factors, fine.shape):
                    update_pyramid(self.levels[depth:], region, self.label)
                    return
                voxels = downsample(voxels, factors, self.label)
                region = coarser_region(region, factors)
                coarse[region.slices] = voxels


def _covers_whole_cells(region: Region, factors: Shape, shape: Sequence[int]) -> bool:
    """Whether all voxels that `region` shares a coarser voxel with lie inside it."""
    return all(
        low % f == 0 and (high % f == 0 or high == n)
        for low, high, f, n in zip(region.start, region.stop, factors, shape, strict=True)
    )


def _ome(path: Path) -> dict[str, Any]:
    import zarr

    attributes = dict(zarr.open_group(path, mode="r").attrs)
    ome: dict[str, Any] = attributes.get("ome", attributes)
    return ome


def _not_labels(path: Path) -> OutputError:
    return OutputError("Not a label image of napari-vesselkd", value=path, limit="an OME-Zarr of bytes")
