"""Synthetic vessel volumes with exact ground truth: the sample data, the test fixture and the training set."""

from napari_vesselkd.phantoms.appearance import Appearance
from napari_vesselkd.phantoms.config import PhantomConfig
from napari_vesselkd.phantoms.phantom import Phantom, make_phantom, sample_phantom

__all__ = ["Appearance", "Phantom", "PhantomConfig", "make_phantom", "sample_phantom"]
