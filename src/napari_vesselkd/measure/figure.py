"""A dot-and-interval figure, drawn with Pillow: a panel a metric, a line a method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Rgb = npt.NDArray[np.uint8]
Line = tuple[str, float, float, float]

WIDTH, NAMES, MARGIN, LINE, HEAD, FOOT, TEXT = 1000, 330, 30, 34, 60, 56, 20
INK, PALE, DOT = (30, 30, 30), (205, 205, 205), (200, 80, 20)
TICKS = 5


@dataclass(frozen=True)
class Panel:
    """Lines of (name, value, low, high); NaN where there is no interval.

    `zero`: the axis includes 0, with a rule there.
    """

    title: str
    lines: tuple[Line, ...]
    zero: bool = False


def figure(panels: list[Panel]) -> Rgb:
    """Return a picture (rows, columns, 3) of panels, one below the other, each with its own axis."""
    height = MARGIN + sum(_height(panel) for panel in panels)
    image = Image.new("RGB", (WIDTH, height), "white")
    draw, top = ImageDraw.Draw(image), MARGIN // 2
    for panel in panels:
        _draw(draw, panel, top)
        top += _height(panel)
    return np.asarray(image)


def write_png(path: Path, rgb: Rgb) -> None:
    """Write a picture aside, then put it in its place."""
    aside = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(rgb).save(aside, format="PNG", optimize=True)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to `high`, about five."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _height(panel: Panel) -> int:
    return HEAD + LINE * len(panel.lines) + FOOT


def _limits(panel: Panel) -> tuple[float, float]:
    """Return the axis' ends: all that is drawn and a little more."""
    ends = [value for _, *values in panel.lines for value in values if math.isfinite(value)]
    ends += [0.0] if panel.zero else []
    low, high = min(ends), max(ends)
    more = (high - low) * 0.05 or max(abs(high) * 0.05, 0.01)
    return low - more, high + more


def _draw(draw: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
    font: Any = ImageFont.load_default(TEXT)
    low, high = _limits(panel)
    first, last = top + HEAD, top + HEAD + LINE * len(panel.lines)

    def x(value: float) -> float:
        return NAMES + (value - low) / (high - low) * (WIDTH - MARGIN - NAMES)

    draw.text((MARGIN, top + HEAD / 2), panel.title, font=font, anchor="lm", fill=INK)
    for value in ticks(low, high):
        ruled = INK if panel.zero and value == 0 else PALE
        draw.line((x(value), first, x(value), last), fill=ruled, width=2 if ruled == INK else 1)
        draw.text((x(value), last + 6), f"{value:g}", font=font, anchor="ma", fill=INK)
    for number, (name, value, left, right) in enumerate(panel.lines):
        y = first + LINE * (number + 0.5)
        draw.text((NAMES - 16, y), _fitting(draw, name, font), font=font, anchor="rm", fill=INK)
        if math.isfinite(left) and math.isfinite(right):
            draw.line((x(left), y, x(right), y), fill=INK, width=3)
        draw.ellipse((x(value) - 7, y - 7, x(value) + 7, y + 7), fill=DOT)


def _fitting(draw: ImageDraw.ImageDraw, name: str, font: Any) -> str:
    """Return a name, cut where it does not fit beside the axis."""
    while draw.textlength(name, font=font) > NAMES - 16 - 4 and len(name) > 1:
        name = f"{name.rstrip('.')[:-1]}..."
    return name
