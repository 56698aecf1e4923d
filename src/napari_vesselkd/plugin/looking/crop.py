"""A region of a volume in 3D: a crop that fits the graphics card and the memory, as a layer at its place."""

from collections.abc import Callable, Iterator
from typing import Any

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.layers import KEY, Shown, find_layer, placement, transform_like
from napari_vesselkd.plugin.visible import FILLED, go_to
from napari_vesselkd.projections import Crop, cropping
from napari_vesselkd.projections.crop import TEXTURE_SIDE
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import Volume

CROP = "vesselkd: 3D"
ANGLES = (12.0, -28.0, 62.0)  # degrees


def crop_task(viewer: Any, volume: Volume, region: Region) -> Callable[[], Iterator[Progress | Crop]]:
    """Return what a worker runs to read `region` for a 3D view."""
    side = texture_side(viewer)
    return lambda: cropping(volume, region, side=side)


def texture_side(viewer: Any) -> int:
    """Return the longest side of a 3D texture on this machine, in voxels."""
    try:
        from napari._vispy.utils.gl import get_max_texture_sizes

        side = get_max_texture_sizes()[1]
    except Exception:  # napari's own function may move; 2048 is what every card of the last ten years has
        side = None
    return int(side or TEXTURE_SIDE)


def show_crop(viewer: Any, crop: Crop, like: Any) -> Any:
    """Add the crop as the layer `vesselkd: 3D` (or update it) at its place, and look at it in 3D.

    `like`, whose coarsest level napari would show in 3D, is hidden.
    """
    place = placement(like)
    old = find_layer(viewer, CROP, like)
    if old is not None:
        viewer.layers.remove(old)
    start = [
        low * factor + (factor - 1) / 2 for low, factor in zip(crop.region.start, crop.factors, strict=True)
    ]
    where = transform_like(like, start)
    if place.affine is None:
        where["scale"] = tuple(size * factor for size, factor in zip(place.scale, crop.factors, strict=True))
    else:
        for axis, factor in enumerate(crop.factors):
            where["affine"][:3, axis] *= factor
    layer = viewer.add_image(
        crop.voxels,
        name=CROP,
        contrast_limits=like.contrast_limits,
        colormap=like.colormap,
        rendering="mip",
        metadata={KEY: Shown(source=like)},
        **where,
    )
    like.visible = False
    viewer.dims.ndisplay = 3
    _look_at(viewer, layer)
    return layer


def _look_at(viewer: Any, layer: Any) -> None:
    """Show all of `layer`, from aside: a thin slab seen from its edge would be a line."""
    go_to(viewer, layer, Region.whole(layer.data.shape))
    low, high = layer.extent.world[:, -3:]
    camera = viewer.scene.camera
    camera.zoom = FILLED * min(viewer.canvas.size) / max(float((high - low).max()), 1e-9)
    camera.angles = ANGLES
