"""One turn of the loop: learn from the corrections, and say whether the new checkpoint is better."""

from napari_vesselkd.learning.gate import BlockScore, Judgement, judge
from napari_vesselkd.learning.turn import check, check_voxel_size, is_project, learn

__all__ = ["BlockScore", "Judgement", "check", "check_voxel_size", "is_project", "judge", "learn"]
