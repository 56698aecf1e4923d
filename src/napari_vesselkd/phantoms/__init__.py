"""Synthetic vessel volumes with exact ground truth: sample data, test fixture and training set."""

from napari_vesselkd.phantoms.appearance import Appearance
from napari_vesselkd.phantoms.config import PhantomConfig
from napari_vesselkd.phantoms.phantom import Phantom, make_phantom
from napari_vesselkd.phantoms.sample import SAMPLE, sample_phantom
from napari_vesselkd.phantoms.write import SynthesiseFinished, read_graph, synthesise, write_phantom

__all__ = [
    "SAMPLE",
    "Appearance",
    "Phantom",
    "PhantomConfig",
    "SynthesiseFinished",
    "make_phantom",
    "read_graph",
    "sample_phantom",
    "synthesise",
    "write_phantom",
]
