"""Which image a project is of: recognised by a signature of its content, found again where it was moved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import CorruptSourceError, ProjectError, SourceNotFoundError, VesselKDError
from napari_vesselkd.geometry import Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.volume import Volume, open_volume


@dataclass(frozen=True)
class ImageReference:
    """The image of a project.

    Attributes
    ----------
    name : str
    path : Path or None
        Where it was found last; None for an image that was only in memory.
    signature : str
        See `Volume.signature`.
    shape : (z, y, x)
        Of the level worked on.
    voxel_size_um : (z, y, x) in um
        Of that level.
    voxel_size_known : bool
    level, channel : int
        Of the file, as `open_volume` takes them.
    dtype : str
        Type of the voxels.
    """

    name: str
    path: Path | None
    signature: str
    shape: Shape
    voxel_size_um: VoxelSize
    voxel_size_known: bool
    level: int
    channel: int
    dtype: str = ""

    @classmethod
    def of(cls, volume: Volume) -> ImageReference:
        """Return the reference of an open volume; reads the sample of voxels that identifies it."""
        return cls(
            volume.name,
            None if volume.path is None else Path(volume.path).absolute(),
            volume.signature(),
            volume.shape,
            volume.voxel_size_um,
            volume.voxel_size_known,
            _level_of(volume),
            volume.channel,
            str(volume.dtype),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the path is the journal's, as it may change."""
        return {
            "name": self.name,
            "signature": self.signature,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "voxel_size_um": list(self.voxel_size_um),
            "voxel_size_known": self.voxel_size_known,
            "level": self.level,
            "channel": self.channel,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageReference:
        """Build it from JSON's values; ValueError, KeyError or TypeError where they make no sense."""
        shape, size = as_shape(values["shape"]), checked_voxel_size(values["voxel_size_um"])
        if min(shape) < 1 or not isinstance(values["signature"], str):
            raise ValueError("no shape or no signature")
        return cls(
            str(values["name"]),
            None,
            values["signature"],
            shape,
            size,
            bool(values["voxel_size_known"]),
            int(values["level"]),
            int(values["channel"]),
            str(values["dtype"]),
        )

    def check(self, volume: Volume) -> None:
        """Raise ProjectError, saying what differs, if `volume` is another image or another view of it."""
        for what, found, expected in (
            ("shape", volume.shape, self.shape),
            ("voxel type", str(volume.dtype), self.dtype),
            ("voxel size in um", volume.voxel_size_um, self.voxel_size_um),
        ):
            if found != expected:
                raise _another(volume, f"its {what} is {_text(found)}", f"{_text(expected)} of {self.name}")
        if volume.signature() != self.signature:
            raise _another(volume, "its voxels are not the same", f"the image {self.name}")

    def open(self, source: str | Path) -> Volume:
        """Open the image at `source`, checked: with this level, channel and voxel size.

        Raises
        ------
        ProjectError
            If it is another image.
        VesselKDError
            If it cannot be opened.
        """
        try:
            volume = open_volume(source, channel=self.channel, level=self.level)
        except (SourceNotFoundError, CorruptSourceError):
            raise
        except VesselKDError as error:
            raise ProjectError(
                "The file is not the image of this project",
                value=f"{source} ({error})",
                limit=self._described(),
                remedy="Give the path of the image",
            ) from error
        try:
            volume = self.applied(volume)
            self.check(volume)
        except BaseException:
            volume.close()
            raise
        return volume

    def applied(self, volume: Volume) -> Volume:
        """Return the volume with the voxel size that the project works with."""
        own = volume.voxel_size_um
        if own == self.voxel_size_um:
            return volume
        ratio = [wanted / found for wanted, found in zip(self.voxel_size_um, own, strict=True)]
        coarser = [
            checked_voxel_size([size * r for size, r in zip(sizes, ratio, strict=True)])
            for sizes in volume.level_voxel_sizes_um[1:]
        ]
        return replace(
            volume,
            level_voxel_sizes_um=(self.voxel_size_um, *coarser),
            voxel_size_known=self.voxel_size_known,
        )

    def _described(self) -> str:
        return f"{self.name}, shape {_text(self.shape)}, {self.dtype}"


def find_image(image: ImageReference, places: list[Path]) -> tuple[Volume, Path]:
    """Open the image at the first of `places` that holds it; return the place too.

    Raises
    ------
    SourceNotFoundError
        If there is nothing at any of them.
    ProjectError
        If there is only another image.
    """
    wrong: ProjectError | None = None
    for place in places:
        try:
            return image.open(place), place
        except SourceNotFoundError:
            continue
        except ProjectError as error:
            wrong = wrong or error
    if wrong is not None:
        raise wrong
    raise SourceNotFoundError(
        f"The image {image.name} of this project is not where it was"
        if places
        else f"The image {image.name} of this project was never in a file",
        value=", ".join(str(place) for place in places) or None,
        remedy="Say where it is now: it is recognised by its content, and its new place remembered",
    )


def relative_path(path: Path, project: Path) -> str | None:
    """Return `path` as seen from the folder that holds the project; None on another drive."""
    try:
        return os.path.relpath(path.absolute(), project.absolute().parent)
    except ValueError:
        return None


def _level_of(volume: Volume) -> int:
    """Return which level of its file `volume` begins with."""
    if volume.path is None:
        return 0
    try:
        with open_volume(volume.path, channel=volume.channel) as file:
            shapes = [as_shape(level.shape) for level in file.levels]
    except VesselKDError:
        return 0
    return shapes.index(volume.shape) if volume.shape in shapes else 0


def _another(volume: Volume, why: str, limit: str) -> ProjectError:
    return ProjectError(
        f"{volume.name} is not the image of this project: {why}",
        limit=limit,
        remedy="Open the project's own image, or make a new project for this one",
    )


def _text(value: Any) -> str:
    return ",".join(f"{one:g}" for one in value) if isinstance(value, tuple) else str(value)
