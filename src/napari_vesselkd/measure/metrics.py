"""Score a prediction against a reference: overlap, surface distance and topology in one object.

Notation: P, G are masks (z, y, x), prediction and reference: every value above 0 is vessel.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psutil

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape, checked_voxel_size
from napari_vesselkd.measure.betti import betti_numbers
from napari_vesselkd.measure.distance import surface_distance_percentile
from napari_vesselkd.measure.overlap import Mask, Overlap
from napari_vesselkd.measure.skeleton_distance import MOST_NODES, smd, smd_paper
from napari_vesselkd.measure.topology import CentrelineDice, centreline_dice, skeleton
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume, open_volume, volume_from_arrays

Source = Volume | str | Path | npt.NDArray[Any]

BLOCK_VOXELS = 2**25
BYTES_PER_VOXEL = 12
"""Memory of HD95, clDice and Betti numbers per voxel of the box around all vessels."""


@dataclass(frozen=True)
class Metrics(Report):
    """Agreement of a prediction P with a reference G.

    Attributes
    ----------
    dice, jaccard, accuracy : float
        0..1; Dice and Jaccard are NaN if both masks are empty.
    cldice, tprec, tsens : float
        Centreline Dice, its precision and its sensitivity, 0..1; clDice is 0 if one mask is empty, NaN if
        both are; a part without a skeleton is NaN, and where a mask has vessels and no skeleton, `notes`
        says so.
    hd95_voxels, hd95_um : float
        95th percentile Hausdorff distance, in voxels and in um. NaN if one of the masks is empty, whichever;
        `hd95_um` also if the voxel size is not known.
    smd, smd_paper : float
        Skeleton matching distance in um (in voxels if the size is not known), NaN if a skeleton is empty; and
        as published, in voxels. See `measure.skeleton_distance`.
    betti0_error, betti1_error, betti2_error : float
        By how many pieces, loops and cavities P and G differ, see `measure.betti`.
    prediction_voxels, reference_voxels, voxels : int
        Vessel voxels of P and G, and all voxels compared.
    voxel_size_um : (z, y, x) in um, or None
        The one used for `hd95_um`.
    notes : tuple of str
        What the reader of the figures should know.
    """

    dice: float
    jaccard: float
    accuracy: float
    cldice: float
    tprec: float
    tsens: float
    hd95_voxels: float
    hd95_um: float
    smd: float
    smd_paper: float
    betti0_error: float
    betti1_error: float
    betti2_error: float
    prediction_voxels: int
    reference_voxels: int
    voxels: int
    voxel_size_um: VoxelSize | None = None
    notes: tuple[str, ...] = ()


def evaluate(
    prediction: Source,
    reference: Source,
    voxel_size_um: Sequence[float] | None = None,
    *,
    region: Region | str | None = None,
) -> Metrics:
    """Return all metrics of `prediction` against `reference`; every value above 0 counts as vessel.

    Parameters
    ----------
    prediction, reference : Volume, path or ndarray
        (z, y, x) of one shape; a 2D array is one slice. What is opened here is closed again.
    voxel_size_um : (z, y, x) in um, optional
        For HD95 in um; else the reference's, else the prediction's.
    region : Region or str, optional
        Compare only these voxels.

    Raises
    ------
    InvalidInputError
        If the shapes differ.
    RegionError
        If the region is not inside the volumes.

    Notes
    -----
    The overlap is counted block by block. HD95, clDice, SMD and the Betti errors hold the box around all
    vessels in memory, about 12 bytes per voxel; where that does not fit they are NaN and `Metrics.notes`
    says so.
    """
    *_, metrics = evaluation(prediction, reference, voxel_size_um, region=region)
    return cast(Metrics, metrics)


def evaluation(
    prediction: Source,
    reference: Source,
    voxel_size_um: Sequence[float] | None = None,
    *,
    region: Region | str | None = None,
) -> Iterator[Progress | Metrics]:
    """Do what `evaluate` does, as a task: a `Progress` per block of overlap, at the end the `Metrics`."""
    with ExitStack() as opened:
        left, right = _open(prediction, "prediction", opened), _open(reference, "reference", opened)
        _check_shapes(left, right)
        spacing, notes = _spacing(left, right, voxel_size_um)
        if isinstance(region, str):
            region = Region.parse(region, within=left.shape)
        box = (region or Region.whole(left.shape)).checked(left.shape)
        overlap, vessels = Overlap(), None
        for report, part, found in _count(left, right, box):
            overlap, vessels = overlap + part, _union(vessels, found)
            yield report
        yield _metrics((left, right), overlap, (box, vessels), spacing, notes)


def _open(source: Source, role: str, opened: ExitStack) -> Volume:
    if isinstance(source, Volume):
        return source
    if isinstance(source, str | Path):
        return opened.enter_context(open_volume(source))
    return volume_from_arrays([source], voxel_size_um=None, name=role)


def _check_shapes(prediction: Volume, reference: Volume) -> None:
    if prediction.shape != reference.shape:
        raise InvalidInputError(
            "The prediction and the reference have different shapes",
            value=f"{prediction.shape} and {reference.shape}",
            limit="one shape z,y,x for both",
            remedy="Compare volumes of the same region and level",
        )


def _spacing(
    prediction: Volume, reference: Volume, given: Sequence[float] | None
) -> tuple[VoxelSize | None, list[str]]:
    if given is not None:
        return checked_voxel_size(given), []
    known = [volume.voxel_size_um for volume in (reference, prediction) if volume.voxel_size_known]
    if not known:
        return None, ["The voxel size is not known: no HD95 in um (give it with --voxel-size z,y,x)."]
    if not np.allclose(known[0], known[-1], rtol=1e-3):
        return known[0], [
            f"The voxel sizes differ: reference {known[0]}, prediction {known[-1]} um; the first is used."
        ]
    return known[0], []


def _count(
    prediction: Volume, reference: Volume, box: Region
) -> Iterator[tuple[Progress, Overlap, Region | None]]:
    """Yield, per block of `box`, how far it is, the overlap there, and the box around its vessels."""
    pieces = list(box.reads(_common_chunk(prediction.chunks, reference.chunks), BLOCK_VOXELS))
    started = time.perf_counter()
    for done, piece in enumerate(pieces, start=1):
        mask_p, mask_g = prediction.read(piece) > 0, reference.read(piece) > 0
        found = _bounds(mask_p | mask_g)
        seconds = time.perf_counter() - started
        yield (
            Progress(done, len(pieces), "blocks", seconds),
            Overlap.of(mask_p, mask_g),
            None if found is None else found.shifted(piece.start),
        )


def _common_chunk(one: Shape, other: Shape) -> Shape:
    """Return a box that holds chunks of both volumes, or where that is too large, of the coarser one."""
    both = as_shape([max(sizes) for sizes in zip(one, other, strict=True)])
    return both if math.prod(both) <= BLOCK_VOXELS else max(one, other, key=math.prod)


def _bounds(mask: Mask) -> Region | None:
    """Return the smallest box around the True voxels."""
    starts, stops = [], []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(hit):
            return None
        starts.append(int(hit[0]))
        stops.append(int(hit[-1]) + 1)
    return Region(as_shape(starts), as_shape(stops))


def _union(one: Region | None, other: Region | None) -> Region | None:
    if one is None or other is None:
        return one or other
    return Region(
        as_shape([min(a, b) for a, b in zip(one.start, other.start, strict=True)]),
        as_shape([max(a, b) for a, b in zip(one.stop, other.stop, strict=True)]),
    )


def _metrics(
    volumes: tuple[Volume, Volume],
    overlap: Overlap,
    boxes: tuple[Region, Region | None],
    spacing: VoxelSize | None,
    notes: list[str],
) -> Metrics:
    compared, vessels = boxes
    hd95_voxels = hd95_um = distance = distance_paper = math.nan
    lines, betti = CentrelineDice(math.nan, math.nan, math.nan), (math.nan, math.nan, math.nan)
    if vessels is not None and _fits(vessels, notes):
        mask_p, mask_g = (volume.read(vessels) > 0 for volume in volumes)
        skeletons = skeleton(mask_p), skeleton(mask_g)
        lines = centreline_dice(mask_p, mask_g, skeletons)
        points_p, points_g = (np.argwhere(line) for line in skeletons)
        notes += _sampled(len(points_p), len(points_g))
        notes += _without_skeleton(overlap, len(points_p), len(points_g))
        distance = smd(points_p, points_g, compared.shape, spacing or (1.0, 1.0, 1.0))
        distance_paper = smd_paper(points_p, points_g, compared.shape)
        betti = betti_numbers(mask_p).errors(betti_numbers(mask_g))
        hd95_voxels = surface_distance_percentile(mask_p, mask_g)
        if spacing is not None:
            isotropic = len(set(spacing)) == 1
            hd95_um = (
                hd95_voxels * spacing[0]
                if isotropic
                else surface_distance_percentile(mask_p, mask_g, spacing)
            )
    for role, count in (("prediction", overlap.prediction_voxels), ("reference", overlap.reference_voxels)):
        if not count:
            notes.append(f"The {role} is empty: no HD95, no SMD.")
    return Metrics(
        dice=overlap.dice,
        jaccard=overlap.jaccard,
        accuracy=overlap.accuracy,
        cldice=lines.cldice,
        tprec=lines.tprec,
        tsens=lines.tsens,
        hd95_voxels=hd95_voxels,
        hd95_um=hd95_um,
        smd=distance,
        smd_paper=distance_paper,
        betti0_error=betti[0],
        betti1_error=betti[1],
        betti2_error=betti[2],
        prediction_voxels=overlap.prediction_voxels,
        reference_voxels=overlap.reference_voxels,
        voxels=overlap.voxels,
        voxel_size_um=spacing,
        notes=tuple(notes),
    )


def _without_skeleton(overlap: Overlap, predicted: int, reference: int) -> list[str]:
    """Say which mask has vessels and yet no skeleton, on which clDice and SMD rest."""
    return [
        f"The {role} has vessels but no skeleton, as straight tubes of an even width along an axis have none "
        "in scikit-image (issue 3757): clDice and SMD say nothing about it."
        for role, voxels, points in (
            ("prediction", overlap.prediction_voxels, predicted),
            ("reference", overlap.reference_voxels, reference),
        )
        if voxels and not points
    ]


def _sampled(predicted: int, reference: int) -> list[str]:
    """Say that SMD is of a part, where it is."""
    if max(predicted, reference) <= MOST_NODES:
        return []
    return [
        f"The skeletons have {predicted:,} and {reference:,} voxels: SMD compares about {MOST_NODES:,} of "
        f"the longer one and the same places of the other; as published, the first {MOST_NODES:,} of each."
    ]


def _fits(vessels: Region, notes: list[str]) -> bool:
    """Tell whether HD95 and clDice of this box fit into the free memory; note it where not."""
    needed, free = vessels.size * BYTES_PER_VOXEL, psutil.virtual_memory().available
    if needed <= free:
        return True
    notes.append(
        f"HD95, clDice, SMD and Betti errors need {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
        "left out; compare a region instead."
    )
    return False
