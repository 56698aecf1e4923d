"""Overlap, distance and topology metrics; no torch."""

from napari_vesselkd.measure.betti import BettiNumbers, betti_numbers
from napari_vesselkd.measure.distance import surface_distance_percentile
from napari_vesselkd.measure.metrics import Metrics, evaluate, evaluation
from napari_vesselkd.measure.overlap import Overlap
from napari_vesselkd.measure.skeleton_distance import smd, smd_paper
from napari_vesselkd.measure.topology import CentrelineDice, centreline_dice

__all__ = [
    "BettiNumbers",
    "CentrelineDice",
    "Metrics",
    "Overlap",
    "betti_numbers",
    "centreline_dice",
    "evaluate",
    "evaluation",
    "smd",
    "smd_paper",
    "surface_distance_percentile",
]
