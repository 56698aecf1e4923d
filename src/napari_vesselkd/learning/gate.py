"""The gate: a new checkpoint against the current one, on corrected blocks that neither was trained on.

Both segment the held-out blocks with the engine and settings that people use. The interval comes from
resampling pieces of the blocks, the same pieces for both (paired bootstrap).

Notation: arrays are (z, y, x); corrections are 0 unlabelled, 1 background, 2 vessel; only labelled voxels
count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape
from napari_vesselkd.inference import SegmentConfig, segment
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.project import Project, ReviewBlock
from napari_vesselkd.reports import Progress, Report, Result
from napari_vesselkd.volume import Volume

VESSEL = 2
PIECE: Shape = (32, 32, 32)
LEAST_PIECES = 6  # with something labelled; fewer tell nothing about the spread
RESAMPLED = 2000
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlockScore:
    """Scores of both checkpoints on one block; NaN where a score is not defined."""

    region: str
    number: int | None
    dice_new: float
    dice_old: float
    cldice_new: float
    cldice_old: float


@dataclass(frozen=True)
class Judgement(Result):
    """What the gate says.

    Attributes
    ----------
    candidate, current : str
        Names of the new checkpoint and of the one in use ("auto" for the bundled one).
    blocks : tuple of BlockScore
        Each held-out block.
    dice_new, dice_old, cldice_new, cldice_old : float
        Over all held-out blocks together.
    dice_gain, cldice_gain : (estimate, low, high)
        New minus old with its 95 % interval.
    worst : BlockScore or None
        The block where the new checkpoint scores lowest.
    verdict : {"better", "worse", "undecided", "no held-out blocks"}
        By the interval of the mean of both gains (of one where the other is not defined).
    text : str
        The verdict in a sentence.
    """

    candidate: str
    current: str
    blocks: tuple[BlockScore, ...]
    dice_new: float
    dice_old: float
    cldice_new: float
    cldice_old: float
    dice_gain: tuple[float, float, float]
    cldice_gain: tuple[float, float, float]
    worst: BlockScore | None
    verdict: str
    text: str


def judge(
    project: Project,
    candidate: str | Path,
    current: str | Path | None = None,
    *,
    config: SegmentConfig | None = None,
) -> Iterator[Report]:
    """Compare two checkpoints on the held-out blocks of a project.

    Parameters
    ----------
    project : Project
        May be open read-only.
    candidate : str or Path
        Name in the project's registry, or path.
    current : str or Path, optional
        By default the one in use.
    config : SegmentConfig, optional
        Device and precision to segment with.

    Yields
    ------
    Report
        `Progress` per block and checkpoint; at the end the `Judgement`.

    Raises
    ------
    CheckpointNotFoundError, CheckpointError
        If a checkpoint cannot be read.
    """
    old = str(current or project.current)
    blocks, names = project.held_out_blocks, (str(candidate), old)
    if not blocks:
        yield _without_blocks(str(candidate), old)
        return
    began = monotonic()
    counts: tuple[list[list[Counts]], list[list[Counts]]] = ([], [])
    with project.open_image() as volume:
        for name, counted in zip(names, counts, strict=True):
            for block, found in zip(blocks, _segmented(project, volume, name, blocks, config), strict=True):
                counted.append(_counts(project, block, found))
                done = len(counts[0]) + len(counts[1])
                yield Progress(done, 2 * len(blocks), "held-out blocks", monotonic() - began)
    yield _judgement(blocks, names, *counts)


def _segmented(
    project: Project,
    volume: Volume,
    name: str,
    blocks: Sequence[ReviewBlock],
    config: SegmentConfig | None,
) -> Iterator[Mask]:
    """Yield the vessels (z, y, x) that a checkpoint finds in each block."""
    checkpoint = name if name == "auto" else str(project.registry.get(name).path)
    device = config.device if config is not None else "auto"
    with TemporaryDirectory(prefix="vesselkd-gate-") as folder:
        output = Path(folder) / "labels.ome.zarr"
        for block in blocks:
            settings = SegmentConfig(checkpoint=checkpoint, region=block.region, device=device)
            for _ in segment(volume, output, settings):
                pass
            yield LabelStore.open(output).read(block.region) > 0


def _counts(project: Project, block: ReviewBlock, found: Mask) -> list[Counts]:
    """Return, for each piece of a block, what Dice and clDice are made of, (7,).

    Both, predicted and true voxels; then ``|S_P & G|, |S_P|, |S_G & P|, |S_G|``.
    """
    label = project.corrected(block.region)
    for other in project.training_blocks:
        common = other.region.intersection(block.region)
        if common is not None:
            label[common.relative_to(block.region.start).slices] = 0
    labelled, truth = label > 0, label == VESSEL
    line_p, line_g = skeleton(found) & labelled, skeleton(truth) & labelled
    kinds = (
        found & truth,
        found & labelled,
        truth,
        line_p & truth,
        line_p,
        line_g & found,
        line_g,
    )
    pieces = Region.whole(found.shape).pieces(PIECE)
    return [np.array([np.count_nonzero(kind[piece.slices]) for kind in kinds], float) for piece in pieces]


def dice_of(counts: Counts) -> Any:
    """Return Dice from counts (..., 7); NaN where there is no vessel on either side."""
    both, predicted, true = counts[..., 0], counts[..., 1], counts[..., 2]
    return _divided(2 * both, predicted + true)


def cldice_of(counts: Counts) -> Any:
    """Return clDice from counts (..., 7); NaN where there is no centreline on either side."""
    precision = _divided(counts[..., 3], counts[..., 4])
    recall = _divided(counts[..., 5], counts[..., 6])
    known = np.nan_to_num(_divided(2 * precision * recall, precision + recall))
    return np.where((counts[..., 4] + counts[..., 6]) > 0, known, np.nan)


def _divided(part: Any, whole: Any) -> Any:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def _judgement(
    blocks: Sequence[ReviewBlock],
    names: tuple[str, str],
    new: list[list[Counts]],
    old: list[list[Counts]],
) -> Judgement:
    scores = tuple(
        BlockScore(
            str(block.region),
            block.number,
            *(float(kind(np.sum(one, axis=0))) for kind in (dice_of, cldice_of) for one in (n, o)),
        )
        for block, n, o in zip(blocks, new, old, strict=True)
    )
    pieces_new, pieces_old = (np.stack([piece for block in one for piece in block]) for one in (new, old))
    telling = (pieces_new[:, :3].sum(axis=1) + pieces_old[:, :3].sum(axis=1)) > 0
    pieces_new, pieces_old = pieces_new[telling], pieces_old[telling]
    total_new, total_old = pieces_new.sum(axis=0), pieces_old.sum(axis=0)
    dice, cldice = _gains(pieces_new, pieces_old)
    estimates = [float(kind(total_new) - kind(total_old)) for kind in (dice_of, cldice_of)]
    verdict = _verdict(_mean_of_known(dice, cldice))
    gains = tuple(_interval(value, drawn) for value, drawn in zip(estimates, (dice, cldice), strict=True))
    return Judgement(
        candidate=names[0],
        current=names[1],
        blocks=scores,
        dice_new=float(dice_of(total_new)),
        dice_old=float(dice_of(total_old)),
        cldice_new=float(cldice_of(total_new)),
        cldice_old=float(cldice_of(total_old)),
        dice_gain=gains[0],
        cldice_gain=gains[1],
        worst=min(scores, key=lambda one: np.nansum([one.dice_new, one.cldice_new])),
        verdict=verdict,
        text=_sentence(verdict, len(blocks), len(pieces_new)),
    )


def _gains(new: Counts, old: Counts) -> tuple[Counts, Counts]:
    """Return Dice and clDice gains of resampled pieces (pieces, 7), each (RESAMPLED,); NaN for few pieces."""
    if len(new) < LEAST_PIECES:
        return np.full(1, np.nan), np.full(1, np.nan)
    drawn = np.random.default_rng(0).integers(len(new), size=(RESAMPLED, len(new)))
    sums = [one[drawn].sum(axis=1) for one in (new, old)]
    return dice_of(sums[0]) - dice_of(sums[1]), cldice_of(sums[0]) - cldice_of(sums[1])


def _interval(estimate: float, drawn: Counts) -> tuple[float, float, float]:
    if np.isnan(drawn).all():
        return estimate, math.nan, math.nan
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return estimate, float(low), float(high)


def _mean_of_known(one: Counts, other: Counts) -> Counts:
    """Return the mean of two arrays; where one is NaN, the other."""
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, (one + other) / 2))


def _verdict(drawn: Counts) -> str:
    _, low, high = _interval(0.0, drawn)  # NaN compares false
    if low > 0:
        return "better"
    return "worse" if high < 0 else "undecided"


def _sentence(verdict: str, blocks: int, pieces: int) -> str:
    where = f"on {blocks} held-out block{'' if blocks == 1 else 's'}"
    if pieces < LEAST_PIECES:
        return f"Too little is labelled {where} to tell which is better; accept more blocks"
    return {
        "better": f"Better than the current checkpoint {where}",
        "worse": f"Worse than the current checkpoint {where}",
    }.get(verdict, f"Neither clearly better nor worse than the current checkpoint {where}")


def _without_blocks(candidate: str, current: str) -> Judgement:
    unknown = (math.nan, math.nan, math.nan)
    text = (
        "No accepted block is held out, so nothing tells whether the new checkpoint is better; "
        "accept more blocks (of the first three one is held out)"
    )
    none = math.nan
    return Judgement(
        candidate, current, (), none, none, none, none, unknown, unknown, None, "no held-out blocks", text
    )
