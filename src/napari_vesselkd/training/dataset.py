"""What a run learns from, copied into its folder: blocks of a project, or volumes of a DATASET.csv.

Notation: arrays are (z, y, x); labels are uint8 0 unlabelled, 1 background, 2 vessel.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from napari_vesselkd.checkpoints import Checkpoint
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.models import statistics_of
from napari_vesselkd.project import Project, ReviewBlock
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.crops import BACKGROUND, FOREGROUND, Crop, write_crop
from napari_vesselkd.training.material import material_of
from napari_vesselkd.training.mip_crops import MipCrop, mip_crops, write_mip_crop
from napari_vesselkd.training.rows import open_row, read_rows
from napari_vesselkd.volume import Volume, measure_intensity_window, output_errors

CONTEXT: Shape = (8, 24, 24)  # voxels around a block that are seen, but not learned from
LARGEST_PIECE: Shape = (128, 256, 256)
MANIFEST = "dataset.json"
Feeding = Checkpoint | Mapping[str, float]


@dataclass(frozen=True)
class Dataset:
    """Crops on disk, see `training.crops`.

    Attributes
    ----------
    folder : Path
    training, held_out : tuple of str
        File names.
    mips : tuple of str
        File names of what is painted on projections, see `training.mip_crops`.
    statistics : dict
        Of each volume, by its signature: the normalisation statistics with the weights that training starts
        from (`statistics_of`).
    blocks : tuple of dict
        What was copied, for the lineage: name, region, held out or not; its kind, and what it is a piece of.
    background, vessel : int
        Labelled voxels to train on.
    source : str
        Project or file it was made from.
    """

    folder: Path
    training: tuple[str, ...]
    held_out: tuple[str, ...]
    statistics: dict[str, list[list[list[float]]]]
    blocks: tuple[dict[str, Any], ...]
    background: int
    vessel: int
    source: str
    mips: tuple[str, ...] = ()

    def files(self, held_out: bool = False) -> list[Path]:
        """Return the crops to train on, or those held out."""
        return [self.folder / name for name in (self.held_out if held_out else self.training)]

    def mip_files(self) -> list[Path]:
        """Return the pieces of painted projections to train on."""
        return [self.folder / name for name in self.mips]

    @property
    def learned_from(self) -> dict[str, int]:
        """How many corrected blocks, painted places and projections, and labelled volumes there are."""
        found: dict[str, set[str]] = {}
        for block in self.blocks:
            if not block["held_out"]:
                found.setdefault(block["kind"], set()).add(block["of"])
        return {kind: len(these) for kind, these in found.items()}

    @classmethod
    def read(cls, folder: Path) -> Dataset | None:
        """Return the data set in `folder`, or None where it is not complete."""
        try:
            values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        lists = {key: tuple(values.get(key, ())) for key in ("training", "held_out", "blocks", "mips")}
        return cls(folder=folder, **{**values, **lists})


@dataclass
class _Writer:
    """Writes crops into a folder and keeps count."""

    folder: Path
    source: str
    training: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    statistics: dict[str, list[list[list[float]]]] = field(default_factory=dict)
    background: int = 0
    vessel: int = 0
    mips: list[str] = field(default_factory=list)

    def add(self, crop: Crop, *, held_out: bool, kind: str, of: str) -> None:
        names = self.held_out if held_out else self.training
        file = f"{'held' if held_out else 'train'}-{len(names):04d}.npz"
        write_crop(self.folder / file, crop)
        names.append(file)
        about = {"name": crop.name, "region": str(crop.region), "held_out": held_out}
        self.blocks.append({**about, "kind": kind, "of": of})
        if not held_out:
            self.background += int(np.count_nonzero(crop.label == BACKGROUND))
            self.vessel += int(np.count_nonzero(crop.label == FOREGROUND))

    def add_mip(self, piece: MipCrop) -> None:
        file = f"mip-{len(self.mips):04d}.npz"
        write_mip_crop(self.folder / file, piece)
        self.mips.append(file)
        labels, name = piece.rays[0].labels, piece.crop.name
        about = {"name": name, "region": str(labels.region), "held_out": False, "axis": labels.axis}
        self.blocks.append({**about, "kind": "painted projection", "of": " ".join(name.split(" ")[:2])})

    def finish(self) -> None:
        values = {key: value for key, value in asdict(self).items() if key != "folder"}
        aside = self.folder / f"{MANIFEST}.part"
        aside.write_text(json.dumps(values) + "\n", encoding="utf-8")
        aside.replace(self.folder / MANIFEST)


def copy_dataset(
    source: str | Path,
    folder: Path,
    parent: Feeding,
    *,
    held_out_group: str = "",
    learn_from: str = "blocks",
) -> Iterator[Report]:
    """Copy what `source` has to learn from into `folder`, with the statistics that `parent` finds there.

    Afterwards `Dataset.read(folder)` gives it. A folder that is complete stays as it is.

    Parameters
    ----------
    source : str or Path
        PROJECT.vesselkd, or DATASET.csv with columns image, label, group, voxel_size_um and optionally mask.
    folder : Path
    parent : Checkpoint or mapping
        Or only its percentiles, "lower" and "upper", where no statistics are needed.
    held_out_group : str, optional
        Group of a DATASET.csv that is not trained on.
    learn_from : {"all", "blocks", "mips"}, optional
        Of a project: which of its annotations.

    Raises
    ------
    ProjectError
        If there is no accepted block to train on, or none of them has a vessel.
    InvalidInputError
        If the file lacks a column, a label has another shape than its image, or nothing is labelled.
    """
    if Dataset.read(folder) is not None:
        return
    writer = _Writer(folder, str(source))
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if str(source).rstrip("/\\").endswith(".vesselkd"):
            with Project.open(source, write=False) as project:
                yield from _copy_project(project, writer, parent, learn_from)
        else:
            yield from _copy_csv(Path(source), writer, parent, held_out_group)
        writer.finish()


def check_source(source: str | Path, *, held_out_group: str = "", learn_from: str = "blocks") -> None:
    """Raise what `copy_dataset` would raise, as far as that can be known without reading voxels."""
    if str(source).rstrip("/\\").endswith(".vesselkd"):
        with Project.open(source, write=False) as project:
            material_of(project, learn_from)
            project.open_image().close()
        return
    path = Path(source)
    rows = read_rows(path)
    _check_group(rows, held_out_group)
    for row in rows:
        with ExitStack() as opened:
            open_row(path.parent, row, opened)


def _check_group(rows: Sequence[dict[str, str]], held_out_group: str) -> None:
    groups = sorted({row["group"] for row in rows})
    if held_out_group and held_out_group not in groups:
        raise InvalidInputError(
            "There is no such group to hold out", value=held_out_group, limit=", ".join(groups)
        )


def _copy_project(project: Project, writer: _Writer, parent: Feeding, learn_from: str) -> Iterator[Report]:
    material = material_of(project, learn_from)
    blocks, held_out = material.blocks, project.held_out_blocks
    began, total = monotonic(), len(blocks) + len(held_out) + len(material.mips)
    with project.open_image() as volume:
        window = _measure(volume, writer, parent)
        for done, block in enumerate((*blocks, *held_out), start=1):
            others = blocks if block.held_out else held_out
            crop = _block_crop(project, volume, window, block, [other.region for other in others])
            if crop is not None:
                kind = "painted place" if block.painted_anywhere else "corrected block"
                writer.add(crop, held_out=block.held_out, kind=kind, of=str(block.region))
            yield Progress(done, total, "blocks", monotonic() - began)
        pieces = mip_crops(volume, window, material.painted(project, volume), CONTEXT)
        for piece in pieces:
            writer.add_mip(piece)
        if material.mips:
            yield Progress(total, total, "blocks", monotonic() - began)


def _block_crop(
    project: Project,
    volume: Volume,
    window: tuple[float, float],
    block: ReviewBlock,
    others: Sequence[Region],
) -> Crop | None:
    """Return a block with context around it, without what is of the other side; None if nothing is left."""
    place = block.region.expanded(CONTEXT).intersection(Region.whole(volume.shape))
    assert place is not None  # noqa: S101  (the block lies in the volume)
    label = np.zeros(place.shape, np.uint8)
    label[block.region.relative_to(place.start).slices] = project.corrected(block.region)
    for other in others:
        common = other.intersection(place)
        if common is not None:
            label[common.relative_to(place.start).slices] = 0
    if not label.any():
        return None
    return Crop(
        f"block {block.number}",
        volume.read(place),
        label,
        window,
        volume.signature(),
        volume.voxel_size_um,
        place.start,
    )


def _measure(volume: Volume, writer: _Writer, parent: Feeding) -> tuple[float, float]:
    """Return the intensity window of a volume; note its statistics with the parent's weights."""
    percentiles = parent.card.intensity if isinstance(parent, Checkpoint) else parent
    window = measure_intensity_window(
        volume, lower=float(percentiles["lower"]), upper=float(percentiles["upper"])
    )
    signature = volume.signature()
    if isinstance(parent, Checkpoint) and signature not in writer.statistics:
        card = parent.card
        known = card.volumes.get(signature, {}).get("statistics")
        if known is None:
            model: Any = parent.load()
            stride, depth = as_shape(model.total_stride), card.statistics_depth
            calibrate(model, volume, window, stride=stride, padding=card.padding, depth=depth)
            known = statistics_of(model)
        writer.statistics[signature] = known
    return window.low, window.high


