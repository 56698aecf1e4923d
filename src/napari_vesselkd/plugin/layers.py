"""The only bridge between volumes or labels and napari layers.

The layer list is the session: a layer's ``metadata["vesselkd"]`` carries a `Shown`, the handle of what the
layer shows. A layer that came from elsewhere (numpy, dask, zarr, multiscale, another plugin's reader)
becomes a volume through its own transform: scale, units, translation, affine.

Notation: arrays are (z, y, x); voxel sizes and origins are (z, y, x) in um.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_vesselkd.errors import InvalidInputError, UnsupportedSourceError
from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.labels import BlockEdit, LabelStore
from napari_vesselkd.plugin.live_level import FlatView, LiveLevel
from napari_vesselkd.volume import AxisView, Volume, volume_from_arrays

KEY = "vesselkd"
EXTRA_AXES = "abcdefgh"
STUDENT = "vesselkd: student"
LABEL_COLOURS = {None: "transparent", 0: "transparent", 1: "#ff6a3d"}
TRUTH_COLOURS = {None: "transparent", 0: "transparent", 1: "#2fd6c3"}


@dataclass(frozen=True, eq=False)
class Shown:
    """What a layer shows; lives in ``layer.metadata["vesselkd"]``.

    Attributes
    ----------
    volume : Volume or None
        The volume an image layer shows.
    store : LabelStore or None
        The labels a labels layer shows.
    source : object or None
        The image layer that `store` was predicted from.
    live : tuple of LiveLevel
        The levels of `store` as shown, finest first.
    truth : ndarray (z, y, x) or None
        The exact labels of a phantom's image layer.
    block : BlockEdit or None
        The block of a project that a labels layer edits.
    """

    volume: Volume | None = None
    store: LabelStore | None = None
    source: Any = None
    live: tuple[LiveLevel, ...] = ()
    truth: np.ndarray | None = None
    block: BlockEdit | None = None


@dataclass(frozen=True)
class Placement:
    """How a layer's (z, y, x) voxels lie in the world, in the layer's own units.

    Attributes
    ----------
    scale : tuple of float
        Length of one voxel along z, y, x.
    translate : tuple of float
        World position of voxel 0.
    affine : ndarray or None
        (4, 4) where the layer is rotated or sheared; it then holds scale and translation too.
    units : tuple
        napari's units of the three axes.
    unit_um : tuple of float or None
        Length of each unit in um, or None where the layer's units are not lengths (pixels).
    """

    scale: VoxelSize
    translate: tuple[float, float, float]
    affine: np.ndarray | None
    units: tuple[Any, ...]
    unit_um: VoxelSize | None


@dataclass(frozen=True, eq=False)
class LayerVolume:
    """A layer as a volume, and what the user should know about it."""

    volume: Volume
    notices: tuple[str, ...] = ()


def shown_by(layer: Any) -> Shown | None:
    """Return the handle that `layer` carries, or None."""
    handle = layer.metadata.get(KEY)
    return handle if isinstance(handle, Shown) else None


def is_candidate(layer: Any) -> bool:
    """Return whether a layer is listed: every Image layer that is not a result of this plugin."""
    if type(layer).__name__ != "Image":
        return False
    handle = shown_by(layer)
    return handle is None or handle.source is None


def refusal(layer: Any) -> str | None:
    """Return why `layer` cannot be segmented, or None where it can."""
    kind = type(layer).__name__
    if kind != "Image":
        return f"'{layer.name}' is a {kind} layer; choose an Image layer."
    if layer.rgb:
        return (
            f"'{layer.name}' is an RGB image; vessels are segmented from one channel. "
            "Split it first: right-click the layer, Split RGB."
        )
    if layer.ndim < 2:
        return f"'{layer.name}' has {layer.ndim} axis; at least y and x are needed."
    return None


def volume_of(layer: Any, steps: Sequence[int] = ()) -> LayerVolume:
    """Return the volume that an Image layer shows.

    Parameters
    ----------
    layer : napari.layers.Image
        Any layer: numpy, dask, zarr, multiscale, this plugin's or another plugin's.
    steps : sequence of int
        Index on each leading axis of a layer of more than three axes.

    Raises
    ------
    UnsupportedSourceError
        If the layer is RGB, complex or not an image.
    InvalidInputError
        If a leading axis has no step in `steps`.
    """
    reason = refusal(layer)
    if reason is not None:
        raise UnsupportedSourceError(reason.rstrip("."))
    place = placement(layer)
    notices = list(_transform_notices(layer, place))
    handle = shown_by(layer)
    if handle is not None and handle.volume is not None and _still_shows(layer, handle.volume):
        return LayerVolume(_rescaled(handle.volume, place), tuple(notices))
    extra = max(0, layer.ndim - 3)
    steps = tuple(int(step) for step in steps)[:extra]
    if len(steps) != extra:
        raise InvalidInputError(
            f"The layer has {layer.ndim} axes and no position is given for the first {extra}",
            value=repr(layer.name),
            remedy="Set the sliders of the extra axes and choose the layer again",
        )
    if extra:
        at = ", ".join(f"{name} = {step}" for name, step in zip(layer.axis_labels, steps, strict=False))
        notices.append(f"Only the current position of the extra axes is used: {at}.")
    levels = list(layer.data) if layer.multiscale else [layer.data]
    if extra:
        letters = EXTRA_AXES[:extra]
        fixed = dict(zip(letters, steps, strict=True))
        levels = [AxisView(level, f"{letters}zyx", fixed) for level in levels]
    volume = volume_from_arrays(
        levels,
        voxel_size_um=voxel_size_um(place),
        voxel_size_known=place.unit_um is not None,
        origin_um=_origin_um(place),
        name=layer.name,
    )
    return LayerVolume(volume, tuple(notices))


def labels_volume(layer: Any) -> Volume:
    """Return the (z, y, x) voxels of a 2D or 3D Labels layer as a volume."""
    levels = list(layer.data) if layer.multiscale else [layer.data]
    return volume_from_arrays(levels, voxel_size_um=voxel_size_um(placement(layer)), name=layer.name)


def placement(layer: Any) -> Placement:
    """Read how the last three axes of `layer` lie in the world."""
    linear, offset = _spatial_transform(layer)
    lengths = np.linalg.norm(linear, axis=0)
    lengths[lengths == 0] = 1.0
    tilted = not np.allclose(linear, np.diag(np.abs(np.diag(linear))), atol=1e-6 * lengths.max())
    affine = None
    if tilted:
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = linear, offset
    units = tuple(layer.units[-3:])
    units = (units[0], *units) if len(units) == 2 else units
    factors = [_unit_in_um(unit) for unit in units]
    known = None if any(f is None for f in factors) else tuple(f for f in factors if f is not None)
    z, y, x = (float(length) for length in lengths)
    return Placement(
        scale=(z, y, x),
        translate=(float(offset[0]), float(offset[1]), float(offset[2])),
        affine=affine,
        units=units,
        unit_um=None if known is None else (known[0], known[1], known[2]),
    )


def voxel_size_um(place: Placement) -> VoxelSize:
    """Return the voxel size in um; units that are not lengths count as um, for their ratio."""
    factors = place.unit_um or (1.0, 1.0, 1.0)
    z, y, x = (s * f for s, f in zip(place.scale, factors, strict=True))
    return z, y, x


def current_steps(viewer: Any, layer: Any) -> tuple[int, ...]:
    """Return the viewer's position on the leading axes of a layer of more than three axes."""
    extra = max(0, layer.ndim - 3)
    if extra == 0:
        return ()
    point = np.asarray(viewer.dims.point)[-layer.ndim :]
    index = np.round(layer.world_to_data(point)).astype(int)[:extra]
    shape = (layer.data[0] if layer.multiscale else layer.data).shape[:extra]
    return tuple(int(np.clip(step, 0, size - 1)) for step, size in zip(index, shape, strict=True))


