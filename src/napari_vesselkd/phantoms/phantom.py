"""One phantom: network, label and picture from a configuration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.phantoms.appearance import Appearance, draw_appearance
from napari_vesselkd.phantoms.config import PhantomConfig, draw_open_fields
from napari_vesselkd.phantoms.imaging import picture
from napari_vesselkd.phantoms.network import build_network, segments_of
from napari_vesselkd.phantoms.raster import signed_distance


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic volume with exact ground truth.

    Attributes
    ----------
    image : (z, y, x) uint16
    label : (z, y, x) uint8, 0 or 1
    graph : networkx.Graph
        Centrelines; see `napari_vesselkd.phantoms.network`.
    voxel_size_um : tuple of float, (z, y, x)
    params : dict
        The configuration with all random choices filled in; the imaging model's under "appearance", the
        configuration as it was given under "config".
    """

    image: npt.NDArray[np.uint16]
    label: npt.NDArray[np.uint8]
    graph: nx.Graph
    voxel_size_um: VoxelSize
    params: dict[str, Any]


def make_phantom(config: PhantomConfig) -> Phantom:
    """Return the phantom of `config`; the same config gives identical arrays.

    The label is 1 where the voxel's centre lies in a tube thickened by ``label_inflation`` standard
    deviations of the point spread function per axis, which is about what people mark who annotate blurred
    images: in seven annotated two-photon stacks the outermost marked voxels have .06 to .33 of the local
    vessel's brightness.
    """
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(int(config.seed)).spawn(4)]
    fields = draw_open_fields(config, streams[0])
    size: VoxelSize = fields["voxel_size_um"]
    graph = build_network(fields, streams[1])
    segments = segments_of(graph)
    look = draw_appearance(fields["modality"], size, config.appearance, streams[2])
    inflation = label_inflation_um(look, config.label_inflation)
    distance, _ = signed_distance(
        segments, config.shape, size, reach_um=0.5 * max(size), inflation_um=inflation
    )
    image = picture(graph, segments, shape=config.shape, size=size, look=look, rng=streams[3])
    params = {**fields, "config": asdict(config), "label_inflation_um": inflation, "appearance": asdict(look)}
    return Phantom(image, (distance <= 0).astype(np.uint8), graph, size, params)


def label_inflation_um(look: Appearance, inflation: float) -> VoxelSize:
    """Return by how much (z, y, x) in um the label is thicker than the tubes."""
    return (inflation * look.psf_z_um, inflation * look.psf_xy_um, inflation * look.psf_xy_um)
