"""How codes and their usage read. No Qt."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_vesselkd.plugin.codes.finding import Found
from napari_vesselkd.plugin.codes.histogram import Bar
from napari_vesselkd.plugin.visible import describe_count

if TYPE_CHECKING:
    from napari_vesselkd.patterns.usage import Usage

MOST_NAMED = 6
FACTS = (
    ("vessel_fraction", "vessel {:.1%}"),
    ("radius_um", "radius {:.2g} µm"),
    ("tortuosity", "tortuosity {:.3g}"),
    ("intensity", "intensity {:.4g}"),
    ("depth_um", "depth {:.4g} µm"),
    ("distance", "distance to it {:.2f}"),
)
BY_USE, BY_NUMBER = "By use", "By number"


def bars_of(counts: np.ndarray, colours: Sequence[str], names: Sequence[str], order: str) -> list[Bar]:
    """Return the bars of the histogram.

    Parameters
    ----------
    counts : ndarray (N,)
    colours, names : sequences of str, N each
    order : {"By use", "By number"}
        The most used first, only those that are used; or all by their number.
    """
    every = [Bar(code, int(counts[code]), colours[code], names[code]) for code in range(len(counts))]
    if order == BY_NUMBER:
        return every
    return sorted((bar for bar in every if bar.count), key=lambda bar: (-bar.count, bar.code))


def describe_usage(usage: "Usage", where: str) -> str:
    """Return perplexity, used, rare and dead codes, and how much of the region is mapped."""
    total = len(usage.counts)
    if not usage.cells:
        return f"Nothing {where} is mapped yet" if usage.asked else f"There is no cell {where}"
    perplexity = 0.0 if math.isnan(usage.perplexity) else usage.perplexity
    share = "" if usage.computed >= 1 else f"; {usage.computed:.0%} of {describe_count(usage.asked)}mapped"
    return (
        f"{usage.used} of {total} codes used, perplexity {perplexity:.1f} · {len(usage.rare)} rare, "
        f"{len(usage.dead)} dead · {describe_count(usage.cells)}cells{share}"
    )


def describe_chosen(codes: Sequence[int], counts: np.ndarray | None, names: Sequence[str]) -> str:
    """Return which codes are chosen and how much of the cells they have."""
    if not codes:
        return "No code is chosen: click a bar, a dot, or a place in the viewer."
    named = [f"{code} {names[code]}".strip() if code < len(names) else str(code) for code in codes]
    shown = ", ".join(named[:MOST_NAMED]) + ("…" if len(named) > MOST_NAMED else "")
    text = f"Code {shown}" if len(codes) == 1 else f"{len(codes)} codes: {shown}"
    if counts is None or not counts.sum():
        return text
    count = int(counts[list(codes)].sum())
    return f"{text} · {describe_count(count)}cells ({count / counts.sum():.2%})"


def describe_code(row: Mapping[str, Any] | None) -> str:
    """Return what is known of a code from its row in the table of codes; empty without one."""
    if row is None:
        return ""
    parts = [
        text.format(row[key])
        for key, text in FACTS
        if row.get(key) is not None and math.isfinite(float(row[key]))
    ]
    return " · ".join(parts)


def describe_found(found: Found) -> str:
    """Return where a click was, and how far it is from its code."""
    z, y, x = found.cell
    if found.code is None:
        return f"Cell {z}, {y}, {x} is not mapped yet: press Map codes"
    return f"Cell {z}, {y}, {x} has code {found.code}, at a distance of {found.distance:.2f}"
