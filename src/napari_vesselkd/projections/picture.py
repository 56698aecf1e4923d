"""From a projection to a picture: contrast, labels over it, square pixels, scale bar.

Notation: gray is a raw projection (rows, columns) of any real type; labels (rows, columns), every value above
0 is vessel; rgb is (rows, columns, 3) uint8; pixel sizes are (row, column) in um.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from napari_vesselkd.errors import InvalidInputError

Gray = npt.NDArray[Any]
Rgb = npt.NDArray[np.uint8]

CONTRAST_PERCENTILES = (1.0, 99.0)
TINT = np.array([1.0, 0.66, 0.42], np.float32)
GLOW = np.array([52, 12, 0], np.float32)
OUTLINE = np.array([255, 120, 32], np.float32)
OUTLINE_OPACITY = 0.45
COLOUR_OPACITY = 0.65
COLOUR_FLOOR = 70.0  # of 255: what is dark in the image still shows its colour
OUTLINE_PER_SIDE = 1 / 700
LONG_SIDE = 1200
LARGEST_SIDE = 30_000
LARGEST_ZOOM = 8
NICE_STEPS = (1, 2, 5)
U_BEARING, U_STEM = 0.06, 0.06  # of the letter u in Pillow's font, in sizes of the font


def contrast_window(gray: Gray) -> tuple[float, float]:
    """Return the raw values shown as black and as white: the 1st and the 99th percentile, never equal."""
    values = gray[np.isfinite(gray)] if gray.dtype.kind == "f" else gray
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values.astype(np.float64), CONTRAST_PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)


def overlay(gray: Gray, labels: Gray | None = None, window: tuple[float, float] | None = None) -> Rgb:
    """Return the image in gray with the vessels over it: a warm tint that keeps the contrast, and an outline.

    Parameters
    ----------
    gray : ndarray (rows, columns)
        NaN is black.
    labels : ndarray (rows, columns), optional
        Without it the result is the gray image alone.
    window : (low, high), optional
        Raw values shown as black and white; by default `contrast_window`.

    Raises
    ------
    InvalidInputError
        If the two shapes differ.
    """
    low, high = window or contrast_window(gray)
    scaled = np.clip((gray.astype(np.float32) - low) / (high - low), 0.0, 1.0)
    rgb = np.repeat(np.nan_to_num(scaled * 255)[..., None], 3, axis=2)
    if labels is not None:
        if labels.shape != gray.shape:
            raise InvalidInputError(
                "The labels have another shape than the image",
                value=f"{labels.shape} and {gray.shape}",
                limit="one shape",
                remedy="Project the same region and level of both",
            )
        vessel = labels > 0
        width = max(1, round(min(vessel.shape) * OUTLINE_PER_SIDE))
        inside = binary_erosion(vessel, iterations=width, border_value=1)
        rgb[vessel] = np.minimum(rgb[vessel] * TINT + GLOW, 255)
        rim = vessel & ~inside
        rgb[rim] = rgb[rim] * (1 - OUTLINE_OPACITY) + OUTLINE * OUTLINE_OPACITY
    result: Rgb = np.rint(rgb).astype(np.uint8)
    return result


def picture(
    gray: Gray,
    labels: Gray | None = None,
    *,
    pixel_size_um: tuple[float, float] | None = None,
    window: tuple[float, float] | None = None,
) -> Rgb:
    """Return a figure: square pixels, small images enlarged, smooth outlines, and a scale bar.

    Parameters
    ----------
    gray, labels, window
        As in `overlay`.
    pixel_size_um : (row, column) in um, optional
        Without it the pixels are taken as square and there is no scale bar.
    """
    size, pixel_um = _square(gray.shape, pixel_size_um or (1.0, 1.0), enlarge=True)
    low, high = window or contrast_window(gray)
    large = _resized(np.clip(np.nan_to_num(gray.astype(np.float32), nan=low), low, high), size)
    over = None if labels is None else _resized((labels > 0).astype(np.float32), size) >= 0.5
    rgb = overlay(large, over, (low, high))
    return rgb if pixel_size_um is None else with_scale_bar(rgb, pixel_um)


def coloured(rgb: Rgb, labels: Gray, colours: dict[int, tuple[float, float, float, float]]) -> Rgb:
    """Return `rgb` with every label in its colour: the image shows through, brighter than it was alone.

    Parameters
    ----------
    rgb : ndarray (rows, columns, 3) uint8
    labels : ndarray (rows, columns)
    colours : dict of label to (red, green, blue, alpha), each 0..1
        Labels that are not in it stay as they are.
    """
    result = rgb.astype(np.float32)
    for label in np.unique(labels):
        colour = colours.get(int(label))
        if colour is not None and colour[3] > 0:
            here = labels == label
            alpha = colour[3] * COLOUR_OPACITY
            tint = np.array(colour[:3], np.float32) * (COLOUR_FLOOR + rgb[here] * (1 - COLOUR_FLOOR / 255))
            result[here] = result[here] * (1 - alpha) + tint * alpha
    painted: Rgb = np.rint(np.clip(result, 0, 255)).astype(np.uint8)
    return painted


def figure(rgb: Rgb, pixel_size_um: tuple[float, float] | None, *, bar: bool = True) -> Rgb:
    """Return a picture as a figure: square pixels, small ones enlarged, a scale bar where the size is known.

    Parameters
    ----------
    rgb : ndarray (rows, columns, 3) uint8
    pixel_size_um : (row, column) in um, or None
        None where not even the proportions are known.
    bar : bool, optional
        False where only the proportions are known.
    """
    size, pixel_um = _square(rgb.shape[:2], pixel_size_um or (1.0, 1.0), enlarge=True)
    if size != rgb.shape[:2]:
        large = Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        rgb = np.asarray(large)
    return rgb if pixel_size_um is None or not bar else with_scale_bar(rgb, pixel_um)


def square_pixels(rgb: Rgb, pixel_size_um: tuple[float, float]) -> tuple[Rgb, float]:
    """Return `rgb` stretched along its coarser axis so that its pixels are square, and their size in um."""
    size, pixel_um = _square(rgb.shape[:2], pixel_size_um, enlarge=False)
    if size == rgb.shape[:2]:
        return rgb, pixel_um
    stretched = Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(stretched), pixel_um


def with_scale_bar(rgb: Rgb, pixel_um: float) -> Rgb:
    """Return a copy of `rgb` (square pixels of `pixel_um`) with a scale bar in its lower right corner.

    Pictures too small for a legible bar are returned as they are.
    """
    rows, columns, _ = rgb.shape
    if min(rows, columns) < 48:
        return rgb
    length_um = nice_length(columns * pixel_um / 5)
    text_size = max(11, min(columns // 45, rows // 7))
    font = ImageFont.load_default(text_size)
    image = Image.fromarray(rgb).convert("RGBA")
    shade = Image.new("RGBA", image.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(shade)
    gap, thick, bar = text_size // 2, max(2, text_size // 5), round(length_um / pixel_um)
    text = length_text(length_um)
    wide = max(bar, math.ceil(draw.textlength(_latin(text), font=font)))
    right, bottom = columns - 2 * gap, rows - 2 * gap
    top = bottom - thick - gap - text_size
    draw.rounded_rectangle(
        (right - wide - gap, top - gap, right + gap, bottom + gap), radius=gap, fill=(0, 0, 0, 150)
    )
    centre = right - wide / 2
    left = round(centre - bar / 2)
    draw.rectangle((left, bottom - thick + 1, left + bar - 1, bottom), fill=(255, 255, 255, 255))
    write_text(draw, (centre, bottom - thick - gap * 0.75), text, font)
    return np.asarray(Image.alpha_composite(image, shade).convert("RGB"))


def nice_length(largest_um: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is at most `largest_um`."""
    power = 10.0 ** math.floor(math.log10(largest_um))
    return max(step * power for step in NICE_STEPS if step * power <= largest_um * (1 + 1e-9))


