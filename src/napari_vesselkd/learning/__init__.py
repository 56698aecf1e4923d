"""One turn of the loop: learn from the corrections, and say whether the new checkpoint is better."""

from napari_vesselkd.learning.gate import BlockScore, Judgement, judge
from napari_vesselkd.learning.turn import learn

__all__ = ["BlockScore", "Judgement", "judge", "learn"]
