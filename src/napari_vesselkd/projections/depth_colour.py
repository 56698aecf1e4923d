"""Depth as colour: the brightness of a projection with the hue of the depth it came from, and the key to it.

Notation: image (rows, columns) is a raw projection, depth (rows, columns) the slice that made each pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from napari_vesselkd.projections.picture import Rgb, contrast_window, length_text, write_text

# Near to far, of about the same lightness, told apart also by most people who confuse red and green.
ANCHORS = np.array(
    [(255, 214, 82), (255, 146, 66), (245, 92, 122), (186, 92, 214), (96, 126, 255), (60, 200, 245)],
    np.float32,
)
KEY_SHADE = (0, 0, 0, 150)


def depth_hues(share: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the colour (..., 3) in 0..255 of a depth, 0 the nearest slice and 1 the farthest."""
    place = np.clip(np.asarray(share, np.float32), 0, 1) * (len(ANCHORS) - 1)
    at = np.arange(len(ANCHORS))
    return np.stack([np.interp(place, at, ANCHORS[:, band]) for band in range(3)], axis=-1).astype(np.float32)


def depth_coloured(
    image: npt.NDArray[Any],
    depth: npt.NDArray[Any],
    extent: tuple[int, int],
    window: tuple[float, float] | None = None,
) -> Rgb:
    """Return the projection in the colours of its depths.

    Parameters
    ----------
    image : ndarray (rows, columns)
        NaN is black.
    depth : ndarray (rows, columns)
        Slice of each pixel, in ``extent[0] .. extent[1] - 1``.
    extent : (start, stop)
        The slab: its first slice has the first colour, its last one the last.
    window : (low, high), optional
        Raw values shown as black and as full colour; by default `contrast_window`.
    """
    low, high = window or contrast_window(image)
    light = np.clip(np.nan_to_num((image.astype(np.float32) - low) / (high - low)), 0, 1)
    steps = np.arange(extent[0], extent[1])
    table = depth_hues((steps - extent[0]) / max(1, len(steps) - 1))
    hues = table[np.clip(depth - extent[0], 0, len(steps) - 1)]
    result: Rgb = np.rint(hues * light[..., None]).astype(np.uint8)
    return result


def with_depth_key(rgb: Rgb, first_um: float, last_um: float, *, known: bool = True) -> Rgb:
    """Return a copy of `rgb` with the colours of the depths in its upper left corner.

    Parameters
    ----------
    rgb : ndarray (rows, columns, 3) uint8
        Pictures too small for a legible key are returned as they are.
    first_um, last_um : float
        Depth of the slab's two faces in um; in voxels where the size is not `known`.
    """
    rows, columns, _ = rgb.shape
    size = max(11, min(columns // 45, rows // 7))
    tall, wide = 6 * size, max(4, size // 2)
    if rows < tall + 4 * size or columns < 8 * size:
        return rgb
    image = Image.fromarray(rgb).convert("RGBA")
    shade = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw, font = ImageDraw.Draw(shade), ImageFont.load_default(size)
    texts = [length_text(value) if known else f"{value:g}" for value in (first_um, last_um)]
    width = max(draw.textlength(text.replace("µ", "u"), font=font) for text in texts)
    left = top = size
    draw.rounded_rectangle(
        (left - size // 2, top - size // 2, left + wide + width + size, top + tall + size // 2),
        radius=size // 2,
        fill=KEY_SHADE,
    )
    for row in range(tall):
        red, green, blue = (int(band) for band in depth_hues(np.array(row / (tall - 1))))
        draw.line((left, top + row, left + wide, top + row), fill=(red, green, blue, 255))
    middle = left + wide + size // 2 + width / 2
    write_text(draw, (middle, top + size * 0.85), texts[0], font)
    write_text(draw, (middle, top + tall - size * 0.15), texts[1], font)
    return np.asarray(Image.alpha_composite(image, shade).convert("RGB"))
