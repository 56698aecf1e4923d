"""What every format module hands over: arrays with named axes, sizes in um, and how to let go of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import CorruptSourceError
from napari_vesselkd.geometry import AXES, VoxelSize

KNOWN_AXES = "tcszyx"


@dataclass(frozen=True, eq=False)
class Found:
    """An opened source before its axes are brought to (z, y, x).

    Attributes
    ----------
    format : str
        For people: "ome-zarr 0.5", "tiff", ...
    arrays : tuple of arrays
        One per level, finest first; all with the axes `axes`.
    axes : str
        One of the letters t c s z y x per dimension; s are the samples of an RGB pixel.
    voxel_sizes_um : tuple of (z, y, x) in um, or None
        One per level, unchecked; None where the file does not say.
    size_known : bool
        False where `voxel_sizes_um` rests on a guess (a NIfTI file without a unit).
    origin_um : (z, y, x) in um
        Position of the centre of the first voxel.
    channel_names : tuple of str
        Names of the channels, empty where the file does not say.
    release : callable
        Closes the file.
    count_missing : callable, optional
        Takes a level and the (axis -> index) that is read of it; counts its chunks that are not stored.
    """

    format: str
    arrays: tuple[Any, ...]
    axes: str
    voxel_sizes_um: tuple[VoxelSize, ...] | None = None
    size_known: bool = True
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channel_names: tuple[str, ...] = ()
    release: Callable[[], None] | None = None
    count_missing: Callable[[int, dict[str, int]], int | None] | None = None


def voxel_size_of(values: dict[str, float]) -> VoxelSize:
    """Return the (z, y, x) voxel size in um as metadata give it per axis; an absent axis is 1 um."""
    z, y, x = (float(values.get(axis, 1.0)) for axis in AXES)
    return z, y, x


def damaged(path: Path, what: str, error: BaseException | None = None, **details: Any) -> CorruptSourceError:
    """Return the error for a broken file, with the first line of what its library said."""
    if error is not None and "value" not in details:
        details["value"] = first_line(error)
    details.setdefault("remedy", "Copy or export the file again")
    return CorruptSourceError(f"{path} {what}", **details)


def first_line(error: BaseException) -> str:
    """Return the telling line of an exception's message: the first, of ITK's the last; or its kind."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    return lines[-1 if lines[0].startswith("Exception thrown in SimpleITK") else 0].strip()[:300]
