"""One phantom: network, label and picture from a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import VoxelSize
from napari_vesselkd.phantoms.config import PhantomConfig, draw_open_fields
from napari_vesselkd.phantoms.imaging import draw_optics, picture
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
        The resolved configuration and the drawn optics.
    """

    image: npt.NDArray[np.uint16]
    label: npt.NDArray[np.uint8]
    graph: nx.Graph
    voxel_size_um: VoxelSize
    params: dict[str, Any]


def make_phantom(config: PhantomConfig) -> Phantom:
    """Return the phantom of `config`; the same config gives identical arrays."""
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(4)]
    fields = draw_open_fields(config, streams[0])
    size: VoxelSize = fields["voxel_size_um"]
    graph = build_network(fields, streams[1])
    segments = segments_of(graph)
    optics = draw_optics(fields["modality"], size, streams[2])
    inflation = tuple(config.label_inflation * psf for psf in optics.psf_um)
    distance, _ = signed_distance(
        segments,
        config.shape,
        size,
        reach_um=0.5 * max(size),
        inflation_um=(inflation[0], inflation[1], inflation[2]),
    )
    image = picture(segments, config.shape, size, fields["modality"], optics, streams[3])
    params = {**fields, "psf_um": optics.psf_um, "psf_tail": optics.tail, "label_inflation_um": inflation}
    return Phantom(image, (distance <= 0).astype(np.uint8), graph, size, params)
