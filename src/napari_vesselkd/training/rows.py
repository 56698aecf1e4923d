"""The rows of a DATASET.csv: what they say, and the volumes that they name.

Notation: arrays are (z, y, x); labels are uint8 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, SourceNotFoundError, VoxelSizeError
from napari_vesselkd.geometry import Region, VoxelSize, parse_voxel_size
from napari_vesselkd.training.crops import BACKGROUND, FOREGROUND
from napari_vesselkd.volume import Volume, open_volume

COLUMNS = ("image", "label", "group", "voxel_size_um", "mask")
LabelsOf = Callable[[Region], npt.NDArray[np.uint8]]


def read_rows(path: Path, *, unlabelled: bool = False) -> list[dict[str, str]]:
    """Return the rows of a DATASET.csv that have a label, or all; images are relative to the file.

    Raises
    ------
    SourceNotFoundError
        If there is no such file.
    InvalidInputError
        If a column is missing, a voxel size cannot be used, or no row has a label.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS[:4] if name not in (reader.fieldnames or ())]
            rows, lines = [], []
            for row in reader if not missing else ():
                rows.append({key: row.get(key) or "" for key in COLUMNS})
                lines.append(reader.line_num)
    except FileNotFoundError as error:
        raise SourceNotFoundError("There is no such file", value=path) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError("The data set is not a CSV file", value=f"{path} ({error})") from error
    if missing:
        raise InvalidInputError(
            f"The data set lacks the column {', '.join(missing)}",
            value=path,
            limit=", ".join(COLUMNS[:4]) + " and optionally mask",
            remedy="Add it to the first line; where nothing is known a value may be empty",
        )
    for row, line in zip(rows, lines, strict=True):
        _check_voxel_size(row, path, line)
    found = [row for row in rows if row["image"] and (row["label"] or unlabelled)]
    if not found:
        what = "an image" if unlabelled else "a label"
        raise InvalidInputError(f"No row of the data set has {what}", value=path, remedy="Fill the column")
    return found


def _check_voxel_size(row: dict[str, str], path: Path, line: int) -> None:
    """Raise InvalidInputError if a row's voxel size cannot be read; without quotes it is three values."""
    try:
        if row["voxel_size_um"]:
            parse_voxel_size(row["voxel_size_um"])
    except VoxelSizeError as error:
        raise InvalidInputError(
            f"The voxel size in line {line}, column voxel_size_um, cannot be used",
            value=f"{row['voxel_size_um']} in {path}",
            limit=error.limit,
            remedy='Write the three numbers in quotes: "1,1,1"',
        ) from error


def open_row(folder: Path, row: dict[str, str], opened: ExitStack) -> tuple[Volume, LabelsOf | None]:
    """Open the image of a row and its labels: region to uint8, 0 where the mask is 0, 2 vessel, else 1.

    Raises
    ------
    InvalidInputError
        If label or mask has another shape than the image.
    """
    size: VoxelSize | None = parse_voxel_size(row["voxel_size_um"]) if row["voxel_size_um"] else None
    volume = opened.enter_context(open_volume(folder / row["image"], voxel_size_um=size))
    if not row["label"]:
        return volume, None
    label = _beside(volume, folder, row["label"], opened)
    mask = _beside(volume, folder, row["mask"], opened) if row["mask"] else None
    return volume, partial(_binary_labels, label, mask)


def _beside(volume: Volume, folder: Path, name: str, opened: ExitStack) -> Volume:
    """Open a volume that must have the shape of `volume`."""
    other = opened.enter_context(open_volume(folder / name))
    _check_shape(volume, other, name)
    return other


def _binary_labels(label: Volume, mask: Volume | None, place: Region) -> npt.NDArray[np.uint8]:
    found = np.where(label.read(place) > 0, FOREGROUND, BACKGROUND).astype(np.uint8)
    if mask is not None:
        found[mask.read(place) == 0] = 0
    return found


def _check_shape(one: Volume, other: Volume, name: str) -> None:
    if one.shape != other.shape:
        raise InvalidInputError(
            "The labels have another shape than their image",
            value=f"{name}: {other.shape}",
            limit=str(one.shape),
            remedy="Give the file that belongs to this image, or leave its column empty",
        )
