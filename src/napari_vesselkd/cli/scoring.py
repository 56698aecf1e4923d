"""What ``vesselkd evaluate`` does."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.info import metrics_lines
from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.measure import Metrics, evaluation
from napari_vesselkd.projections import check_picture_path, write_png
from napari_vesselkd.projections.difference import Difference, differing
from napari_vesselkd.volume import open_volume


@dataclass(frozen=True)
class EvaluateRequest:
    """The arguments of the command; see there."""

    prediction: str
    reference: str
    region: str | None = None
    voxel_size_um: VoxelSize | None = None
    figure: str | None = None


def run_evaluate(request: EvaluateRequest, console: Console) -> None:
    """Print the scores; draw where the two differ, if a figure is asked for.

    Raises
    ------
    OutputError
        If the figure cannot be written there, before anything is computed.
    VesselKDError
        As `measure.evaluation`.
    """
    picture = None if request.figure is None else _checked(request.figure)
    task = evaluation(request.prediction, request.reference, request.voxel_size_um, region=request.region)
    scores = console.follow(task, only_last=True)
    if isinstance(scores, Metrics):
        console.print(metrics_lines(scores))
    if picture is not None:
        _draw(request, picture)
        console.print([f"Where they differ: {picture}"])


def _draw(request: EvaluateRequest, picture: Path) -> None:
    with ExitStack() as opened:
        prediction, reference = (
            opened.enter_context(open_volume(path, voxel_size_um=request.voxel_size_um))
            for path in (request.prediction, request.reference)
        )
        found = Console(False, True).follow(differing(prediction, reference, request.region))
    if isinstance(found, Difference):
        write_png(picture, found.image)


def _checked(figure: str) -> Path:
    picture = check_picture_path(figure)
    if picture.suffix.lower() != ".png":
        raise OutputError("The figure has an unknown ending", value=picture.name, limit=".png")
    return picture
