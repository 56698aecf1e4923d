"""Looking through a segmentation block by block: what is worth correcting first.

Notation: z, y, x axes; a candidate is a block of a regular grid, or one that somebody began.
"""

from napari_vesselkd.proofreading.queue import Candidate, next_candidate, review_list
from napari_vesselkd.proofreading.queue_ranked import review_by_worth

__all__ = ["Candidate", "next_candidate", "review_by_worth", "review_list"]
