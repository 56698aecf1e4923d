"""Where a segmentation and its reference differ: projections along the three axes.

The colour of a pixel is the mean over the vessel voxels behind it: gray for those that agree, orange for
those that are only predicted, blue for those that are missed. Every chunk is read once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.projections.picture import with_scale_bar
from napari_vesselkd.projections.project import READ_VOXELS
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import Volume

AGREED, ADDED, MISSED = (190, 190, 190), (255, 130, 20), (40, 120, 255)
LEGEND = (("agreed", AGREED), ("only predicted", ADDED), ("missed", MISSED))
PANEL, LEGEND_WIDTH, GAP, TEXT = 900, 420, 16, 20  # pixels
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Difference(Report):
    """What was compared, as a picture.

    Attributes
    ----------
    image : ndarray (rows, columns, 3) uint8
    region : Region
    """

    image: npt.NDArray[np.uint8]
    region: Region


def differing(
    prediction: Volume, reference: Volume, region: Region | str | None = None
) -> Iterator[Progress | Difference]:
    """Project where two label volumes agree and differ, along z, y and x.

    Parameters
    ----------
    prediction, reference : Volume
        Of one shape; every value above 0 is vessel.
    region : Region or str, optional
        Everything by default.

    Raises
    ------
    InvalidInputError
        If the shapes differ.
    RegionError
        If the region is empty or outside.
    """
    if prediction.shape != reference.shape:
        raise InvalidInputError(
            "The prediction and the reference have different shapes",
            value=f"{prediction.shape} and {reference.shape}",
            limit="one shape z,y,x for both",
        )
    if isinstance(region, str):
        region = Region.parse(region, within=reference.shape)
    box = (region or Region.whole(reference.shape)).checked(reference.shape)
    views = [
        np.zeros((3, *(n for axis, n in enumerate(box.shape) if axis != at)), np.int64) for at in range(3)
    ]
    pieces = list(box.reads(reference.chunks, READ_VOXELS))
    started = time.perf_counter()
    for done, piece in enumerate(pieces, start=1):
        found, true = prediction.read(piece) > 0, reference.read(piece) > 0
        place = piece.relative_to(box.start).slices
        for kind, mask in enumerate((found & true, found & ~true, true & ~found)):
            for at, view in enumerate(views):
                part = tuple(one for axis, one in enumerate(place) if axis != at)
                view[kind][part] += mask.sum(axis=at)
        yield Progress(done, len(pieces), "reads", time.perf_counter() - started)
    known = reference if reference.voxel_size_known else prediction
    yield Difference(_figure(views, known), box)


def _figure(views: list[Counts], volume: Volume) -> npt.NDArray[np.uint8]:
    """Return the view along z, that along x to its right, that along y below it, and the legend."""
    along_z, along_y, along_x = (coloured_shares(view) for view in views)
    z, y, x = volume.voxel_size_um
    zoom = PANEL / max(along_z.shape[0] * y, along_z.shape[1] * x)
    front = _resized(along_z, (y * zoom, x * zoom))
    if volume.voxel_size_known:
        front = with_scale_bar(front, 1 / zoom)
    side = _resized(along_x.transpose(1, 0, 2), (y * zoom, z * zoom))
    below = _resized(along_y, (z * zoom, x * zoom))
    rows, columns = front.shape[0] + GAP + below.shape[0], front.shape[1] + GAP + side.shape[1]
    sheet = Image.new("RGB", (max(columns, LEGEND_WIDTH) + 2 * GAP, rows + TEXT + 3 * GAP), "black")
    for picture, left, top in (
        (front, 0, 0),
        (side, front.shape[1] + GAP, 0),
        (below, 0, front.shape[0] + GAP),
    ):
        sheet.paste(Image.fromarray(picture), (GAP + left, GAP + top))
    _write_legend(ImageDraw.Draw(sheet), sheet.height - GAP - TEXT // 2)
    return np.asarray(sheet)


def coloured_shares(counts: Counts) -> npt.NDArray[np.uint8]:
    """Return the colours (rows, columns, 3), mixed by how many voxels agree, are added, or are missed.

    Parameters
    ----------
    counts : ndarray (3, rows, columns)
        Agreed, added and missed voxels.
    """
    total = counts.sum(axis=0)
    shares = counts / np.maximum(total, 1)
    mixed = np.tensordot(shares, np.array([colour for _, colour in LEGEND], np.float64), axes=(0, 0))
    return np.rint(mixed).astype(np.uint8)


def _resized(rgb: npt.NDArray[np.uint8], zoom: tuple[float, float]) -> npt.NDArray[np.uint8]:
    rows, columns = (max(1, round(n * factor)) for n, factor in zip(rgb.shape, zoom, strict=False))
    return np.asarray(Image.fromarray(rgb).resize((columns, rows), Image.Resampling.BOX))


def _write_legend(draw: ImageDraw.ImageDraw, middle: int) -> None:
    font: Any = ImageFont.load_default(TEXT)
    left = float(GAP)
    for name, colour in LEGEND:
        draw.rectangle((left, middle - TEXT // 2, left + TEXT, middle + TEXT // 2), fill=colour)
        draw.text((left + TEXT + GAP / 2, middle), name, font=font, anchor="lm", fill="white")
        left += TEXT + 2 * GAP + draw.textlength(name, font=font)
