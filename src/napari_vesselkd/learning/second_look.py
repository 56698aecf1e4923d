"""A second look at a block with the student that segmented it: its logits, and those of the mirrored image.

With the window, the statistics and the weights that the record of the labels names, so that it says what the
segmentation said, up to the rounding of the precision.

Notation: arrays are (z, y, x).
"""

from __future__ import annotations

from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_vesselkd.blocks import read_block
from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.geometry import Region, as_shape
from napari_vesselkd.inference import choose_backend
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.models import set_statistics
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.calibration import Reliability, probability_at
from napari_vesselkd.proofreading.queue_lines import line_difference, line_doubt
from napari_vesselkd.training.dataset import CONTEXT
from napari_vesselkd.volume import IntensityWindow, Volume

MIRRORED = ((1,), (2,), (1, 2))  # axes; z is left as it is: microscopes see it otherwise
Floats = npt.NDArray[np.float32]


class SecondLook:
    """The student that made the labels of a project, ready to look again.

    Parameters
    ----------
    model : nn.Module
        With the statistics of the volume.
    card : CheckpointCard
    volume : Volume
    window : IntensityWindow
    threshold : float
        Probability from which the segmentation called a voxel vessel.

    Attributes
    ----------
    forwards : int
        Passes so far.
    """

    def __init__(
        self,
        model: nn.Module,
        card: CheckpointCard,
        volume: Volume,
        window: IntensityWindow,
        threshold: float,
    ) -> None:
        backend = choose_backend()
        self.device, self.bf16 = torch.device(backend.device), backend.precision == "bf16"
        self.model = model.eval().to(self.device)
        self.card, self.volume, self.window, self.threshold = card, volume, window, threshold
        self.forwards = 0

    @classmethod
    def of(cls, project: Project, volume: Volume) -> Self | None:
        """Return the one of a project's labels; None where its checkpoint is gone, a teacher, or unknown."""
        record = project.labels_record
        card = None if record is None else card_of(project, record)
        if record is None or card is None:
            return None
        window, statistics = record.values.get("window"), record.values.get("statistics")
        if window is None or (card.normalisation == "volume" and statistics is None):
            return None
        model = project.registry.get(card.name).load()
        if statistics is not None:
            set_statistics(model, statistics)
        threshold = float(record.fingerprint.get("threshold", card.threshold))
        return cls(model, card, volume, IntensityWindow(**window), threshold)

    @torch.no_grad()
    def logits(self, region: Region, mirrored: tuple[int, ...] = ()) -> Floats:
        """Return the logits of `region`, of temperature 1, as seen in the image mirrored along these axes."""
        stride = cast("tuple[int, ...]", self.model.total_stride)
        outer = region.expanded(CONTEXT).aligned(as_shape(stride))
        image = self.window.apply(read_block(self.volume, outer, self.card.padding))
        tensor = torch.from_numpy(np.ascontiguousarray(np.flip(image, mirrored)))[None, None]
        tensor = tensor.to(self.device, memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            found = self.model(tensor)[0, 0].float().cpu().numpy()
        self.forwards += 1
        place = region.relative_to(outer.start).slices
        return np.ascontiguousarray(np.flip(found, mirrored)[place])

    def doubt_and_flips(self, region: Region, known: Reliability | None = None) -> tuple[float, float]:
        """Return the voxels of centreline to expect wrong, and how many come or go under mirroring.

        The first by the probability that `known` calibrates.
        """
        logits = self.logits(region)
        seen = probability_at(logits, float(self.card.calibration["temperature"]))
        said = seen if known is None else probability_at(logits, known.temperature, known.shift)
        doubt = float(line_doubt(seen, self.threshold, said).sum())
        mask = seen >= self.threshold
        line, changed = skeleton(mask), 0
        for axes in MIRRORED:
            other = probability_at(self.logits(region, axes), float(self.card.calibration["temperature"]))
            changed += int(np.count_nonzero(line_difference(mask, other >= self.threshold, line)))
        return doubt, changed / len(MIRRORED)


def card_of(project: Project, record: RunRecord) -> CheckpointCard | None:
    """Return the card of the student that made the labels; None where it is gone, or no student."""
    sha: Any = record.fingerprint.get("checkpoint")
    cards = (one for one in project.registry.list() if one.sha256 == sha and sha)
    return next((one for one in cards if one.architecture == "student"), None)
