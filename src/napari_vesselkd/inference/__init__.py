"""Segmenting volumes of any size, block by block, with a result that does not depend on the blocks.

Notation: z, y, x axes; a block is a core with its halo (see `napari_vesselkd.blocks`); logits are before,
probabilities after the sigmoid, labels are 0 background and 1 vessel.
"""

from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.devices import Backend, choose_backend
from napari_vesselkd.inference.into_project import preflight_project, segment_project
from napari_vesselkd.inference.predict import segment
from napari_vesselkd.inference.predictor import Predictor
from napari_vesselkd.inference.preparation import preflight
from napari_vesselkd.inference.reports import BlockDone, Preflight, SegmentFinished

__all__ = [
    "Backend",
    "BlockDone",
    "Predictor",
    "Preflight",
    "SegmentConfig",
    "SegmentFinished",
    "choose_backend",
    "preflight",
    "preflight_project",
    "segment",
    "segment_project",
]