def show_labels(
    viewer: Any,
    store: LabelStore,
    like: Any,
    *,
    live: tuple[LiveLevel, ...] | None = None,
    name: str = STUDENT,
    colours: dict[Any, str] | None = None,
) -> Any:
    """Show `store` over the image layer `like`, in the layer called `name`.

    A layer of that name made from `like` before is updated instead of adding another.

    Returns
    -------
    napari.layers.Labels
    """
    live = live_levels(store) if live is None else live
    levels: list[Any] = [FlatView(level) for level in live] if like.ndim == 2 else list(live)
    handle = Shown(store=store, source=like, live=live)
    layer = find_layer(viewer, name, like)
    if layer is not None and layer.multiscale == (len(levels) > 1):
        layer.data = levels if layer.multiscale else levels[0]
        layer.metadata = {**layer.metadata, KEY: handle}
        return layer
    if layer is not None:
        viewer.layers.remove(layer)
    from napari.utils.colormaps import DirectLabelColormap

    layer = viewer.add_labels(
        levels if len(levels) > 1 else levels[0],
        multiscale=len(levels) > 1,
        name=name,
        opacity=0.65,
        colormap=DirectLabelColormap(color_dict=colours or LABEL_COLOURS),
        metadata={KEY: handle},
        **transform_like(like),
    )
    layer.editable = False
    return layer


