"""Looking through a segmentation block by block: what is worth correcting first.

Notation: z, y, x axes; a candidate is a block of a regular grid, or one that somebody began.
"""

from napari_vesselkd.proofreading.queue import Candidate, next_candidate, review_list

__all__ = ["Candidate", "next_candidate", "review_list"]
