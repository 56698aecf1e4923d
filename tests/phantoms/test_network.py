import networkx as nx
import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.phantoms.capillaries import add_capillaries
from napari_vesselkd.phantoms.config import SCENES, draw_open_fields
from napari_vesselkd.phantoms.network import build_network, segments_of
from napari_vesselkd.phantoms.trees import TreeStyle, add_companion, enter_tree

EXTENT = np.array([100.0, 200.0, 200.0])


def network(scene, seed, **fields):
    config = PhantomConfig(seed=seed, scene=scene, **fields)
    return build_network(draw_open_fields(config, np.random.default_rng(seed)), np.random.default_rng(seed))


def grown_tree(seed=3):
    graph = nx.Graph()
    enter_tree(graph, TreeStyle(12.0, 2.0, 6.0, 0.5, 0.5, 0.6), EXTENT, np.random.default_rng(seed))
    return graph


@pytest.mark.parametrize("seed", range(5))
def test_cubed_radii_balance_at_every_branching_of_a_tree(seed):
    graph = grown_tree(seed)
    branchings = [n for n in graph if graph.degree(n) == 3]
    assert branchings
    for node in branchings:
        ends = [d["radius_um"][0 if node < other else -1] for other, d in graph[node].items()]
        large, *rest = sorted(ends, reverse=True)
        assert large**3 == pytest.approx(sum(r**3 for r in rest), rel=1e-6)


def test_a_tree_has_no_loops_and_gets_thinner():
    graph = grown_tree()
    assert nx.is_tree(graph)
    assert all(r >= 2.0 * 0.45 for _, _, d in graph.edges(data=True) for r in d["radius_um"])


@pytest.mark.parametrize("seed", range(3))
def test_capillary_beds_have_loops(seed):
    graph = nx.Graph()
    add_capillaries(
        graph, EXTENT, spacing_um=40.0, radius_um=3.0, tortuosity=0.1, rng=np.random.default_rng(seed)
    )
    assert len(nx.cycle_basis(graph)) > 10
    assert nx.number_of_selfloops(graph) == 0


def test_trees_are_joined_to_the_capillary_bed():
    joined = 0
    for seed in range(6):
        graph = network("capillary", seed, density=0.8)
        kinds = {n: {d["kind"] for d in graph[n].values()} for n in graph}
        joined += any({"tree", "capillary"} <= found for found in kinds.values())
    assert joined >= 2


@pytest.mark.parametrize("scene", SCENES)
def test_edges_run_between_their_nodes_with_positive_radii(scene):
    graph = network(scene, 11)
    assert graph.number_of_edges() > 0
    for a, b, data in graph.edges(data=True):
        first, last = sorted((a, b))
        np.testing.assert_allclose(data["points"][0], graph.nodes[first]["pos_um"])
        np.testing.assert_allclose(data["points"][-1], graph.nodes[last]["pos_um"], atol=1e-9)
        assert data["points"].shape == (len(data["radius_um"]), 3)
        assert (data["radius_um"] > 0).all()


def test_companions_touch_the_vessel_they_follow():
    for seed in range(4):
        graph = grown_tree(seed)
        assert add_companion(graph, np.random.default_rng(seed))
        (companion,) = [d for _, _, d in graph.edges(data=True) if d["kind"] == "companion"]
        others = [d for _, _, d in graph.edges(data=True) if d["kind"] == "tree"]
        points = np.concatenate([d["points"] for d in others])
        radii = np.concatenate([d["radius_um"] for d in others])
        distance, nearest = cKDTree(points).query(companion["points"])
        gap = distance - radii[nearest] - companion["radius_um"]
        assert gap.min() < 0.35 * radii.max()


def test_there_is_nothing_to_accompany_in_an_empty_graph():
    assert not add_companion(nx.Graph(), np.random.default_rng(0))


def test_density_adds_vessels():
    few, many = (network("capillary", 4, density=d, voxel_size_um=(2.0, 1.0, 1.0)) for d in (0.0, 1.0))
    assert many.number_of_edges() > 3 * few.number_of_edges()


def test_segments_follow_the_order_of_the_edges():
    graph = network("tree", 2)
    segments = segments_of(graph)
    lengths = [len(d["points"]) - 1 for _, _, d in graph.edges(data=True)]
    assert len(segments) == sum(lengths)
    np.testing.assert_array_equal(np.bincount(segments.edge), lengths)
    assert len(segments_of(nx.Graph())) == 0
