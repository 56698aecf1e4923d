"""The colours of codes: the user's where one was chosen, else a stable one. No Qt.

Notation: N codes; colours are (red, green, blue, alpha), each 0..1; a layer's value is code + 1, 0 is a place
that is not computed yet.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from napari_vesselkd.patterns.notes import stable_colour

Colour = tuple[float, float, float, float]

FADED: Colour = (0.5, 0.5, 0.5, 0.3)
CLEAR: Colour = (0.0, 0.0, 0.0, 0.0)


def colours_of(count: int, own: Mapping[int, str]) -> tuple[str, ...]:
    """Return the colours of all codes, ``#rrggbb`` each; `own` are those that the user gave."""
    return tuple(own.get(code) or stable_colour(code) for code in range(count))


def layer_colours(colours: Iterable[str], chosen: Iterable[int]) -> dict[Any, Any]:
    """Return what a labels layer needs: all codes in their colours, or the chosen ones and the others faded.

    Parameters
    ----------
    colours : iterable of str
        ``#rrggbb`` of every code.
    chosen : iterable of int
        Codes; none for all of them.
    """
    every = list(colours)
    only = [code for code in chosen if code < len(every)]
    shown = {code + 1: rgba(every[code]) for code in (only or range(len(every)))}
    return {None: FADED if only else CLEAR, 0: CLEAR, **shown}


def rgba(colour: str) -> Colour:
    """Return ``#rrggbb`` as four numbers."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue, 1.0


def ramp_colour(share: float) -> str:
    """Return the colour of a share 0..1 as ``#rrggbb``: grey-blue, then amber, to vermilion."""
    stops = np.array([[0x5B, 0x74, 0x9E], [0xE8, 0xB8, 0x4A], [0xE8, 0x4E, 0x2C]], dtype=float)
    at = float(np.clip(share, 0.0, 1.0)) * (len(stops) - 1)
    low = min(int(at), len(stops) - 2)
    mixed = stops[low] + (at - low) * (stops[low + 1] - stops[low])
    return "#" + "".join(f"{round(part):02x}" for part in mixed)
