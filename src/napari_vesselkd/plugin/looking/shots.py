"""A projection as the docks show, save and add it; everything here but the layers runs in a worker thread.

Notation: `gray` is the raw projection, (rows, columns); `rgb` is the picture of it, (rows, columns, 3) uint8;
regions are (z, y, x) voxels of the finest level.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_vesselkd.geometry import AXES, Region
from napari_vesselkd.plugin.layers import KEY, Shown, find_layer, placement
from napari_vesselkd.projections import (
    LabelOverlay,
    SlabProjection,
    SlabProjector,
    coloured,
    contrast_window,
    depth_coloured,
    figure,
    overlay,
    picture,
    save_tiff,
    with_depth_key,
    write_png,
)
from napari_vesselkd.projections.levels import levels_to_show
from napari_vesselkd.projections.partials import How
from napari_vesselkd.projections.project import Axis
from napari_vesselkd.reports import Progress

Colours = Callable[[np.ndarray], dict[int, tuple[float, float, float, float]]]
DEPTH = "depth"
WINDOW_PIXELS = 512  # per side, of what the contrast is measured on
DIMMED = 0.35  # of the brightness of what is no vessel, in the colours of depths
PREVIEW = 2  # pixels of a picture per pixel of the screen, at most


@dataclass(frozen=True)
class Wanted:
    """A picture that is asked for.

    Attributes
    ----------
    region : Region
        The slab.
    axis : {"z", "y", "x"}
    how : {"max", "min", "mean", "depth"}
        "depth" is the maximum in the colours of its depths.
    pixels : int
        Of the screen, along the picture's longer side.
    """

    region: Region
    axis: Axis
    how: str = "max"
    pixels: int = 512


@dataclass(frozen=True, eq=False)
class Sources:
    """What pictures are made of: a volume, and perhaps labels over it in the `colours` of their layer."""

    projector: SlabProjector
    labels: LabelOverlay | None = None
    colours: Colours | None = None


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture of a slab.

    Attributes
    ----------
    wanted : Wanted
        What was asked for.
    shown : SlabProjection
        The projection, at one of the levels.
    over : ndarray (rows, columns) or None
        The labels over it.
    rgb : ndarray (rows, columns, 3) uint8
    preview : ndarray
        `rgb`, smaller where the screen has no use for its pixels.
    window : (low, high)
        Raw values shown as black and white.
    name : str
        Of the volume.
    known : bool
        Whether the voxel size is known.
    """

    wanted: Wanted
    shown: SlabProjection
    over: np.ndarray | None
    rgb: np.ndarray
    preview: np.ndarray
    window: tuple[float, float]
    name: str
    known: bool

    @property
    def gray(self) -> np.ndarray:
        return self.shown.image

    @property
    def axis(self) -> Axis:
        return self.wanted.axis

    @property
    def region(self) -> Region:
        return self.wanted.region

    @property
    def axes(self) -> tuple[int, int]:
        """The axes (0 z, 1 y, 2 x) of the rows and of the columns."""
        row, column = (index for index, name in enumerate(AXES) if name != self.axis)
        return row, column

    @property
    def height_um(self) -> float:
        return self._length(self.axes[0])

    @property
    def width_um(self) -> float:
        return self._length(self.axes[1])

    @property
    def source(self) -> tuple[float, float, float, float]:
        """The slab's (top, left, bottom, right) in pixels of `gray`, which may cover a little more."""
        bounds = []
        for edge in (self.region.start, self.region.stop):
            for axis in self.axes:
                place = edge[axis] / self.shown.factors[axis] - self.shown.region.start[axis]
                bounds.append(min(max(0.0, place), float(self.shown.region.shape[axis])))
        top, left, bottom, right = bounds
        return top, left, bottom, right

    def pixel(self, down: float, across: float) -> tuple[int, int]:
        """Return the (row, column) of `gray` at a share of the picture's height and width."""
        top, left, bottom, right = self.source
        rows, columns = self.gray.shape
        row = int(top + down * (bottom - top))
        column = int(left + across * (right - left))
        return min(max(0, row), rows - 1), min(max(0, column), columns - 1)

    def share(self, voxel: Sequence[float]) -> tuple[float, float] | None:
        """Return where a voxel of the finest level lies, as shares (down, across); None if outside."""
        places = [
            (voxel[axis] + 0.5 - self.region.start[axis]) / self.region.shape[axis] for axis in self.axes
        ]
        down, across = places
        return (down, across) if 0 <= down <= 1 and 0 <= across <= 1 else None

    def _length(self, axis: int) -> float:
        return self.region.shape[axis] * self.shown.voxel_size_um[axis] / self.shown.factors[axis]


def shooting(sources: Sources, wanted: Wanted) -> Iterator[Progress | Shot]:
    """Yield pictures of a slab, a coarse one first; closing the generator cancels."""
    projector = sources.projector
    levels = levels_to_show(projector.shapes, wanted.region, wanted.axis, wanted.pixels)
    reports = projector.projecting(wanted.region, wanted.axis, levels=levels, how=_how(wanted))
    for report in reports:
        if isinstance(report, Progress):
            yield report
            continue
        over: np.ndarray | None = None
        if sources.labels is not None:
            for found in sources.labels.over(report):
                if isinstance(found, Progress):
                    yield found
                else:
                    over = found
        yield _shot(sources, wanted, report, over)


