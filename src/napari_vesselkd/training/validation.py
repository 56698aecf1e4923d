"""A look at held-out blocks during training: scores, and a picture of before and now; and the threshold.

Notation: arrays are (z, y, x); only labelled voxels count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.measure.overlap import Overlap
from napari_vesselkd.measure.topology import centreline_counts
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.projections.picture import overlay
from napari_vesselkd.projections.saving import save_png
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.training.crops import Crop
from napari_vesselkd.training.fit import FitProgress

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Predict = Callable[[Crop], Floats]
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))
PICTURE = "held-out.png"
GAP = 4  # pixels between two parts of the picture


@dataclass(frozen=True)
class Validation(Report):
    """Scores on the held-out blocks, at threshold 0.5.

    Attributes
    ----------
    step : int
    loss : float
        ``1 - Dice`` of the probabilities.
    dice, cldice : float
        Over all held-out blocks together.
    picture : str or None
        File name in the run's folder: a held-out block as image, truth, before training, now (projections).
    """

    step: int
    loss: float
    dice: float
    cldice: float
    picture: str | None

    @property
    def text(self) -> str:
        """The scores in one line."""
        return f"Step {self.step}, held-out blocks: Dice {self.dice:.3f}, clDice {self.cldice:.3f}"


@torch.inference_mode()
def probability(model: nn.Module, image: Floats) -> Floats:
    """Return the probability of vessel of a small volume (z, y, x) in [0, 1].

    The volume is continued by reflection to sides that the network takes. It is predicted as one block, by
    teachers that take patches of one size only in such patches side by side.
    """
    device = next(model.parameters()).device
    sides, tile = _sides(model, image.shape)
    width = [(0, side - n) for side, n in zip(sides, image.shape, strict=True)]
    padded = torch.from_numpy(np.pad(image, width, mode="reflect"))[None, None].to(device)
    logits = torch.empty(sides)
    was_training = model.training
    model.eval()
    for piece in Region.whole(sides).pieces(tile):
        logits[piece.slices] = model(padded[:, :, *piece.slices])[0, 0].float().cpu()
    model.train(was_training)
    z, y, x = image.shape
    return np.asarray(torch.sigmoid(logits)[:z, :y, :x].numpy())


def _sides(model: nn.Module, shape: Sequence[int]) -> tuple[Shape, Shape]:
    """Return the least sides (z, y, x) that hold `shape` and can be predicted, and those of one piece."""
    if isinstance(model, Teacher) and model.network.one_size:
        patch = (model.config.patch,) * 3
        return _multiples(shape, patch), patch
    step = as_shape(cast("tuple[int, ...]", model.total_stride))
    sides = _multiples(shape, step)
    if isinstance(model, Teacher) and model.network.two_cells and sides == step:
        sides = (sides[0], sides[1], 2 * sides[2])
    return sides, sides


def _multiples(shape: Sequence[int], step: Shape) -> Shape:
    return as_shape([-(-n // one) * one for n, one in zip(shape, step, strict=True)])


def watched(
    reports: Iterable[Report], predict: Predict, crops: Sequence[Crop], run: Path, every: int
) -> Iterator[Report]:
    """Pass the reports of `fit` on, with a `Validation` on `crops` every so many steps and at the end."""
    if not crops:
        yield Notice("Nothing is held out: nothing tells how good the new checkpoint is")
    before = [predict(crop) for crop in crops]
    for report in reports:
        yield report
        if crops and isinstance(report, FitProgress) and report.due(every):
            yield validate(report.done, crops, before, [predict(crop) for crop in crops], run)


def validate(
    step: int, crops: Sequence[Crop], before: Sequence[Floats], now: Sequence[Floats], run: Path
) -> Validation:
    """Return the scores of probabilities `now`; write the picture of the first block."""
    dice, cldice = scores(crops, [found >= 0.5 for found in now])
    soft = sum(
        float((found * crop.truth)[crop.labelled].sum()) for crop, found in zip(crops, now, strict=True)
    )
    total = sum(
        float(found[crop.labelled].sum()) + np.count_nonzero(crop.truth)
        for crop, found in zip(crops, now, strict=True)
    )
    save_png(run / PICTURE, before_and_now(crops[0], before[0] >= 0.5, now[0] >= 0.5))
    return Validation(step, float(1 - 2 * soft / max(total, 1e-9)), dice, cldice, PICTURE)


def scores(crops: Sequence[Crop], masks: Sequence[Mask]) -> tuple[float, float]:
    """Return Dice and clDice of all crops together."""
    overlap, lines = Overlap(), np.zeros(4)
    for crop, mask in zip(crops, masks, strict=True):
        overlap = overlap + Overlap.of(mask & crop.labelled, crop.truth)
        lines += centreline_counts(mask, crop.truth, crop.labelled)
    return overlap.dice, cldice_of(lines)


def cldice_of(counts: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Return clDice from (the sum of) what `centreline_counts` returned; NaN without any centreline."""
    hit_p, all_p, hit_g, all_g = (float(value) for value in counts)
    if all_p + all_g == 0:
        return float("nan")
    precision, recall = hit_p / max(all_p, 1), hit_g / max(all_g, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def choose_threshold(crops: Sequence[Crop], found: Sequence[Floats], before: float) -> float:
    """Return the threshold with the highest sum of Dice and clDice on `crops`.

    Without a vessel in their labels no threshold is better than the one `before`.
    """
    if not any(crop.truth.any() for crop in crops):
        return before
    best = [
        (sum(scores(crops, [p >= threshold for p in found])), -abs(threshold - 0.5), threshold)
        for threshold in THRESHOLDS
    ]
    return max(best)[2]


def before_and_now(crop: Crop, before: Mask, now: Mask) -> npt.NDArray[np.uint8]:
    """Return a picture (rows, columns, 3): projections along z of image, truth, before and now."""
    box = _bounds(crop.labelled)
    gray = crop.scaled()[box].max(axis=0)
    parts = [None, crop.truth, before & crop.labelled, now & crop.labelled]
    pictures = [overlay(gray, None if part is None else part[box].max(axis=0), (0.0, 1.0)) for part in parts]
    gap = np.full((gray.shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([p for picture in pictures for p in (picture, gap)][:-1], axis=1)


def image_and_reconstruction(images: Sequence[Floats], found: Sequence[Floats]) -> npt.NDArray[np.uint8]:
    """Return a picture (rows, columns, 3): projections along z of patches above their reconstructions."""
    rows = []
    for patches in (images, found):
        pictures = [overlay(patch.max(axis=0), None, (0.0, 1.0)) for patch in patches]
        gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1))
    return np.concatenate([rows[0], np.full((GAP, *rows[0].shape[1:]), 255, np.uint8), rows[1]])


def _bounds(mask: Mask) -> tuple[slice, ...]:
    where = np.nonzero(mask)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in where)
