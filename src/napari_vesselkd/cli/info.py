"""Volumes and scores as text and as reports."""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_vesselkd.cli.console import byte_text, columns
from napari_vesselkd.geometry import Shape, VoxelSize
from napari_vesselkd.measure import Metrics
from napari_vesselkd.reports import Report
from napari_vesselkd.volume import Volume


@dataclass(frozen=True)
class VolumeInfo(Report):
    """What a volume is, read from its metadata alone.

    Attributes
    ----------
    path, format, dtype : str
    axes : str
        Of everything below.
    shape, chunks : (z, y, x) in voxels
    voxel_size_um : (z, y, x) in um, or None
        None if the file does not say and it was not given.
    extent_um : (z, y, x) in um, or None
    bytes : int
        Of level 0 once unpacked.
    levels : tuple of dict
        ``shape``, ``voxel_size_um``, ``chunks`` of each.
    channel : int
    channels : tuple of str
        Empty without a channel axis.
    missing_chunks : int or None
        Chunks of level 0 that are not stored and read as fill value; None if that is not known.
    """

    path: str
    format: str
    axes: str
    shape: Shape
    dtype: str
    voxel_size_um: VoxelSize | None
    extent_um: VoxelSize | None
    chunks: Shape
    bytes: int
    levels: tuple[dict[str, tuple[float, ...]], ...]
    channel: int
    channels: tuple[str, ...]
    missing_chunks: int | None


def describe(volume: Volume) -> VolumeInfo:
    """Return what `vesselkd info` shows; no voxel is read."""
    size = volume.voxel_size_um if volume.voxel_size_known else None
    z, y, x = (n * step for n, step in zip(volume.shape, volume.voxel_size_um, strict=True))
    levels = tuple(
        {"shape": tuple(level.shape), "voxel_size_um": step, "chunks": chunks}
        for level, step, chunks in zip(
            volume.levels, volume.level_voxel_sizes_um, volume.level_chunks, strict=True
        )
    )
    return VolumeInfo(
        path=str(volume.path),
        format=volume.format,
        axes="zyx",
        shape=volume.shape,
        dtype=str(volume.dtype),
        voxel_size_um=size,
        extent_um=None if size is None else (z, y, x),
        chunks=volume.chunks,
        bytes=volume.nbytes,
        levels=levels,
        channel=volume.channel,
        channels=volume.channel_names,
        missing_chunks=volume.missing_chunks(),
    )


def info_lines(found: VolumeInfo) -> list[str]:
    """Return the table of `vesselkd info`."""
    unknown = "not in the file (give it with --voxel-size z,y,x)"
    rows = [
        ("path", found.path),
        ("format", found.format),
        ("shape z,y,x", _numbers(found.shape)),
        ("dtype", found.dtype),
        ("voxel size", unknown if found.voxel_size_um is None else f"{_numbers(found.voxel_size_um)} um"),
        ("extent", "unknown" if found.extent_um is None else f"{_numbers(found.extent_um)} um"),
        ("chunks", _numbers(found.chunks)),
        ("bytes", f"{found.bytes:,} ({byte_text(found.bytes)})"),
    ]
    if found.channels:
        rows.append(("channels", ", ".join(f"{i} {name}" for i, name in enumerate(found.channels))))
        rows.append(("channel shown", str(found.channel)))
    if found.missing_chunks is not None:
        note = " (read as fill value)" if found.missing_chunks else ""
        rows.append(("missing chunks", f"{found.missing_chunks:,}{note}"))
    rows += [
        (f"level {i}", _level_text(level, known=found.voxel_size_um is not None))
        for i, level in enumerate(found.levels)
    ]
    return columns(rows)


def metrics_lines(scores: Metrics) -> list[str]:
    """Return the table of `vesselkd evaluate`."""
    rows = [
        ("Dice", _score(scores.dice)),
        ("clDice", _score(scores.cldice)),
        ("  precision", _score(scores.tprec)),
        ("  sensitivity", _score(scores.tsens)),
        ("Jaccard", _score(scores.jaccard)),
        ("accuracy", _score(scores.accuracy)),
        ("HD95", _distance(scores)),
        ("SMD", f"{_score(scores.smd)} (as published: {_score(scores.smd_paper)})"),
        ("Betti errors", _betti_errors(scores)),
        (
            "vessel voxels",
            f"{scores.prediction_voxels:,} predicted, {scores.reference_voxels:,} in the reference",
        ),
        ("voxels", f"{scores.voxels:,}"),
    ]
    return [*columns(rows), *scores.notes]


def _level_text(level: dict[str, tuple[float, ...]], *, known: bool) -> str:
    shape = _numbers(level["shape"])
    return f"{shape}  {_numbers(level['voxel_size_um'])} um" if known else shape


def _distance(scores: Metrics) -> str:
    if math.isnan(scores.hd95_voxels):
        return "-"
    um = "" if math.isnan(scores.hd95_um) else f", {scores.hd95_um:.2f} um"
    return f"{scores.hd95_voxels:.2f} voxels{um}"


def _betti_errors(scores: Metrics) -> str:
    errors = (scores.betti0_error, scores.betti1_error, scores.betti2_error)
    if any(math.isnan(error) for error in errors):
        return "-"
    return "{:.0f} pieces, {:.0f} loops, {:.0f} cavities".format(*errors)


def _score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values)
