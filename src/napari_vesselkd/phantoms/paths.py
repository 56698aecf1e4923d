"""Curved paths and radii along them: the pieces from which networks are put together."""

from __future__ import annotations

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

F64 = npt.NDArray[np.float64]


def random_walk(
    start: F64,
    heading: F64,
    *,
    length_um: float,
    step_um: float,
    bend: float,
    flatness: float,
    rng: np.random.Generator,
) -> tuple[F64, F64]:
    """Return a smooth path (N, 3) whose direction drifts (a correlated random walk), and its last direction.

    Parameters
    ----------
    bend : float
        Standard deviation of the change of direction per step, in rad.
    flatness : float
        Factor on the z component of every change; 1 is isotropic, near 0 keeps the path in its plane.
    """
    count = max(2, round(length_um / step_um))
    drift = rng.normal(size=(count + 4, 3)) * bend
    total = np.cumsum(np.vstack([np.zeros(3), drift]), axis=0)
    drift = (total[5:] - total[:-5]) / np.sqrt(5.0)
    ways = heading + np.cumsum(drift * np.array([flatness, 1.0, 1.0]), axis=0)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True) + 1e-9
    points = np.vstack([start, start + np.cumsum(ways * step_um, axis=0)])
    return points, ways[-1]


def bridge(stations: F64, tortuosity: float, step_um: float, rng: np.random.Generator) -> F64:
    """Return a curved path (N, 3) from the first to the last of `stations` (M, 3), near those between.

    It is a cubic spline through the smoothed stations plus sines with falling amplitudes, `tortuosity` times
    the length of a piece between two stations.
    """
    pieces = len(stations) - 1
    smoothed = stations.copy()
    for _ in range(2):
        smoothed[1:-1] = 0.5 * smoothed[1:-1] + 0.25 * (smoothed[:-2] + smoothed[2:])
    length = float(np.linalg.norm(np.diff(smoothed, axis=0), axis=1).sum())
    count = int(np.clip(length / step_um, 2, 80 * pieces)) + 1
    s = np.linspace(0, 1, count)
    path = (
        CubicSpline(np.linspace(0, 1, pieces + 1), smoothed, bc_type="natural")(s)
        if pieces > 1
        else (smoothed[0] + (smoothed[1] - smoothed[0]) * s[:, None])
    )
    modes = np.arange(1, 5 * pieces + 1)
    amplitude = (
        rng.normal(size=(len(modes), 3))
        * (tortuosity * length / pieces / np.maximum(modes / pieces, 1) ** 1.6)[:, None]
    )
    waves = np.sin(np.pi * s[:, None] * modes) @ amplitude / np.sqrt(pieces)
    return np.asarray(path + waves)


def wavy_radius(first: float, last: float, count: int, rng: np.random.Generator) -> F64:
    """Return `count` radii from `first` to `last`, varying smoothly between but exact at both ends.

    One branch in twelve gets a swelling like an aneurysm, or a narrow place.
    """
    s = np.linspace(0, 1, count)
    modes = np.arange(1, 9)
    swell = 1 + 0.07 * np.sin(np.pi * s[:, None] * modes) @ (rng.normal(size=8) / modes**0.6)
    rare, size, centre = rng.uniform(size=3)
    if rare < 0.08:
        bump = np.exp(-(((s - 0.3 - 0.4 * centre) / 0.12) ** 2)) * np.sin(np.pi * s)
        swell = swell + (-0.4 + 1.2 * size) * bump
    return np.asarray((first + (last - first) * s) * np.clip(swell, 0.45, 2.0))


def add_edge(graph: nx.Graph, a: int, b: int, *, points: F64, radius_um: F64, kind: str) -> None:
    """Add an edge; its points run from the node with the smaller number to the other."""
    if a > b:
        a, b, points, radius_um = b, a, points[::-1], radius_um[::-1]
    graph.add_edge(a, b, points=points, radius_um=radius_um, kind=kind)


def add_node(graph: nx.Graph, position: F64, tree: int) -> int:
    """Add a node at `position` (um), part of tree number `tree` (0: a capillary bed); return its number."""
    name = int(graph.number_of_nodes())
    z, y, x = (float(value) for value in position)
    graph.add_node(name, pos_um=(z, y, x), tree=tree)
    return name
