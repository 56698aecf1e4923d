"""Where the labels go: a zarr that fills up block by block, or a file made of one when it is complete.

``NAME.ome.zarr`` is written in place, visible from the first block on. ``NAME.tif`` and ``NAME.nii.gz`` are
filled as ``NAME.tif.vesselkd/labels.ome.zarr`` and exported when complete, aside and then renamed; the record
stays in that folder, so that the same command knows that it is finished.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference.blockwork import Prediction
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.export import export_file
from napari_vesselkd.inference.planning import Plan
from napari_vesselkd.inference.uncertainty import mean_per_cell
from napari_vesselkd.labels import LabelStore, RunRecord
from napari_vesselkd.volume import output_errors
from napari_vesselkd.volume.output import LABEL_ENDINGS, ZARR_ENDINGS

WORK = ".vesselkd"
Over = Callable[[Region, np.ndarray[Any, Any]], np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class Output:
    """An open output.

    Attributes
    ----------
    path : Path
        What was asked for.
    labels : LabelStore
        0 and 1.
    probability : LabelStore or None
        0..255.
    record : RunRecord
    like : Path or None
        The NIfTI file that the labels are of, where they are of one.
    over : callable or None
        Gives the labels of a region with what a person said about it on top.
    """

    path: Path
    labels: LabelStore
    probability: LabelStore | None
    record: RunRecord
    like: Path | None = None
    over: Over | None = None

    @property
    def probability_path(self) -> Path | None:
        return None if self.probability is None else probability_path(self.path)

    def write(self, target: Region, found: Prediction) -> None:
        """Write one block, then mark it as done."""
        if self.probability is not None and found.probability is not None:
            self.probability.write(target, found.probability)
        labels = found.labels if self.over is None else self.over(target, found.labels)
        entropy = None if found.entropy is None else mean_per_cell(found.entropy, target, self.record.cell)
        self.labels.write(target, labels)
        self.record.mark(target, labels, entropy)

    def finish(self) -> None:
        """Export to the file asked for, where that is none of ours, and note that the run is complete."""
        if not is_zarr(self.path):
            with output_errors(self.path):
                export_file(self.labels, self.path, self.like)
                if self.probability is not None and self.probability_path is not None:
                    export_file(self.probability, self.probability_path, self.like)
        self.record.save(state="finished")


def is_zarr(path: Path) -> bool:
    """Whether an output is a zarr folder, by its ending."""
    return path.name.lower().endswith(ZARR_ENDINGS)


def store_path(path: Path) -> Path:
    """Return the folder whose record belongs to the output `path`."""
    return path if is_zarr(path) else path.with_name(path.name + WORK)


def probability_path(path: Path) -> Path:
    """Return where the probability goes: NAME.probability.ENDING beside NAME.ENDING."""
    ending = next((end for end in LABEL_ENDINGS if path.name.lower().endswith(end)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    return path.with_name(f"{stem}.probability{path.name[len(stem) :]}")


def earlier_record(path: Path, config: SegmentConfig) -> RunRecord | None:
    """Return the record of the run that the output `path` is to continue, or None."""
    return None if config.restart else RunRecord.open(store_path(path))


def remove_output(path: Path) -> None:
    """Remove an output that an earlier run wrote, with its record and probability.

    Raises
    ------
    OutputError
        If it exists and was not written by a run.
    """
    store = store_path(path)
    if RunRecord.open(store) is None:
        check_vacant(path)
        return
    with output_errors(path):
        for place in (path, probability_path(path), store):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)


def check_vacant(path: Path) -> None:
    """Raise OutputError if something that is no output of a run lies at `path`."""
    if path.exists() and RunRecord.open(store_path(path)) is None:
        raise OutputError(
            "The output exists and was not written by a segmentation",
            value=path,
            remedy="Give another output, or remove it yourself",
        )


def open_output(path: Path, plan: Plan, fingerprint: dict[str, Any], over: Over | None = None) -> Output:
    """Open the output of an earlier run with the same fingerprint, or create it.

    With `over`, the output is a project's: it keeps the uncertainty, and goes on with other settings, which
    count every voxel as not done while the labels stay until they are computed.

    Raises
    ------
    OutputError
        If there is an output of another volume or of other settings, or it cannot be written.
    """
    store = store_path(path)
    record = RunRecord.open(store)
    if record is not None:
        if over is not None and not same_settings(record, plan, fingerprint):
            record.check({"volume": fingerprint["volume"]}, path)
            with output_errors(path):
                record = record.renew(plan.cell, fingerprint)
        return _opened(path, plan, record, fingerprint, over)
    check_vacant(path)
    with output_errors(path):
        if store.exists():
            shutil.rmtree(store)
        _create(path, plan, fingerprint)
    record = RunRecord.open(store)
    if record is None:
        raise OutputError("The output cannot be created", value=path)
    return _opened(path, plan, record, fingerprint, over)


def _opened(
    path: Path, plan: Plan, record: RunRecord, fingerprint: dict[str, Any], over: Over | None
) -> Output:
    record.check(fingerprint, path)
    if over is not None:
        with output_errors(path):
            record.track_uncertainty()
    return Output(path, *_stores(path, plan), record, _like(plan), over)


def same_settings(record: RunRecord, plan: Plan, fingerprint: dict[str, Any]) -> bool:
    """Whether an output goes on where it was, or is computed again."""
    return record.cell == plan.cell and all(
        record.fingerprint.get(key) == value for key, value in fingerprint.items()
    )


def _like(plan: Plan) -> Path | None:
    volume = plan.volume
    return volume.path if volume.format == "nifti" and plan.config.level == 0 else None


def _create(path: Path, plan: Plan, fingerprint: dict[str, Any]) -> None:
    """Make empty stores and their record aside, so that no store is ever seen without its record."""
    store = store_path(path)
    aside = store.with_name(store.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        if is_zarr(path):
            _new_store(aside, plan, label=True)
            if plan.config.probability:
                shutil.rmtree(probability_path(path), ignore_errors=True)
                _new_store(probability_path(path), plan, label=False)
        else:
            aside.mkdir(parents=True)
            _new_store(aside / "labels.ome.zarr", plan, label=True)
            if plan.config.probability:
                _new_store(aside / "probability.ome.zarr", plan, label=False)
        RunRecord.create(aside, plan.volume.shape, plan.cell, fingerprint)
        aside.rename(store)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _new_store(path: Path, plan: Plan, *, label: bool) -> None:
    volume = plan.volume
    LabelStore.create(
        path,
        volume.shape,
        volume.voxel_size_um,
        name=f"{volume.name} {'vessels' if label else 'probability'}",
        origin_um=volume.origin_um,
        voxel_size_known=volume.voxel_size_known,
        label=label,
    )


def _stores(path: Path, plan: Plan) -> tuple[LabelStore, LabelStore | None]:
    store = store_path(path)
    labels = store if is_zarr(path) else store / "labels.ome.zarr"
    probability = probability_path(path) if is_zarr(path) else store / "probability.ome.zarr"
    found = LabelStore.open(probability) if plan.config.probability else None
    return LabelStore.open(labels), found
