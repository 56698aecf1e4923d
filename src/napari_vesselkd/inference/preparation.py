"""What comes before the first block: the estimate, and what is measured once and kept for later runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.inference.blockwork import BlockWork
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.context import context_store
from napari_vesselkd.inference.outputs import Output, earlier_record
from napari_vesselkd.inference.planning import Plan, describe, make_plan
from napari_vesselkd.inference.predictor import BlockPredictor, Predictor
from napari_vesselkd.inference.reports import Preflight
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.models import set_statistics, statistics_of
from napari_vesselkd.reports import Notice
from napari_vesselkd.volume import IntensityWindow, Volume, measure_intensity_window, open_volume


def preflight(
    volume: Volume | str | Path, output: str | Path, config: SegmentConfig | None = None
) -> Preflight:
    """Return what a run would do and need, without running it.

    Parameters
    ----------
    volume : Volume, str or Path
        To segment.
    output : str or Path
        Where to; an earlier run found there is taken into account.
    config : SegmentConfig, optional

    Raises
    ------
    VesselKDError
        As `segment` does before its first block.
    """
    config = config or SegmentConfig()
    record = earlier_record(Path(output), config)
    if isinstance(volume, Volume):
        return describe(make_plan(volume, config, record), record)
    with open_volume(volume) as opened:
        return describe(make_plan(opened, config, record), record)


def window_of(plan: Plan, target: Output) -> IntensityWindow:
    """Return the intensity window of the output's first run, measured then and kept in the record."""
    return kept_window(target.record, plan.volume, float(plan.checkpoint.card.intensity["lower"]), plan.upper)


def kept_window(record: RunRecord, volume: Volume, lower: float, upper: float) -> IntensityWindow:
    """Return the intensity window that a record keeps; where it keeps none, measure and keep it."""
    kept = record.values.get("window")
    if kept is not None:
        return IntensityWindow(**kept)
    window = measure_intensity_window(volume, lower=lower, upper=upper)
    record.save(window=window.__dict__)
    return window


def fix_statistics(plan: Plan, model: nn.Module, window: IntensityWindow, target: Output) -> None:
    """Give the model the volume's statistics, and keep them in the output's record for later runs.

    They are those of an earlier run, else those that the checkpoint was trained with on this volume, else
    measured.
    """
    card, kept = plan.checkpoint.card, target.record.values.get("statistics")
    if card.normalisation != "volume":
        return
    if kept is None and card.volumes:
        kept = card.volumes.get(plan.volume.signature(), {}).get("statistics")
    if kept is None:
        stride, depth = plan.grid.multiple, card.statistics_depth
        calibrate(model, plan.volume, window, stride=stride, padding=card.padding, depth=depth)
    else:
        set_statistics(model, kept)
    target.record.save(statistics=statistics_of(model))


def notices(plan: Plan, window: IntensityWindow) -> Iterator[Notice]:
    """Yield what the user should know about the volume."""
    yield from volume_notices(plan.volume, window)


def volume_notices(
    volume: Volume, window: IntensityWindow, constant: str = "no vessels to expect"
) -> Iterator[Notice]:
    """Do the same; `constant` is what follows where all voxels are alike."""
    name = volume.name
    if window.constant:
        yield Notice(f"{name} is constant ({window.low:g} wherever it was sampled): {constant}")
    if window.non_finite > 0:
        share = f"{100 * window.non_finite:.2g} % of a sample"
        yield Notice(f"{name} holds NaN or infinite voxels ({share}); they are taken as 0")
    missing = volume.missing_chunks()
    if missing:
        yield Notice(f"{name} has {missing} chunks that are not stored; they read as the fill value")


def work_of(
    plan: Plan, predictor: BlockPredictor, window: IntensityWindow, *, uncertainty: bool = False
) -> BlockWork:
    """Return the work of a run on its blocks; with their `uncertainty` where it is wanted."""
    contexts = None
    if isinstance(predictor, Predictor):
        contexts = context_store(plan.grid.extended.shape, predictor.strides)
    return BlockWork(
        plan.volume,
        window,
        plan.checkpoint.card.padding,
        plan.grid,
        predictor,
        contexts,
        plan.threshold,
        plan.config.probability,
        uncertainty,
    )
