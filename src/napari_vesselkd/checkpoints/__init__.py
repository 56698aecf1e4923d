"""Weights, card and registry of checkpoints. Reading cards does not load torch."""

from napari_vesselkd.checkpoints.card import CheckpointCard
from napari_vesselkd.checkpoints.files import load_checkpoint, save_checkpoint
from napari_vesselkd.checkpoints.registry import Checkpoint, CheckpointRegistry

__all__ = ["Checkpoint", "CheckpointCard", "CheckpointRegistry", "load_checkpoint", "save_checkpoint"]
