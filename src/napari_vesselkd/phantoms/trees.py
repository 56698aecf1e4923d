"""Branching trees by Murray's law, and vessels that run beside one another.

The cubes of the radii balance at a branching, ``r0^3 = r1^3 + r2^3`` (C. D. Murray, PNAS 12:207, 1926), and
least work sets the angles, ``cos a1 = (r0^4 + r1^4 - r2^4) / (2 r0^2 r1^2)`` (Murray, J. Gen. Physiol. 9:835,
1926).
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np
import numpy.typing as npt

from napari_vesselkd.phantoms.paths import add_edge, add_node, random_walk, wavy_radius

F64 = npt.NDArray[np.float64]
MAX_BRANCHES = 300


@dataclass(frozen=True)
class TreeStyle:
    """How a tree grows.

    Attributes
    ----------
    radius_um, smallest_um : float
        Radius of the root, and the radius below which a branch ends.
    length : float
        Mean length of the trunk's branches in radii; thinner branches are longer for their radius.
    asymmetry : float
        0: daughters share the flow evenly; towards 1: a trunk with small side branches.
    tortuosity : float
        Standard deviation of the direction's change over ten radii, in rad.
    flatness : float
        Factor on the z component of every direction; 1 is isotropic, near 0 keeps the tree in the plane.
    """

    radius_um: float
    smallest_um: float
    length: float
    asymmetry: float
    tortuosity: float
    flatness: float


def enter_tree(
    graph: nx.Graph, style: TreeStyle, extent: F64, rng: np.random.Generator, *, descending: bool = False
) -> None:
    """Add one tree that starts outside the box `extent` (um) and heads for a random point inside it.

    Trees that bend away and miss the box are grown again, three times at most.
    """
    first = graph.number_of_nodes()
    for _ in range(4):
        graph.remove_nodes_from(range(first, graph.number_of_nodes()))
        _approach(graph, style, extent, descending, rng)
        added = [d["points"] for a, _, d in graph.edges(data=True) if a >= first]
        points = np.concatenate(added)
        if np.any(np.all((points > 0) & (points < extent), axis=1)):
            return


def _approach(
    graph: nx.Graph, style: TreeStyle, extent: F64, descending: bool, rng: np.random.Generator
) -> None:
    target = rng.uniform(0.1, 0.9, size=3) * extent
    heading = rng.normal(size=3) * np.array([style.flatness, 1.0, 1.0])
    if descending:
        heading = np.array([1.0, *rng.normal(0, 0.25, size=2)])
    heading /= np.linalg.norm(heading)
    margin = 1.5 * style.radius_um
    start = target - heading * _way_out(target + margin, -heading, extent + 2 * margin)
    grow_tree(graph, start, heading, style=style, extent=extent, rng=rng)


def _way_out(inside: F64, direction: F64, extent: F64) -> float:
    """Return the distance from a point inside the box to its surface along `direction`."""
    wall = np.where(direction > 0, extent - inside, inside)
    return float(np.min(wall / np.maximum(np.abs(direction), 1e-6)))


def grow_tree(
    graph: nx.Graph, root: F64, heading: F64, *, style: TreeStyle, extent: F64, rng: np.random.Generator
) -> None:
    """Grow a tree from `root` (um) until its branches are too thin or have left the box `extent`."""
    tree = 1 + max((tree for _, tree in graph.nodes(data="tree")), default=0)
    tips = [(add_node(graph, root, tree), heading, style.radius_um)]
    branches = 0
    while tips and branches < MAX_BRANCHES:
        tip, heading, radius = tips.pop(0)
        step = max(0.5 * radius, 0.6 * style.smallest_um)
        mean_length = style.length * radius**0.6 * style.radius_um**0.4
        length = float(rng.gamma(5.0, mean_length / 5.0))
        bend = style.tortuosity * float(np.sqrt(step / (10 * radius)))
        start = np.asarray(graph.nodes[tip]["pos_um"])
        points, heading = random_walk(
            start, heading, length_um=length, step_um=step, bend=bend, flatness=style.flatness, rng=rng
        )
        end = add_node(graph, points[-1], tree)
        add_edge(
            graph,
            tip,
            end,
            points=points,
            radius_um=wavy_radius(radius, radius, len(points), rng),
            kind="tree",
        )
        branches += 1
        margin = 2 * radius + 0.1 * extent
        if np.all((points[-1] > -margin) & (points[-1] < extent + margin)):
            daughters = _branching(heading, radius, style, rng)
            tips += [(end, way, r) for way, r in daughters if r >= style.smallest_um]


def _branching(
    heading: F64, radius: float, style: TreeStyle, rng: np.random.Generator
) -> list[tuple[F64, float]]:
    """Return direction and radius of two daughters; the smaller takes `share` of the cubed radius."""
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))) if rng.uniform() < style.asymmetry else 0.0
    share = share or float(rng.uniform(0.25, 0.5))
    large, small = radius * (1 - share) ** (1 / 3), radius * share ** (1 / 3)
    across = rng.normal(size=3) * np.array([style.flatness, 1.0, 1.0])
    across -= heading * (across @ heading)
    across /= np.linalg.norm(across) + 1e-12
    ways = []
    for own, other, side in ((large, small, 1.0), (small, large, -1.0)):
        cosine = (radius**4 + own**4 - other**4) / (2 * radius**2 * own**2)
        angle = float(np.arccos(np.clip(cosine, -1, 1)) * rng.uniform(0.7, 1.2))
        ways.append((np.cos(angle) * heading + side * np.sin(angle) * across, float(own)))
    return ways


def add_companion(graph: nx.Graph, rng: np.random.Generator) -> bool:
    """Add a vessel that runs beside the trunk of a tree and touches it, as veins do beside arteries.

    Returns
    -------
    bool
        False where there is no tree to accompany.
    """
    trees = sorted({tree for _, tree in graph.nodes(data="tree") if tree > 0})
    if not trees:
        return False
    points, radius = _trunk(graph, int(rng.choice(trees)))
    own = float(rng.uniform(0.4, 1.0)) * float(radius.mean())
    along = points[-1] - points[0]
    side = np.cross(along, rng.normal(size=3) * np.array([1.0, 0.3, 0.3]))
    side /= np.linalg.norm(side) + 1e-12
    s = np.linspace(0, 1, len(points))
    apart = 1 + float(rng.uniform(-0.1, 0.2)) + float(rng.uniform(0, 4)) * (s - rng.uniform(0.2, 0.8)) ** 2
    track = points + side * ((radius + own) * apart)[:, None]
    tree = 1 + trees[-1]
    first, last = add_node(graph, track[0], tree), add_node(graph, track[-1], tree)
    add_edge(
        graph, first, last, points=track, radius_um=wavy_radius(own, own, len(track), rng), kind="companion"
    )
    return True


def _trunk(graph: nx.Graph, tree: int) -> tuple[F64, F64]:
    """Return points and radii from the root of a tree along its widest branches to the end."""
    node = min(n for n, number in graph.nodes(data="tree") if number == tree)
    points: list[F64] = []
    radii: list[F64] = []
    while True:
        onward = [
            (float(d["radius_um"][0]), n)
            for n, d in graph[node].items()
            if n > node and d["kind"] != "capillary"
        ]
        if not onward:
            return np.concatenate(points), np.concatenate(radii)
        _, following = max(onward)
        edge = graph.edges[node, following]
        points.append(edge["points"])
        radii.append(edge["radius_um"])
        node = following
