"""Learning from corrections and data sets: one turn of the loop, the stages of VpbSD, cross-validation."""

from napari_vesselkd.learning.gate import BlockScore, Judgement, judge
from napari_vesselkd.learning.review_queue import BlockLookedAt, QueueReady, update_queue
from napari_vesselkd.learning.stages import (
    StagesPreflight,
    check_stages,
    distill_from,
    estimate_stages,
    pretrain_from,
    teach_and_distill,
    teach_from,
)
from napari_vesselkd.learning.turn import check, check_voxel_size, is_project, learn

__all__ = [
    "BlockLookedAt",
    "BlockScore",
    "Judgement",
    "QueueReady",
    "StagesPreflight",
    "check",
    "check_stages",
    "check_voxel_size",
    "distill_from",
    "estimate_stages",
    "is_project",
    "judge",
    "learn",
    "pretrain_from",
    "teach_and_distill",
    "teach_from",
    "update_queue",
]
