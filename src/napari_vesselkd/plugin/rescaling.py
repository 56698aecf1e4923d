"""Where layers lie when a voxel size is typed, or when their labels are of a coarser level.

Notation: sizes and factors are (z, y, x); sizes in um.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.plugin.layers import placement, shown_by, transform_like, voxel_size_um
from napari_vesselkd.volume import Volume

UM = "micrometer"


def set_voxel_size(viewer: Any, layer: Any, size_um: VoxelSize) -> None:
    """Give an image layer a voxel size, and move what was made from it along.

    Parameters
    ----------
    layer : napari.layers.Image
        Neither rotated nor sheared.
    size_um : (z, y, x)
        Above 0; a 2D layer takes y and x.
    """
    place = placement(layer)
    unit = place.unit_um or (1.0, 1.0, 1.0)
    origin = np.multiply(place.translate, unit)
    ratio = np.divide(size_um, voxel_size_um(place))
    made_from_it = [one for one in viewer.layers if (shown := shown_by(one)) and shown.source is layer]
    moved = [(one, placement(one)) for one in made_from_it]
    _place(layer, np.asarray(size_um), origin)
    for one, was in moved:
        scale = np.multiply(was.scale, unit) * ratio
        _place(one, scale, origin + (np.multiply(was.translate, unit) - origin) * ratio)


def place_level(layer: Any, like: Any, factors: Sequence[float]) -> None:
    """Put labels whose voxels are `factors` times those of the image layer `like` where they belong."""
    axes = min(3, like.ndim)
    where = transform_like(like, [(factor - 1) / 2 for factor in factors])
    if "affine" in where:
        stretched = where["affine"] @ np.diag([*factors[-axes:], 1.0])
        layer.affine = stretched
        return
    layer.scale = np.multiply(where["scale"], factors[-axes:])
    layer.translate = where["translate"]


def same_size(file: Volume, shown: Volume) -> bool:
    """Return whether a layer's volume has the voxel size that its file says."""
    return file.voxel_size_known and bool(np.allclose(file.voxel_size_um, shown.voxel_size_um, rtol=1e-5))


def _place(layer: Any, scale: np.ndarray, translate: np.ndarray) -> None:
    axes = min(3, layer.ndim)
    layer.units = (*layer.units[: layer.ndim - axes], *([UM] * axes))
    layer.scale = (*layer.scale[: layer.ndim - axes], *scale[-axes:])
    layer.translate = (*layer.translate[: layer.ndim - axes], *translate[-axes:])
