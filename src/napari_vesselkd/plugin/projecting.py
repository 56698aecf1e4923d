"""A projection as the Look tab shows, saves and adds it; computed in a worker thread.

Notation: `gray` is the raw maximum, (rows, columns); `rgb` is the picture of it, (rows, columns, 3) uint8.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from napari_vesselkd.geometry import AXES, Region
from napari_vesselkd.plugin.layers import KEY, Shown, find_layer, placement
from napari_vesselkd.plugin.look_state import picture_size
from napari_vesselkd.projections import contrast_window, mip, picture, write_png
from napari_vesselkd.projections.levels import choose_level, region_at
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.volume import Volume


@dataclass(frozen=True, eq=False)
class Projection:
    """The maximum along one axis of a slab.

    Attributes
    ----------
    name : str
        Of the volume.
    axis : str
        The projected axis.
    region : Region
        The slab, in voxels of the finest level.
    gray : ndarray (rows, columns)
        Raw maximum at the level that was read.
    rgb : ndarray (rows, columns, 3) uint8
        Contrast-stretched, with the labels over it and a scale bar; square pixels, small ones enlarged.
    height_um, width_um : float
        Size in the world.
    """

    name: str
    axis: str
    region: Region
    gray: np.ndarray
    rgb: np.ndarray
    height_um: float
    width_um: float


def project(volume: Volume, slab: Region, axis: str, labels: Volume | None) -> Projection:
    """Project `slab` of `volume` along `axis`, at the finest level that a screen can show.

    Parameters
    ----------
    volume, labels : Volume
        `labels` may have other levels, but the same extent.
    slab : Region
        In voxels of level 0.
    axis : {"z", "y", "x"}
    """
    gray = _mip(volume, volume, slab, axis)
    over = None if labels is None else _resized(_mip(labels, volume, slab, axis), gray.shape)
    height, width = picture_size(slab, axis, volume.voxel_size_um)
    pixel = (height / gray.shape[0], width / gray.shape[1])
    known = volume.voxel_size_known or pixel[0] != pixel[1]
    rgb = picture(gray, over, pixel_size_um=pixel if known else None)
    return Projection(volume.name, axis, slab, gray, rgb, height, width)


def show_projection(viewer: Any, projection: Projection, like: Any) -> Any:
    """Add the projection as a layer as thick as its slab, or update the one of the same axis."""
    name = f"vesselkd: MIP {projection.axis}"
    at = AXES.index(projection.axis)
    data = np.expand_dims(projection.gray, at)
    place = placement(like)
    thick = projection.region.shape
    steps = [size / n for size, n in zip(thick, data.shape, strict=True)]
    centres = [low + (step - 1) / 2 for low, step in zip(projection.region.start, steps, strict=True)]
    limits = contrast_window(projection.gray)
    kwargs: dict[str, Any] = {
        "scale": [step * size for step, size in zip(steps, place.scale, strict=True)],
        "translate": [c * s + t for c, s, t in zip(centres, place.scale, place.translate, strict=True)],
        "contrast_limits": limits,
    }
    layer = find_layer(viewer, name, like)
    if layer is None:
        kwargs.update(name=name, units=place.units, metadata={KEY: Shown(source=like)})
        return viewer.add_image(data, **kwargs)
    layer.data = data
    for attribute, value in kwargs.items():
        setattr(layer, attribute, value)
    return layer


def save_projection(projection: Projection, path: Path) -> None:
    """Save the picture as it is shown."""
    write_png(path, projection.rgb)


def _mip(source: Volume, frame: Volume, slab: Region, axis: str) -> np.ndarray:
    """Project `slab`, given in voxels of `frame`, from the level of `source` that a screen can show."""
    shapes = tuple((level.shape[0], level.shape[1], level.shape[2]) for level in source.levels)
    level = choose_level(shapes, region_at(slab, frame.shape, source.shape))
    region = region_at(slab, frame.shape, shapes[level])
    return np.asarray(mip(source, cast(Axis, axis), level=level, region=region))


def _resized(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = (np.arange(n) * have // n for n, have in zip(shape, labels.shape, strict=True))
    return np.asarray(labels[np.ix_(rows, columns)])
