"""What ``vesselkd mip`` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.geometry import AXES, Region, VoxelSize
from napari_vesselkd.projections import (
    Projection,
    SlabProjection,
    SlabProjector,
    check_picture_path,
    depth_coloured,
    figure,
    parse_slab,
    picture,
    projecting,
    save_tiff,
    with_depth_key,
    write_png,
)
from napari_vesselkd.projections.project import slab_region
from napari_vesselkd.reports import Notice, Progress, Report
from napari_vesselkd.volume import Volume, open_volume

How = Literal["max", "min", "mean", "depth"]
DIMMED = 0.35  # of the brightness of what is no vessel, in the colours of depths


@dataclass(frozen=True)
class MipRequest:
    """The arguments of the command; see there."""

    source: str
    output: str
    axis: Literal["z", "y", "x"] = "z"
    slab: str | None = None
    overlay: str | None = None
    region: str | None = None
    level: int = 0
    channel: int | None = None
    voxel_size_um: VoxelSize | None = None
    how: How = "max"


@dataclass(frozen=True)
class MipFinished(Report):
    """The picture is written.

    Attributes
    ----------
    output : str
    axis : str
        The projected axis.
    region : str
        What was projected, in voxels of the level.
    shape : (rows, columns)
        Of the projection, before it was stretched to square pixels.
    pixel_size_um : (row, column) in um, or None
    """

    output: str
    axis: str
    region: str
    shape: tuple[int, ...]
    pixel_size_um: tuple[float, float] | None


def run_mip(request: MipRequest) -> Iterator[Report]:
    """Project, draw, and write the picture; the last report is `MipFinished`."""
    output = check_picture_path(request.output)
    slab = None if request.slab is None else parse_slab(request.slab)
    with ExitStack() as opened:
        volume = opened.enter_context(
            open_volume(
                request.source,
                channel=request.channel,
                level=request.level,
                voxel_size_um=request.voxel_size_um,
            )
        )
        _check_not_an_input(output, request)
        box = None if request.region is None else Region.parse(request.region, volume.shape)
        image: Projection | SlabProjection | None = None
        labels: Projection | None = None
        for report in _image(volume, request, slab, box):
            if isinstance(report, Projection | SlabProjection):
                image = report
            else:
                yield report
        if request.overlay is not None:
            over = _same_level(opened.enter_context(open_volume(request.overlay)), volume)
            for report in projecting(over, request.axis, slab, region=box):
                if isinstance(report, Projection):
                    labels = report
                else:
                    yield report
        assert image is not None  # noqa: S101  what the task ends with
        yield from _write(output, image, labels, known=volume.voxel_size_known)


def _image(
    volume: Volume, request: MipRequest, slab: tuple[int, int] | None, box: Region | None
) -> Iterator[Progress | Projection | SlabProjection]:
    if request.how != "depth":
        yield from projecting(volume, request.axis, slab, region=box, how=request.how)
        return
    region = slab_region(volume.shape, request.axis, slab, box)
    yield from SlabProjector(volume, cache_bytes=0).projecting(region, request.axis)


def _write(
    output: Path, image: Projection | SlabProjection, labels: Projection | None, *, known: bool
) -> Iterator[Report]:
    pixel = image.pixel_size_um if known else None
    raw = output.suffix.lower() != ".png" and labels is None and isinstance(image, Projection)
    if pixel is None and not raw:
        yield Notice("The voxel size is not known: square pixels and no scale bar (give --voxel-size z,y,x).")
    if raw:
        save_tiff(output, image.image, pixel)
    else:
        over = None if labels is None else labels.image
        if isinstance(image, SlabProjection):
            rgb = _in_depths(image, over, pixel)
        else:
            rgb = picture(image.image, over, pixel_size_um=pixel)
        if output.suffix.lower() == ".png":
            write_png(output, rgb)
        else:
            save_tiff(output, rgb, _rgb_pixel(rgb.shape, image.image.shape, pixel))
    yield MipFinished(str(output), image.axis, str(image.region), image.image.shape, pixel)


def _in_depths(
    image: SlabProjection, over: npt.NDArray[Any] | None, pixel: tuple[float, float] | None
) -> npt.NDArray[np.uint8]:
    """Return the figure in the colours of its depths, with their key; what is no vessel is dimmed."""
    at = AXES.index(image.axis)
    ends = (image.region.start[at], image.region.stop[at])
    depth = image.depth if image.depth is not None else np.full(image.image.shape, ends[0])
    rgb = depth_coloured(image.image, depth, ends)
    if over is not None:
        rgb = np.where((over > 0)[..., None], rgb, (rgb * DIMMED).astype(np.uint8))
    step = image.voxel_size_um[at] if pixel is not None else 1.0
    return with_depth_key(figure(rgb, pixel), ends[0] * step, ends[1] * step, known=pixel is not None)


def _rgb_pixel(
    shape: tuple[int, ...], before: tuple[int, ...], pixel: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return the pixel size of a picture that was stretched from the shape it had `before`."""
    if pixel is None:
        return None
    return pixel[0] * before[0] / shape[0], pixel[1] * before[1] / shape[1]


def _same_level(labels: Volume, volume: Volume) -> Volume:
    """Return `labels` at the level that has the shape of `volume`."""
    for level, array in enumerate(labels.levels):
        if tuple(array.shape) == volume.shape:
            return labels.at_level(level)
    raise InvalidInputError(
        "The labels have another shape than the volume",
        value=f"{labels.shape} and {volume.shape}",
        limit="one shape z,y,x for both",
        remedy="Choose the level of the volume with --level",
    )


def _check_not_an_input(output: Path, request: MipRequest) -> None:
    for source in (request.source, request.overlay):
        if source is not None and output.resolve() == Path(source).expanduser().resolve():
            raise OutputError("The output is the input", value=output, remedy="Choose another output")