def length_text(length_um: float) -> str:
    """Return a length with the unit that reads best."""
    if length_um >= 1000:
        return f"{length_um / 1000:g} mm"
    return f"{length_um:g} µm" if length_um >= 1 or length_um == 0 else f"{length_um * 1000:g} nm"


def write_text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: Any) -> None:
    """Write `text` centred on `at`, which lies on the baseline.

    Pillow's own font, the only one that every machine has, has no "µ": it is a "u" with a stem below.
    """
    white, (centre, baseline) = (255, 255, 255, 255), at
    plain = _latin(text)
    draw.text(at, plain, font=font, anchor="ms", fill=white)
    if plain != text:
        left = centre - draw.textlength(plain, font=font) / 2
        left += draw.textlength(plain[: text.index("µ")], font=font) + font.size * U_BEARING
        draw.rectangle(
            (left, baseline - 2, left + font.size * U_STEM, baseline + font.size * 0.2), fill=white
        )


def _latin(text: str) -> str:
    return text.replace("µ", "u")


def _square(
    shape: tuple[int, ...], pixel_size_um: tuple[float, float], *, enlarge: bool
) -> tuple[tuple[int, int], float]:
    """Return the (rows, columns) that have square pixels no coarser than the finer axis, and their size."""
    fine = min(pixel_size_um)
    extent = [n * size for n, size in zip(shape, pixel_size_um, strict=True)]
    longest = max(extent) / fine
    zoom = min(LARGEST_ZOOM, math.ceil(LONG_SIDE / longest)) if enlarge and longest < LONG_SIDE else 1
    pixel_um = max(fine / zoom, max(extent) / LARGEST_SIDE)
    rows, columns = (max(1, round(length / pixel_um)) for length in extent)
    return (rows, columns), pixel_um


def _resized(values: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
