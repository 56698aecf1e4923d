"""A segmentation as the dock consumes it; everything here runs in a worker thread.

The engine is imported there too: torch takes seconds to load.

The engine's reports pass through. In between, `LabelsReady` says that the labels can be shown, and before a
finished block is reported its chunks are decoded again, so that the GUI thread only copies them.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_vesselkd.errors import SourceNotFoundError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.layers import live_levels
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.progress_text import duration
from napari_vesselkd.plugin.segment_state import Estimate, Form
from napari_vesselkd.plugin.visible import describe_bytes, describe_count
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume
from napari_vesselkd.volume.pyramid import coarser_region, factors_between

if TYPE_CHECKING:
    from napari_vesselkd.checkpoints import CheckpointRegistry
    from napari_vesselkd.inference import Preflight, SegmentConfig, SegmentFinished
    from napari_vesselkd.project import Project

CORES_FOR_THE_VIEWER = 1


@dataclass(frozen=True, eq=False)
class LabelsReady(Report):
    """The labels being written can be shown.

    Attributes
    ----------
    store : LabelStore
    live : tuple of LiveLevel
        Its levels as layers show them, finest first.
    """

    store: LabelStore
    live: tuple[LiveLevel, ...]


@dataclass(frozen=True)
class Outcome(Report):
    """A line of what came out of the run."""

    text: str


def config_of(form: Form) -> "SegmentConfig":
    """Return the engine's configuration for what the user chose."""
    from napari_vesselkd.inference import SegmentConfig

    return SegmentConfig(
        checkpoint=form.checkpoint,
        threshold=form.threshold,
        region=form.level_region,
        level=form.level,
        device=form.device,
        precision=form.precision,
        block=form.block,
        halo=form.halo,
        probability=form.probability and form.target is None,
        restart=form.restart,
        upper=form.upper_percentile,
        threads=max(1, (os.cpu_count() or 1) - CORES_FOR_THE_VIEWER),
    )


def estimate_run(volume: Volume, form: Form, project: "Project | None" = None) -> Estimate:
    """Run the pre-flight; `project` is the one to write into."""
    from napari_vesselkd.inference import preflight, preflight_project

    if project is None:
        found = preflight(volume, output_of(form), config_of(form))
        return Estimate(text=describe_preflight(found), checkpoint_text=describe_checkpoint(volume, form))
    found = preflight_project(project, config_of(form), volume=volume)
    return Estimate(
        text=describe_preflight(found),
        checkpoint_text=describe_checkpoint(volume, form, project),
        again=made_by_another(project, form),
    )


def made_by_another(project: "Project", form: Form) -> str:
    """Return that the project's labels were made by another checkpoint; empty where they were not."""
    record = project.labels_record
    if record is None:
        return ""
    name = project.current if form.checkpoint == "auto" else form.checkpoint
    registry = project.registry
    used = registry.choose(project.image.voxel_size_um) if name == "auto" else registry.get(name)
    if record.fingerprint.get("checkpoint") == used.card.sha256:
        return ""
    made_by = _name_of(registry, str(record.fingerprint.get("checkpoint")))
    return f"The labels were made by {made_by}: what you ask for is computed again by {used.card.name}."


def describe_preflight(found: "Preflight") -> str:
    """Return time, memory, disk, blocks and device in two short lines."""
    size = " × ".join(str(side) for side in found.block)
    blocks = f"{found.blocks} blocks of {size}" if found.blocks > 1 else f"1 block of {size}"
    vram = f" · VRAM {describe_bytes(found.vram_bytes)}" if found.vram_bytes else ""
    needs = f"RAM {describe_bytes(found.ram_bytes)}{vram} · disk up to {describe_bytes(found.disk_bytes)}"
    how = f"{found.device} {found.precision} ({found.engine})"
    if found.seconds == 0:
        return f"All of this region is done already\n{blocks} · {how}"
    return f"About {duration(found.seconds)} · {needs}\n{blocks} · {how}"


