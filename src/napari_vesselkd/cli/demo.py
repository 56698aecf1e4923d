"""What ``vesselkd demo`` does where there is no window: the main job on the sample, into files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.cli.console import plain
from napari_vesselkd.cli.info import metrics_lines
from napari_vesselkd.cli.projecting import MipFinished, MipRequest, run_mip
from napari_vesselkd.inference import SegmentConfig, SegmentFinished, segment
from napari_vesselkd.measure import Metrics, evaluation
from napari_vesselkd.phantoms import sample_phantom, write_phantom
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import open_volume, output_errors


@dataclass(frozen=True)
class DemoFinished(Report):
    """The demo's files are written.

    Attributes
    ----------
    folder, image, truth, labels, picture, metrics : str
        Paths.
    scores : Metrics
        Of the labels against the exact ground truth.
    """

    folder: str
    image: str
    truth: str
    labels: str
    picture: str
    metrics: str
    scores: Metrics


def run_demo(folder: str | Path, device: str = "auto") -> Iterator[Report]:
    """Make the sample, segment it, score it, and draw the result; what an earlier run did is kept.

    Yields
    ------
    Report
        Those of the steps; `DemoFinished` at the end.
    """
    root = Path(folder).expanduser().absolute()
    sample, labels = root / "sample", root / "vessels.ome.zarr"
    image, truth = sample / "image.ome.zarr", sample / "label.ome.zarr"
    if not sample.is_dir():
        yield Notice("Making the sample: surface vessels over a capillary bed, with exact ground truth.")
        write_phantom(sample_phantom(), sample)
    with open_volume(image) as volume:
        slab = f"{volume.shape[0] // 3}:{2 * volume.shape[0] // 3}"
        for report in segment(volume, labels, SegmentConfig(device=device)):
            if not isinstance(report, SegmentFinished):
                yield report
    scores = _score(labels, truth)
    picture, metrics = root / "mip-z.png", root / "metrics.json"
    for report in run_mip(MipRequest(str(image), str(picture), slab=slab, overlay=str(labels))):
        if isinstance(report, Notice | MipFinished):
            yield report
    with output_errors(metrics):
        text = json.dumps(plain(scores.to_dict()), indent=1, allow_nan=False)
        aside = metrics.with_name(f".{metrics.name}.part")
        aside.write_text(text + "\n", encoding="utf-8")
        aside.replace(metrics)
    yield DemoFinished(
        folder=str(root),
        image=str(image),
        truth=str(truth),
        labels=str(labels),
        picture=str(picture),
        metrics=str(metrics),
        scores=scores,
    )


def demo_lines(done: DemoFinished) -> list[str]:
    """Return what the demo prints at its end."""
    return [
        f"The demo's files are in {done.folder}",
        "  sample/image.ome.zarr  the sample volume",
        "  sample/label.ome.zarr  its exact ground truth",
        "  vessels.ome.zarr       the segmentation",
        "  mip-z.png              projection of the middle third with the segmentation over it",
        "  metrics.json           the scores below",
        "",
        "Against the exact ground truth:",
        *(f"  {line}" for line in metrics_lines(done.scores)),
        "",
        "Look at it in napari: vesselkd open " + done.image,
    ]


def _score(labels: Path, truth: Path) -> Metrics:
    *_, scores = evaluation(labels, truth)
    if not isinstance(scores, Metrics):
        raise TypeError("the evaluation ended without scores")
    return scores
