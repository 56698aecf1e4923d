"""Scores of a checkpoint, or of the best threshold, on labelled volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import SegmentConfig, SegmentFinished, segment
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.measure import evaluate
from napari_vesselkd.measure.baselines import oracle_threshold
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.rows import open_row
from napari_vesselkd.volume import Volume

Row = dict[str, str]
Scores = list[dict[str, Any]]
Mask = npt.NDArray[np.bool_]


def score_checkpoint(
    source: Path, rows: Sequence[Row], checkpoint: str, *, device: str = "auto", threads: int | None = None
) -> Iterator[Report | Scores]:
    """Segment volumes as people do, and score them; at the end the scores, one dictionary a volume.

    Parameters
    ----------
    source : Path
        DATASET.csv, which the paths in `rows` are relative to.
    rows : sequence of Row
        With labels.
    checkpoint : str
        Path.
    device, threads
        See `SegmentConfig`; in single precision.
    """
    config = SegmentConfig(checkpoint=checkpoint, device=device, precision="fp32", threads=threads)
    found: Scores = []
    for number, row in enumerate(rows):
        yield Progress(number, len(rows), "volumes scored", 0.0)
        with ExitStack() as opened, TemporaryDirectory(prefix="vesselkd-score-") as folder:
            volume, labels = open_row(source.parent, row, opened)
            output = Path(folder) / "labels.ome.zarr"
            seconds = 0.0
            for report in segment(volume, output, config):
                if isinstance(report, SegmentFinished):
                    seconds = report.seconds
                elif isinstance(report, Progress):
                    yield report
            mask = np.asarray(LabelStore.open(output).levels[0][...]) > 0
            found.append({**_scores(row, volume, mask, _all(labels, volume)), "seconds": round(seconds, 3)})
    yield found


def score_threshold(source: Path, rows: Sequence[Row]) -> Iterator[Report | Scores]:
    """Score the threshold of each image that is best for it: what no threshold can do better; see there."""
    found: Scores = []
    for number, row in enumerate(rows):
        yield Progress(number, len(rows), "volumes scored", 0.0)
        with ExitStack() as opened:
            volume, labels = open_row(source.parent, row, opened)
            image, label = np.asarray(volume.read(Region.whole(volume.shape))), _all(labels, volume)
            best = oracle_threshold(np.where(label > 0, image, image.min()), label > 1)
            found.append({**_scores(row, volume, best.mask, label), "threshold": best.threshold})
    yield found


def _all(labels: Any, volume: Volume) -> npt.NDArray[np.uint8]:
    """Return the labels of a volume: 0 unlabelled, 1 background, 2 vessel."""
    return np.asarray(labels(Region.whole(volume.shape)))


def _scores(row: Row, volume: Volume, mask: Mask, label: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return the metrics of a mask where something is labelled."""
    metrics = evaluate(mask & (label > 0), label > 1, volume.voxel_size_um)
    return {"volume": row["image"], "group": row["group"], **_plain(metrics.to_dict())}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return scores as JSON knows them: None for NaN."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
        if key != "report"
    }
