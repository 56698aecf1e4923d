"""Looping capillary beds: the edges of a Voronoi diagram of random cells, thinned, merged and curled."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi, cKDTree

from napari_vesselkd.phantoms.paths import add_edge, add_node, bridge, wavy_radius

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
MAX_CELLS = 2500


def add_capillaries(
    graph: nx.Graph,
    extent: F64,
    *,
    spacing_um: float,
    radius_um: float,
    tortuosity: float,
    rng: np.random.Generator,
) -> None:
    """Add a looping bed that fills the box `extent` (um) and goes on a little beyond it.

    Parameters
    ----------
    spacing_um : float
        Edge of the cube that each cell of the diagram fills on average.
    tortuosity : float
        Amplitude of a branch's curling relative to its length.
    """
    places, links = _thinned_diagram(extent, spacing_um, rng)
    bed = nx.Graph(links.tolist())
    bed.remove_nodes_from([n for n in list(bed) if bed.degree(n) == 1 and rng.uniform() < 0.7])
    bed.remove_nodes_from([n for n in list(bed) if bed.degree(n) == 0])
    names: dict[int, int] = {}
    widths = radius_um * np.exp(rng.normal(0, 0.22, size=len(places)))
    for chain in _chains(bed):
        first, last = chain[0], chain[-1]
        for end in (first, last):
            if end not in names:
                names[end] = add_node(graph, places[end], 0)
        points = bridge(places[chain], tortuosity, 1.3 * radius_um, rng)
        radius = wavy_radius(float(widths[first]), float(widths[last]), len(points), rng)
        add_edge(graph, names[first], names[last], points=points, radius_um=radius, kind="capillary")


def _chains(bed: nx.Graph) -> list[list[int]]:
    """Return the nodes of each path between branchings; rings and double paths are cut once more."""
    chains: list[list[int]] = []
    joints = {n for n in bed if bed.degree(n) != 2}
    rings = [min(part) for part in nx.connected_components(bed) if not joints & part]
    taken: set[frozenset[int]] = set()
    pairs: set[frozenset[int]] = set()
    for joint in sorted(joints) + sorted(rings):
        for neighbour in sorted(bed[joint]):
            if frozenset((joint, neighbour)) in taken:
                continue
            chain = [joint, neighbour]
            while chain[-1] not in joints and chain[-1] != joint:
                chain.append(next(n for n in bed[chain[-1]] if n != chain[-2]))
            taken |= {frozenset(link) for link in pairwise(chain)}
            ends = frozenset((chain[0], chain[-1]))
            if len(ends) == 1 or ends in pairs:
                cuts = (
                    [0, len(chain) // 3, 2 * len(chain) // 3, len(chain) - 1]
                    if len(ends) == 1
                    else [0, len(chain) // 2, len(chain) - 1]
                )
                chains += [chain[a : b + 1] for a, b in pairwise(cuts) if b > a]
            else:
                chains.append(chain)
            pairs.add(ends)
    return chains


def _thinned_diagram(extent: F64, spacing_um: float, rng: np.random.Generator) -> tuple[F64, I64]:
    """Return node positions (M, 3) in um and links (E, 2): a third of the edges is left out."""
    margin = 1.2 * spacing_um
    low, high = -margin * np.ones(3), extent + margin
    count = int(np.clip(np.prod((high - low) / spacing_um), 12, MAX_CELLS))
    diagram = Voronoi(rng.uniform(low, high, size=(count, 3)))
    pairs = {
        (min(a, b), max(a, b))
        for ridge in diagram.ridge_vertices
        for a, b in zip(ridge, ridge[1:] + ridge[:1], strict=True)
        if min(a, b) >= 0
    }
    links = np.array(sorted(pairs), dtype=np.int64)
    within = np.all((diagram.vertices > low) & (diagram.vertices < high), axis=1)
    links = links[within[links].all(1)]
    places, links = _merge_close(diagram.vertices, links, 0.2 * spacing_um)
    length = np.linalg.norm(places[links[:, 0]] - places[links[:, 1]], axis=1)
    left_out = float(rng.uniform(0.25, 0.5))
    return places, links[(length < 3 * spacing_um) & (rng.uniform(size=len(links)) > left_out)]


def _merge_close(places: F64, links: I64, closest_um: float) -> tuple[F64, I64]:
    """Merge nodes joined by links shorter than `closest_um` into their centre; drop doubled links."""
    length = np.linalg.norm(places[links[:, 0]] - places[links[:, 1]], axis=1)
    short = links[length < closest_um]
    matrix = coo_array((np.ones(len(short)), (short[:, 0], short[:, 1])), shape=(len(places),) * 2)
    count, group = connected_components(matrix, directed=False)
    sizes = np.bincount(group, minlength=count)[:, None]
    merged = np.stack([np.bincount(group, places[:, axis], count) for axis in range(3)], axis=1) / sizes
    renamed = np.sort(group[links].astype(np.int64), axis=1)
    renamed = renamed[renamed[:, 0] != renamed[:, 1]]
    return merged, np.unique(renamed, axis=0)


def join_trees(graph: nx.Graph, reach_um: float, rng: np.random.Generator) -> None:
    """Connect each free end of a tree to the nearest capillary node within `reach_um`."""
    bed = [n for n, tree in graph.nodes(data="tree") if tree == 0]
    ends = [n for n, tree in graph.nodes(data="tree") if tree > 0 and graph.degree(n) == 1]
    if not bed or not ends:
        return
    finder = cKDTree([graph.nodes[n]["pos_um"] for n in bed])
    for end in ends:
        distance, nearest = finder.query(graph.nodes[end]["pos_um"])
        (edge,) = (data for _, data in graph[end].items())
        if distance > reach_um or distance == 0 or edge["kind"] != "tree":
            continue
        target = bed[int(nearest)]
        first = float(min(edge["radius_um"][0], edge["radius_um"][-1]))
        last = float(next(iter(graph[target].values()))["radius_um"].mean())
        a, b = (np.asarray(graph.nodes[n]["pos_um"]) for n in (end, target))
        points = bridge(np.stack([a, b]), 0.08, max(last, 0.5), rng)
        radius = wavy_radius(min(first, 2 * last), last, len(points), rng)
        add_edge(graph, end, target, points=points, radius_um=radius, kind="capillary")
