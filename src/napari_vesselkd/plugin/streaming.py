"""A segmentation as the dock consumes it; everything here runs in a worker thread.

The engine's reports pass through. In between, `LabelsReady` says that the labels can be shown, and before a
finished block is reported its chunks are decoded again, so that the GUI thread only copies them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import BlockDone, SegmentConfig, SegmentFinished, preflight, segment
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.layers import live_levels
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.segment_state import Estimate, Form, duration
from napari_vesselkd.plugin.visible import describe_count
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume
from napari_vesselkd.volume.pyramid import coarser_region, factors_between


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


def config_of(form: Form) -> SegmentConfig:
    """Return the engine's configuration for what the user chose."""
    return SegmentConfig(
        checkpoint=form.checkpoint,
        threshold=form.threshold,
        region=form.region,
        device=form.device,
        precision=form.precision,
        block=form.block,
        halo=form.halo,
        probability=form.probability,
        restart=form.restart,
    )


def estimate_run(volume: Volume, form: Form) -> Estimate:
    """Run the pre-flight."""
    found = preflight(volume, output_of(form), config_of(form))
    return Estimate(text=found.text, checkpoint_text=describe_checkpoint(volume, form))


def checkpoints_at_hand() -> list[tuple[str, str]]:
    """Return the name and the description of every checkpoint of the registry."""
    return [(card.name, card.description) for card in CheckpointRegistry().list()]


def describe_checkpoint(volume: Volume, form: Form) -> str:
    """Return which checkpoint will be used, and why."""
    registry = CheckpointRegistry()
    if form.checkpoint != "auto":
        return registry.get(form.checkpoint).card.description
    card = registry.choose(volume.voxel_size_um).card
    z, y, x = volume.voxel_size_um
    ratio = z / (y * x) ** 0.5
    return f"{card.name}, because voxels are {ratio:.2g} times as long in z as in y and x"


def output_of(form: Form) -> Path:
    return Path(form.output.strip()).expanduser()


def stream(volume: Volume, form: Form, focus: Callable[[], Region | None]) -> Iterator[Report]:
    """Segment, and say when and where there is something to show."""
    output = output_of(form)
    output.parent.mkdir(parents=True, exist_ok=True)
    live: tuple[LiveLevel, ...] = ()
    for report in segment(volume, output, config_of(form), focus=focus):
        if isinstance(report, BlockDone):
            if not live:
                store = LabelStore.open(output)
                live = live_levels(store)
                yield LabelsReady(store, live)
            mark_changed(live, report.region)
        yield report


def mark_changed(live: tuple[LiveLevel, ...], region: Region) -> None:
    """Tell every level that `region`, in voxels of the finest, was written."""
    for index, level in enumerate(live):
        if index:
            region = coarser_region(region, factors_between(live[index - 1].shape, level.shape))
        level.changed(region)


def finished_text(report: Any) -> str:
    """Return what the dock says when a segmentation is finished."""
    if not isinstance(report, SegmentFinished):
        return ""
    return (
        f"{report.vessel_fraction:.2%} vessel ({describe_count(report.vessel_voxels)}voxels) "
        f"in {duration(report.seconds)}. Saved in {report.output}"
    )