def live_levels(store: LabelStore) -> tuple[LiveLevel, ...]:
    """Return the levels of `store` as layers show them, finest first."""
    return tuple(LiveLevel(level) for level in store.levels)


def find_layer(viewer: Any, name: str, source: Any) -> Any:
    """Return the layer called `name` (napari may have numbered it) that was made from `source`, or None."""
    for layer in viewer.layers:
        handle = shown_by(layer)
        if handle is not None and handle.source is source and layer.name.split(" [")[0] == name:
            return layer
    return None


def transform_like(layer: Any, start: Sequence[float] = (0, 0, 0)) -> dict[str, Any]:
    """Return the keyword arguments that put a layer of the same (z, y, x) voxels where `layer` is.

    Parameters
    ----------
    layer : napari.layers.Layer
    start : (z, y, x), optional
        The voxel of `layer` where the new layer's first one lies.
    """
    place = placement(layer)
    axes = 2 if layer.ndim == 2 else 3
    units = place.units[-axes:]
    if place.affine is None:
        origin = [t + s * at for t, s, at in zip(place.translate, place.scale, start, strict=True)]
        return {"scale": place.scale[-axes:], "translate": tuple(origin[-axes:]), "units": units}
    affine = place.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=float)
    keep = slice(3 - axes, None)
    return {"affine": affine[keep, keep], "units": units}


def _spatial_transform(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the (3, 3) matrix and the offset that take (z, y, x) voxels to the world."""
    axes = min(3, layer.ndim)
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)
    columns = []
    for axis in range(layer.ndim - axes, layer.ndim):
        unit = np.zeros(layer.ndim)
        unit[axis] = 1.0
        columns.append((np.asarray(layer.data_to_world(unit), dtype=float) - origin)[-axes:])
    linear, offset = np.stack(columns, axis=1), origin[-axes:]
    if axes == 3:
        return linear, offset
    # A 2D image is one slice; its thickness is taken as its finer in-plane size.
    volume = np.zeros((3, 3))
    volume[1:, 1:] = linear
    volume[0, 0] = float(np.linalg.norm(linear, axis=0).min()) or 1.0
    return volume, np.concatenate([[0.0], offset])


def _transform_notices(layer: Any, place: Placement) -> list[str]:
    notices = []
    if place.affine is not None:
        notices.append(
            f"'{layer.name}' is rotated, flipped or sheared: it is segmented in its own voxels and the "
            "result is shown through the same transform."
        )
    if place.unit_um is None:
        notices.append(
            f"'{layer.name}' does not say its voxel size (units: {place.units[-1]}): its scale is taken as "
            "micrometres."
        )
    return notices


def _unit_in_um(unit: Any) -> float | None:
    import pint

    try:
        length = pint.application_registry.Quantity(1.0, str(unit)).to("micrometer").magnitude
    except Exception:
        return None
    return float(length) if math.isfinite(length) and length > 0 else None


def _origin_um(place: Placement) -> tuple[float, float, float]:
    factors = place.unit_um or (1.0, 1.0, 1.0)
    z, y, x = (t * f for t, f in zip(place.translate, factors, strict=True))
    return z, y, x


def _still_shows(layer: Any, volume: Volume) -> bool:
    shape = tuple((layer.data[0] if layer.multiscale else layer.data).shape)
    return shape in {tuple(volume.shape), tuple(volume.shape[1:])} and np.dtype(layer.dtype) == volume.dtype


def _rescaled(volume: Volume, place: Placement) -> Volume:
    """Return `volume` with the voxel size its layer has now: the user may have corrected it."""
    size = voxel_size_um(place)
    known = place.unit_um is not None
    if np.allclose(size, volume.voxel_size_um, rtol=1e-5) and known == volume.voxel_size_known:
        return volume
    ratio = [new / old for new, old in zip(size, volume.voxel_size_um, strict=True)]
    levels = tuple(
        (level[0] * ratio[0], level[1] * ratio[1], level[2] * ratio[2])
        for level in volume.level_voxel_sizes_um
    )
    return replace(volume, level_voxel_sizes_um=levels, voxel_size_known=known)