def _how(wanted: Wanted) -> How:
    return "min" if wanted.how == "min" else "mean" if wanted.how == "mean" else "max"


def _shot(sources: Sources, wanted: Wanted, shown: SlabProjection, over: np.ndarray | None) -> Shot:
    volume = sources.projector.volume
    steps = [max(1, size // WINDOW_PIXELS) for size in shown.image.shape]
    window = contrast_window(shown.image[:: steps[0], :: steps[1]])
    rgb = _painted(shown, over, window, sources.colours, depth=wanted.how == DEPTH)
    return Shot(
        wanted,
        shown,
        over,
        rgb,
        _preview(rgb, wanted.pixels),
        window,
        volume.name,
        volume.voxel_size_known,
    )


def _painted(
    shown: SlabProjection,
    over: np.ndarray | None,
    window: tuple[float, float],
    colours: Colours | None,
    *,
    depth: bool,
) -> np.ndarray:
    mask = over is not None and _is_mask(over)
    if depth and shown.depth is not None:
        at = AXES.index(shown.axis)
        extent = (shown.region.start[at], shown.region.stop[at])
        rgb = depth_coloured(shown.image, shown.depth, extent, window)
        if mask and over is not None:  # a tint would spoil the colours of the depths
            return np.where((over > 0)[..., None], rgb, (rgb * DIMMED).astype(np.uint8))
    else:
        rgb = overlay(shown.image, over if mask else None, window)
    if mask or over is None or colours is None:
        return rgb
    return coloured(rgb, over, colours(np.unique(over)))


def _is_mask(labels: np.ndarray) -> bool:
    return labels.dtype.kind == "b" or int(labels.max(initial=0)) <= 1


def _preview(rgb: np.ndarray, pixels: int) -> np.ndarray:
    """Return `rgb`, averaged to what a screen of `pixels` can show."""
    step = max(rgb.shape[:2]) // max(1, PREVIEW * pixels)
    if step < 2:
        return rgb
    from PIL import Image

    return np.asarray(Image.fromarray(rgb).reduce(step))


def show_projection(viewer: Any, shot: Shot, like: Any) -> Any:
    """Add the projection as a layer as thick as its slab, or update the one of the same axis."""
    name = f"vesselkd: MIP {shot.axis}"
    at = AXES.index(shot.axis)
    data = np.expand_dims(shot.gray, at)
    place = placement(like)
    shown = shot.shown
    low, steps = list(shown.region.start), list(shown.factors)
    steps[at] *= shown.region.shape[at]
    first = [start * factor for start, factor in zip(low, shown.factors, strict=True)]
    centres = [start + (step - 1) / 2 for start, step in zip(first, steps, strict=True)]
    kwargs: dict[str, Any] = {
        "scale": [step * size for step, size in zip(steps, place.scale, strict=True)],
        "translate": [c * s + t for c, s, t in zip(centres, place.scale, place.translate, strict=True)],
        "contrast_limits": shot.window,
    }
    layer = find_layer(viewer, name, like)
    if layer is None:
        kwargs.update(name=name, units=place.units, metadata={KEY: Shown(source=like)})
        return viewer.add_image(data, **kwargs)
    layer.data = data
    for attribute, value in kwargs.items():
        setattr(layer, attribute, value)
    return layer


def save_shot(shot: Shot, path: Path) -> Path:
    """Save a figure as PNG; as TIFF the raw values, or the colours where there are any. Returns the path.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    pixel = shot.shown.pixel_size_um
    in_colour = shot.over is not None or shot.wanted.how == DEPTH
    if path.suffix.lower() in (".tif", ".tiff"):
        save_tiff(path, shot.rgb if in_colour else shot.gray, pixel if shot.known else None)
        return path
    path = path if path.suffix.lower() == ".png" else path.with_name(f"{path.name}.png")
    write_png(path, paper_figure(shot))
    return path


def paper_figure(shot: Shot) -> np.ndarray:
    """Return the picture with square pixels, a scale bar and the key to its depths; rgb uint8."""
    pixel = shot.shown.pixel_size_um
    sized = pixel if shot.known or pixel[0] != pixel[1] else None
    if shot.wanted.how == DEPTH:
        at = AXES.index(shot.axis)
        step = shot.shown.voxel_size_um[at] if shot.known else shot.shown.factors[at]
        ends = (shot.shown.region.start[at] * step, shot.shown.region.stop[at] * step)
        return with_depth_key(figure(shot.rgb, sized, bar=shot.known), *ends, known=shot.known)
    if shot.known and (shot.over is None or _is_mask(shot.over)):
        return picture(shot.gray, shot.over, pixel_size_um=pixel, window=shot.window)
    return figure(shot.rgb, sized, bar=shot.known)
