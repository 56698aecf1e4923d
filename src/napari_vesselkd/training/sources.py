"""What a run learns from: the volumes of a DATASET.csv, or a project's corrections and its image.

Volumes are read patch by patch; nothing is copied but what a project's people corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.project import Project
from napari_vesselkd.training.crops import FOREGROUND, Crop, read_crop
from napari_vesselkd.training.dataset import Dataset
from napari_vesselkd.training.rows import LabelsOf, open_row, read_rows
from napari_vesselkd.training.streams import Source, source_of_crop
from napari_vesselkd.volume import Volume, measure_intensity_window

WATCHED: Shape = (64, 128, 128)
MOST_WATCHED = 4
SEARCHED: Shape = (64, 256, 256)


@dataclass(frozen=True, eq=False)
class Material:
    """Open volumes to learn from.

    Attributes
    ----------
    labelled, unlabelled : tuple of Source
    watched : tuple of Crop
        Labelled pieces that are not learned from, to look at during training.
    voxel_size_um : (z, y, x)
        Of the first volume.
    about : dict
        For the lineage: source, names.
    """

    labelled: tuple[Source, ...]
    unlabelled: tuple[Source, ...]
    watched: tuple[Crop, ...]
    voxel_size_um: VoxelSize
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Source, ...]:
        """Every source, as images alone."""
        return tuple(Source(one.name, one.volume, one.window) for one in (*self.labelled, *self.unlabelled))


@contextmanager
def material_of_csv(
    path: Path, *, upper: float, held_out: Sequence[str] = (), labels: bool = True
) -> Iterator[Material]:
    """Open the volumes of a DATASET.csv.

    Parameters
    ----------
    path : Path
    upper : float
        Percentile of the intensity window.
    held_out : sequence of str
        Groups that are not learned from, neither with their labels nor without.
    labels : bool
        Whether there must be labels with a vessel.

    Raises
    ------
    InvalidInputError
        If the file is not complete, a group is unknown, a label has another shape than its image, there is
        nothing left to learn from, or no label has a vessel.
    """
    rows = read_rows(path, unlabelled=True)
    _check_groups(rows, held_out)
    with ExitStack() as opened:
        found = [(row, _source(path.parent, row, upper, opened)) for row in rows]
        kept = [(row, source) for row, source in found if row["group"] not in held_out]
        labelled = tuple(source for _, source in kept if source.labels is not None)
        if labels and not any(has_vessel(one.volume, one.labels) for one in labelled if one.labels):
            raise InvalidInputError(
                "No label to learn from has a vessel",
                value=f"{path}: {len(labelled)} labelled volumes",
                limit="at least one voxel above 0",
                remedy="Add a labelled volume" + (", or hold out another group" if held_out else ""),
            )
        yield Material(
            labelled,
            tuple(source for _, source in kept if source.labels is None),
            tuple(_watched(source) for row, source in found if row["group"] in held_out and source.labels)[
                :MOST_WATCHED
            ],
            found[0][1].volume.voxel_size_um,
            {
                "source": str(path),
                "volumes": [source.name for _, source in kept],
                "held_out_groups": list(held_out),
            },
        )


@contextmanager
def material_of_project(path: Path, crops: Dataset, *, upper: float) -> Iterator[Material]:
    """Open a project's image, unlabelled, with the crops that `copy_dataset` made of its corrections.

    Raises
    ------
    ProjectError
        If the image is gone.
    """
    with Project.open(path, write=False) as project, project.open_image() as image:
        window = measure_intensity_window(image, lower=0.0, upper=upper)
        yield Material(
            tuple(source_of_crop(read_crop(file)) for file in crops.files()),
            (Source(image.name, image, window),),
            tuple(read_crop(file) for file in crops.files(held_out=True)),
            image.voxel_size_um,
            {"source": crops.source, "blocks": list(crops.blocks), "learned_from": crops.learned_from},
        )


def has_vessel(volume: Volume, labels: LabelsOf) -> bool:
    """Whether the labels of a volume hold a vessel; they are read piece by piece until there is one."""
    pieces = Region.whole(volume.shape).pieces(SEARCHED)
    return any(bool((labels(piece) == FOREGROUND).any()) for piece in pieces)


def require_unlabelled(material: Material, what: str) -> None:
    """Raise InvalidInputError if there is no unlabelled volume, which `what` needs."""
    if not material.unlabelled:
        raise InvalidInputError(
            f"{what} needs unlabelled volumes, and there are none",
            value=material.about.get("source", ""),
            remedy="Add rows with an empty label, or choose --method baseline",
        )


def _check_groups(rows: Sequence[dict[str, str]], held_out: Sequence[str]) -> None:
    groups = sorted({row["group"] for row in rows})
    for name in held_out:
        if name not in groups:
            raise InvalidInputError("There is no such group to hold out", value=name, limit=", ".join(groups))
    if held_out and set(groups) == set(held_out):
        raise InvalidInputError(
            "Every group is held out, so that none is left to learn from",
            value=", ".join(held_out),
            limit="at least one other group",
            remedy="Add volumes of another group",
        )


def _source(folder: Path, row: dict[str, str], upper: float, opened: ExitStack) -> Source:
    volume, labels = open_row(folder, row, opened)
    return Source(row["image"], volume, measure_intensity_window(volume, lower=0.0, upper=upper), labels)


def _watched(source: Source) -> Crop:
    """Return the middle of a labelled source."""
    assert source.labels is not None  # noqa: S101  (asked of labelled sources only)
    volume = source.volume
    sides = [min(n, most) for n, most in zip(volume.shape, WATCHED, strict=True)]
    start = as_shape([(n - side) // 2 for n, side in zip(volume.shape, sides, strict=True)])
    place = Region(start, as_shape([low + side for low, side in zip(start, sides, strict=True)]))
    return Crop(
        source.name,
        np.asarray(volume.read(place)),
        source.labels(place),
        (source.window.low, source.window.high),
        volume.signature(),
        volume.voxel_size_um,
        start,
    )
