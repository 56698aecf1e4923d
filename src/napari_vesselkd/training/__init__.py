"""Training: one loop, patches from phantoms, and the command that makes the bundled weights."""

from napari_vesselkd.training.augment import AugmentConfig
from napari_vesselkd.training.fit import FitConfig, FitProgress, fit
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.patches import Batch, PatchConfig, PhantomPatches, fill_pool

__all__ = [
    "AugmentConfig",
    "Batch",
    "FitConfig",
    "FitProgress",
    "LossConfig",
    "PatchConfig",
    "PhantomPatches",
    "fill_pool",
    "fit",
    "segmentation_terms",
]
