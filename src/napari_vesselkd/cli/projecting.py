"""What ``vesselkd mip`` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.geometry import Region, VoxelSize
from napari_vesselkd.projections import (
    Projection,
    check_picture_path,
    parse_slab,
    picture,
    projecting,
    save_tiff,
    write_png,
)
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.volume import Volume, open_volume


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
        found: list[Projection] = []
        volumes = [volume]
        if request.overlay is not None:
            volumes.append(_same_level(opened.enter_context(open_volume(request.overlay)), volume))
        for one in volumes:
            for report in projecting(one, request.axis, slab, region=box):
                if isinstance(report, Projection):
                    found.append(report)
                else:
                    yield report
        yield from _write(output, found)


def _write(output: Path, found: list[Projection]) -> Iterator[Report]:
    image, pixel = found[0], found[0].pixel_size_um
    raw = output.suffix.lower() != ".png" and len(found) == 1
    if pixel is None and not raw:
        yield Notice("The voxel size is not known: square pixels and no scale bar (give --voxel-size z,y,x).")
    if raw:
        save_tiff(output, image.image, pixel)
    else:
        rgb = picture(image.image, found[1].image if len(found) > 1 else None, pixel_size_um=pixel)
        if output.suffix.lower() == ".png":
            write_png(output, rgb)
        else:
            save_tiff(output, rgb, _rgb_pixel(rgb.shape, image))
    yield MipFinished(str(output), image.axis, str(image.region), image.image.shape, pixel)


def _rgb_pixel(shape: tuple[int, ...], image: Projection) -> tuple[float, float] | None:
    """Return the pixel size of a stretched picture."""
    if image.pixel_size_um is None:
        return None
    row, column = image.pixel_size_um
    return row * image.image.shape[0] / shape[0], column * image.image.shape[1] / shape[1]


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
