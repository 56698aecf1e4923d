"""The light that vessels emit, before any optics: per branch, along the branch, across the lumen."""

from __future__ import annotations

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.phantoms.appearance import Appearance
from napari_vesselkd.phantoms.blur import smooth_noise
from napari_vesselkd.phantoms.raster import Segments

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


def segment_brightness(
    graph: nx.Graph, segments: Segments, look: Appearance, pixel_um: float, rng: np.random.Generator
) -> F64:
    """Return the brightness of each segment, (N,), continuous along the network.

    Every node has a random log brightness, averaged with its neighbours; edges interpolate between their two
    nodes; whole trees are dimmer than others. On top come waves along the vessel, dark gaps, and the dimming
    of thin vessels.
    """
    if not len(segments):
        return np.zeros(0)
    ends = np.array([(a, b) for a, b in graph.edges], dtype=np.int64)
    nodes = _node_brightness(graph, ends, look, rng)
    length = np.linalg.norm(segments.stop - segments.start, axis=1)
    arc = np.cumsum(length) - 0.5 * length
    first = np.searchsorted(segments.edge, np.arange(len(ends)))
    total = np.add.reduceat(length, first)
    share = (arc - (arc[first] - 0.5 * length[first])[segments.edge]) / total[segments.edge]
    logs = nodes[ends[segments.edge, 0]] * (1 - share) + nodes[ends[segments.edge, 1]] * share
    radius = 0.5 * (segments.radius_start + segments.radius_stop)
    slow = np.cumsum(length / np.maximum(12 * pixel_um, 8 * radius))
    logs = logs + 0.6 * look.branch_spread * _along(slow, 1.0, rng)
    thin = np.clip(radius / (4 * pixel_um), 0.2, 1.0)
    brightness = np.exp(logs) * thin**look.thin_dimming
    if look.beads:
        gap = np.clip(1.5 * _along(arc, look.bead_um, rng), 0, 1) * (radius < 4 * pixel_um)
        brightness *= 1 - look.beads * gap
    return np.asarray(brightness)


def _node_brightness(
    graph: nx.Graph, ends: npt.NDArray[np.int64], look: Appearance, rng: np.random.Generator
) -> F64:
    trees = np.array([tree for _, tree in graph.nodes(data="tree", default=0)], dtype=np.int64)
    own = rng.normal(0, 1.6 * look.branch_spread, size=len(trees))
    weight = np.bincount(ends.ravel(), minlength=len(trees))
    for _ in range(2):
        around = np.zeros(len(trees))
        np.add.at(around, ends[:, 0], own[ends[:, 1]])
        np.add.at(around, ends[:, 1], own[ends[:, 0]])
        own = (own + around) / (1 + weight)
    dimmer = 2.0 * look.tree_spread * np.abs(rng.normal(size=int(trees.max()) + 1))
    return own - dimmer[trees]


def _along(arc: F64, period: float, rng: np.random.Generator) -> F64:
    """Return unit noise that varies over `period` of the coordinate `arc`, which grows along the vessels."""
    knots = rng.normal(size=int(arc[-1] / period) + 2)
    return np.interp(arc, period * np.arange(len(knots)), knots)


def emitted_light(
    brightness: F64, distance: F32, owner: I32, *, size: VoxelSize, look: Appearance, rng: np.random.Generator
) -> F32:
    """Return the light per voxel, (z, y, x) float32.

    Parameters
    ----------
    brightness : (N,) float64, per segment
    distance, owner : as returned by `napari_vesselkd.phantoms.raster.signed_distance`
    """
    voxel = float(np.mean(size))
    light = np.clip(0.5 - distance / voxel, 0, 1)
    if look.hollow or look.rim:
        inner = np.clip(0.5 - (distance + max(look.wall_um, 0.7 * voxel)) / voxel, 0, 1)
        light = light * (1 + look.rim) - inner * (look.rim + look.hollow)
        np.maximum(light, 0, out=light)
    light *= np.append(brightness, 0.0).astype(np.float32)[owner]
    pixel = size[2] / np.asarray(size)
    if look.mottle:
        light *= np.exp(look.mottle * smooth_noise(light.shape, 4 * pixel, rng))
    if look.streak:
        grain = rng.standard_normal(light.shape, dtype=np.float32)
        grain = ndimage.uniform_filter1d(ndimage.uniform_filter1d(grain, 5, axis=2), 7, axis=2)
        light *= np.clip(1 + look.streak * grain / grain.std(), 0.1, 4)
    if look.field_spread:
        cells = 60 * pixel
        light *= np.exp(look.field_spread * smooth_noise(light.shape, cells, rng))
    return np.asarray(light, np.float32)