def _copy_csv(path: Path, writer: _Writer, parent: Feeding, held_out_group: str) -> Iterator[Report]:
    rows = read_rows(path)
    _check_group(rows, held_out_group)
    began = monotonic()
    for done, row in enumerate(rows, start=1):
        held_out = bool(held_out_group) and row["group"] == held_out_group
        for crop in _volume_crops(path.parent, row, writer, parent):
            writer.add(crop, held_out=held_out, kind="labelled volume", of=row["image"])
        yield Progress(done, len(rows), "volumes", monotonic() - began)
    if not writer.vessel or not writer.background:
        raise InvalidInputError(
            "The data set has nothing to learn from",
            value=f"{path}: {writer.vessel:,} vessel and {writer.background:,} background voxels to train on",
            limit="at least one of each",
            remedy="Add a labelled volume, or hold out another group",
        )


def _volume_crops(folder: Path, row: dict[str, str], writer: _Writer, parent: Feeding) -> Iterator[Crop]:
    with ExitStack() as opened:
        volume, labels = open_row(folder, row, opened)
        assert labels is not None  # noqa: S101  (only rows with labels come here)
        window = _measure(volume, writer, parent)
        signature = volume.signature()
        for place in _pieces(volume.shape):
            label = labels(place)
            if label.any():
                yield Crop(
                    f"{row['image']} {place}",
                    volume.read(place),
                    label,
                    window,
                    signature,
                    volume.voxel_size_um,
                    place.start,
                )


def _pieces(shape: Shape) -> Iterator[Region]:
    """Cut a volume into about equal pieces that fit in memory."""
    counts = [math.ceil(size / most) for size, most in zip(shape, LARGEST_PIECE, strict=True)]
    side = as_shape([math.ceil(size / count) for size, count in zip(shape, counts, strict=True)])
    yield from Region.whole(shape).pieces(side)
