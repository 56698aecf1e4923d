"""Overlap, distance and topology metrics; no torch."""

from napari_vesselkd.measure.distance import surface_distance_percentile
from napari_vesselkd.measure.metrics import Metrics, evaluate, evaluation
from napari_vesselkd.measure.overlap import Overlap
from napari_vesselkd.measure.topology import CentrelineDice, centreline_dice

__all__ = [
    "CentrelineDice",
    "Metrics",
    "Overlap",
    "centreline_dice",
    "evaluate",
    "evaluation",
    "surface_distance_percentile",
]
