"""The probability of vessel in a block by the model in use, for the estimated Dice. No Qt; for workers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume

LEVELS = 255  # a probability is kept as a byte


@dataclass(frozen=True, eq=False)
class BlockProbability(Report):
    """The probability of vessel, (z, y, x) float32 in 0..1, of a region."""

    region: Region
    values: np.ndarray


def block_probability(project: Project, volume: Volume, region: Region) -> Iterator[Report]:
    """Predict `region` of the project's image with its checkpoint; at the end its `BlockProbability`.

    What is written meanwhile lies in a temporary folder; closing the generator stops it.

    Raises
    ------
    VesselKDError
        As `inference.segment`.
    """
    from napari_vesselkd.inference import segment  # torch, which most of the tab does without
    from napari_vesselkd.inference.into_project import project_config
    from napari_vesselkd.inference.outputs import probability_path

    config = replace(project_config(project), region=region, probability=True)
    with TemporaryDirectory(prefix="vesselkd-quality-") as folder:
        output = Path(folder) / "labels.ome.zarr"
        yield from segment(volume, output, config)
        bytes_ = LabelStore.open(probability_path(output)).read(region)
        yield BlockProbability(region, np.asarray(bytes_, np.float32) / LEVELS)