def checkpoints_at_hand(root: Path | None = None) -> list[tuple[str, str]]:
    """Return the name and the description of every checkpoint of the registry; `root` is a project's folder.

    Imports pandas, too: napari's first labels layer would, and hold up the viewer for seconds. (Not a labels
    layer itself: its units come from pint's registry, which two threads must not fill at once.)
    """
    import_module("pandas")
    from napari_vesselkd.checkpoints import CheckpointRegistry

    return [(card.name, card.description) for card in CheckpointRegistry(root).list()]


def describe_checkpoint(volume: Volume, form: Form, project: "Project | None" = None) -> str:
    """Return which checkpoint will be used, and why."""
    from napari_vesselkd.checkpoints import CheckpointRegistry

    registry = CheckpointRegistry() if project is None else project.registry
    if form.checkpoint != "auto":
        return registry.get(form.checkpoint).card.description
    if project is not None and project.current != "auto":
        return f"{project.current}, the project's current one"
    z, y, x = volume.at_level(form.level).voxel_size_um
    card = registry.choose((z, y, x)).card
    ratio = z / (y * x) ** 0.5
    shape = "as long" if 0.95 < ratio < 1.05 else f"{ratio:.2g} times as long"
    return f"{card.name}, because voxels are {shape} in z as in y and x"


def _name_of(registry: "CheckpointRegistry", sha256: str) -> str:
    found = [card.name for card in registry.list() if card.sha256 == sha256]
    return found[0] if found else "a checkpoint that is gone"


def output_of(form: Form) -> Path:
    """Return the output's path, ``~`` resolved."""
    return Path(form.output.strip()).expanduser()


def labels_of(output: Path) -> Path:
    """Return the zarr that fills up while `output` is made; other formats are exported from it at the end."""
    from napari_vesselkd.inference.outputs import is_zarr, store_path

    store = store_path(output)
    return store if is_zarr(output) else store / "labels.ome.zarr"


def stream(
    volume: Volume,
    form: Form,
    focus: Callable[[], Region | None],
    truth: np.ndarray | None = None,
    project: "Project | None" = None,
) -> Iterator[Report]:
    """Segment, and say when and where there is something to show; score it where the truth is known.

    With `project` the labels go into the project, with its corrections on top.
    """
    from napari_vesselkd.inference import BlockDone, Preflight, SegmentFinished, segment, segment_project

    output = output_of(form) if project is None else project.labels_path
    if volume.path is not None and not volume.path.exists():
        raise SourceNotFoundError(
            "The volume is no longer where it was opened",
            value=volume.path,
            remedy="Bring it back or open it again",
        )
    reports = (
        segment(volume, output, config_of(form), focus=focus)
        if project is None
        else segment_project(project, config_of(form), volume=volume, focus=focus)
    )
    live: tuple[LiveLevel, ...] = ()
    for report in reports:
        if not live and not isinstance(report, Preflight):
            store = LabelStore.open(labels_of(output))
            live = live_levels(store)
            yield LabelsReady(store, live)
        if isinstance(report, BlockDone) and report.region is not None:
            mark_changed(live, report.region)
        yield report
        if isinstance(report, SegmentFinished):
            yield Outcome(finished_text(report))
    if truth is not None and form.region is not None and live and not form.level:
        yield score(live[0], truth, form.region, volume)


def score(labels: LiveLevel, truth: np.ndarray, region: Region, volume: Volume) -> Outcome:
    """Compare `labels` with `truth`, both (z, y, x), inside `region`."""
    from napari_vesselkd.measure import evaluate

    found = evaluate(labels.read(region), truth[region.slices], volume.voxel_size_um)
    return Outcome(
        f"Against the ground truth: Dice {found.dice:.3f} · clDice {found.cldice:.3f} · "
        f"HD95 {found.hd95_um:.3g} µm"
    )


def mark_changed(live: tuple[LiveLevel, ...], region: Region) -> None:
    """Tell every level that `region`, in voxels of the finest, was written."""
    for index, level in enumerate(live):
        if index:
            region = coarser_region(region, factors_between(live[index - 1].shape, level.shape))
        level.changed(region)


def finished_text(report: "SegmentFinished") -> str:
    """Return what the dock says when a segmentation is finished."""
    return (
        f"{report.vessel_fraction:.2%} vessel ({describe_count(report.vessel_voxels)}voxels). "
        f"Saved in {report.output}"
    )
