"""The map of codes on disk: which code each cell of a volume has.

NAME.codes.ome.zarr is an OME-Zarr label image on the grid of the code cells, which lies over the volume::

    0, 1, ...       (z, y, x) uint16: 0 not computed yet, else code + 1; level k + 1 takes every second cell
    distance        (z, y, x) float16: how far the place is from its code, NaN where not computed
    zarr.json       beside the OME metadata, under "vesselkd_codes": what it is a map of
    .vesselkd/      which cells are done, and the intensity window (see `RunRecord`)

Cell i covers the voxels [i * stride, (i + 1) * stride) of the level worked on; the last may end beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.errors import (
    CheckpointError,
    CorruptSourceError,
    InvalidInputError,
    RegionError,
    SourceNotFoundError,
    UnsupportedSourceError,
)
from napari_vesselkd.geometry import AXES, Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.volume import IntensityWindow, Volume

CODES_FOLDER, CODES_ENDING = "codes", ".codes.ome.zarr"  # of a project; of a map
KEY = "vesselkd_codes"
DISTANCE = "distance"
REMAKE = "Map the codes again with --restart, or copy the folder back from a backup"


@dataclass(frozen=True, eq=False)
class CodeMap:
    """A code map, read-only; a context manager. What a run still writes to it is seen at the next read.

    Attributes
    ----------
    path : Path
    levels : tuple of zarr.Array
        (z, y, x) uint16 each, finest first: 0 not computed, else code + 1.
    distance : zarr.Array
        (z, y, x) float16, see `Quantiser.distances`; NaN where not computed.
    id : str
        Drawn when the map was begun; another one after a restart.
    stride : tuple of int
        Voxels per cell, (z, y, x).
    volume_shape : tuple of int
        Of the level worked on.
    voxel_size_um : tuple of float
        Of that level, (z, y, x).
    voxel_size_known : bool
    level : int
        Of the image, 0 the finest.
    volume_name, signature : str
        Of the image, see `Volume.signature`.
    checkpoint, sha256 : str
        Name of the teacher and hash of its weights.
    code_count : int
        N of the codebook.
    """

    path: Path
    levels: tuple[Any, ...]
    distance: Any
    id: str
    stride: Shape
    volume_shape: Shape
    voxel_size_um: VoxelSize
    voxel_size_known: bool
    level: int
    volume_name: str
    signature: str
    checkpoint: str
    sha256: str
    code_count: int

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a code map.

        Raises
        ------
        SourceNotFoundError
            If there is nothing at `path`.
        UnsupportedSourceError
            If it is no code map.
        """
        import zarr

        path = Path(path).expanduser()
        if not path.exists():
            raise SourceNotFoundError(
                "There is no code map here", value=path, remedy="`vesselkd codes` makes one"
            )
        try:
            group = zarr.open_group(path, mode="r")
            about: Any = group.attrs[KEY]
            ome: Any = group.attrs["ome"]
            levels = [group[one["path"]] for one in ome["multiscales"][0]["datasets"]]
            found = cls(path, tuple(levels), group[DISTANCE], **_checked(about))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise UnsupportedSourceError(
                "This is no code map",
                value=f"{path} ({type(error).__name__})",
                limit="a folder NAME.codes.ome.zarr that `vesselkd codes` wrote",
            ) from error
        if found.shape != as_shape(found.distance.shape):
            raise UnsupportedSourceError("The code map is damaged: its parts differ in shape", value=path)
        return found

    @property
    def name(self) -> str:
        """The folder's name without its ending."""
        return self.path.name.removesuffix(".zarr").removesuffix(".ome").removesuffix(".codes")

    @property
    def codes(self) -> Any:
        """The finest level, (z, y, x) uint16."""
        return self.levels[0]

    @property
    def shape(self) -> Shape:
        """Of the grid, (z, y, x) cells."""
        return as_shape(self.levels[0].shape)

    @property
    def cell_size_um(self) -> VoxelSize:
        """Of a cell, (z, y, x)."""
        z, y, x = (size * step for size, step in zip(self.voxel_size_um, self.stride, strict=True))
        return z, y, x

    @property
    def record(self) -> RunRecord | None:
        """Which cells are done, in cells; None where the folder has lost it."""
        return RunRecord.open(self.path)

    @property
    def window(self) -> IntensityWindow | None:
        """The intensity window that the encoder's voxels were scaled with; None before the first block."""
        record = self.record
        kept = None if record is None else record.values.get("window")
        return None if kept is None else IntensityWindow(**kept)

    @property
    def revision(self) -> int:
        """A number that grows whenever further cells were written."""
        record = self.record
        return 0 if record is None else int(np.count_nonzero(record.done))

    def computed(self, cells: Region | None = None) -> float:
        """Return the share, 0..1, of the cells that are computed."""
        record = self.record
        return 0.0 if record is None else record.share_done(cells or Region.whole(self.shape))

    def read(self, cells: Region) -> npt.NDArray[np.uint16]:
        """Return the codes of a box of cells, (z, y, x): 0 not computed, else code + 1.

        Raises
        ------
        RegionError
            If it is empty or not inside the map.
        CorruptSourceError
            If a chunk cannot be decoded.
        """
        return cast(npt.NDArray[np.uint16], self._read(self.codes, cells))

    def read_distance(self, cells: Region) -> npt.NDArray[np.float32]:
        """Return the distance of each cell of a box to its code, (z, y, x); NaN where not computed.

        Raises
        ------
        RegionError, CorruptSourceError
            As `read`.
        """
        return self._read(self.distance, cells).astype(np.float32)

    def cell_of(self, voxel: tuple[int, ...]) -> Shape:
        """Return the cell that a voxel (z, y, x) of the level worked on lies in.

        Raises
        ------
        RegionError
            If it is outside the volume.
        """
        for axis, at, size in zip(AXES, voxel, self.volume_shape, strict=True):
            if not 0 <= at < size:
                raise RegionError(
                    f"The voxel is outside the volume along {axis}", value=at, limit=f"0..{size - 1}"
                )
        return as_shape([int(at) // step for at, step in zip(voxel, self.stride, strict=True)])

    def voxels_of(self, cells: Region) -> Region:
        """Return the voxels that a box of cells covers, as far as they lie in the volume."""
        cells.checked(self.shape)
        start = as_shape([low * step for low, step in zip(cells.start, self.stride, strict=True)])
        stop = as_shape([high * step for high, step in zip(cells.stop, self.stride, strict=True)])
        return cast(Region, Region(start, stop).intersection(Region.whole(self.volume_shape)))

    def cells_of(self, voxels: Region) -> Region:
        """Return the cells that a box of voxels touches; RegionError where it is not in the volume."""
        voxels.checked(self.volume_shape)
        start = [low // step for low, step in zip(voxels.start, self.stride, strict=True)]
        stop = [-(-high // step) for high, step in zip(voxels.stop, self.stride, strict=True)]
        return Region(as_shape(start), as_shape(stop))

    def volume_at(self, volume: Volume) -> Volume:
        """Return `volume` at the level that the map is of.

        Raises
        ------
        InvalidInputError
            If the map is of another image; the message says what differs.
        """
        for level, array in enumerate(volume.levels):
            if as_shape(array.shape) == self.volume_shape:
                found = volume.at_level(level)
                if found.signature() != self.signature:
                    raise self._of_another(volume, "its voxels, or their type or size, differ")
                return found
        raise self._of_another(volume, f"it has no level of {self.volume_shape} voxels")

    def check(self, volume: Volume) -> None:
        """Raise InvalidInputError, saying what differs, if the map is not of a level of `volume`."""
        self.volume_at(volume)

    def check_checkpoint(self, card: CheckpointCard) -> None:
        """Raise CheckpointError if the map was made with other weights than those of `card`."""
        if card.sha256 != self.sha256:
            raise CheckpointError(
                "The code map was made with another checkpoint: its codes mean something else",
                value=f"{card.name} ({card.sha256[:12]})",
                limit=f"{self.checkpoint} ({self.sha256[:12]})",
                remedy="Choose that checkpoint, or map the codes with this one",
            )

    def close(self) -> None:
        """Nothing is held open; for symmetry with `open`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, array: Any, cells: Region) -> npt.NDArray[Any]:
        cells.checked(self.shape)
        try:
            return np.asarray(array[cells.slices])
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            raise CorruptSourceError(
                f"The code map {self.path.name} is damaged in the cells {cells}",
                value=f"{self.path} ({error})",
                remedy=REMAKE,
            ) from error

    def _of_another(self, volume: Volume, why: str) -> InvalidInputError:
        return InvalidInputError(
            f"The code map is of another image: {why}",
            value=volume.name,
            limit=f"{self.volume_name}, {self.volume_shape} voxels",
            remedy="Open the image that the map was made of, or map the codes of this one",
        )


def _checked(about: Any) -> dict[str, Any]:
    """Return the arguments of `CodeMap`; KeyError, TypeError or ValueError if the metadata is broken."""
    return {
        **{key: str(about[key]) for key in ("id", "volume_name", "signature", "checkpoint", "sha256")},
        **{key: int(about[key]) for key in ("level", "code_count")},
        "stride": as_shape(about["stride"]),
        "volume_shape": as_shape(about["volume_shape"]),
        "voxel_size_um": checked_voxel_size(about["voxel_size_um"]),
        "voxel_size_known": bool(about["voxel_size_known"]),
    }
