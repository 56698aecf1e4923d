"""Chunked label images on disk, and the record of which parts of them are done.

Notation: z, y, x axes; a cell is the smallest box whose state is remembered, a multiple of the net's stride.
"""

from napari_vesselkd.labels.record import RunRecord
from napari_vesselkd.labels.store import LabelStore

__all__ = ["LabelStore", "RunRecord"]
