"""Chunked label images on disk, the record of which parts of them are done, and the journal of corrections.

Notation: z, y, x axes; a cell is the smallest box whose state is remembered, a multiple of the net's stride;
labels are 0 background and 1 vessel, corrections 0 unlabelled, 1 background and 2 vessel.
"""

from napari_vesselkd.labels.edits import BlockEdit
from napari_vesselkd.labels.journal import Journal
from napari_vesselkd.labels.ledger import Ledger
from napari_vesselkd.labels.record import RunRecord
from napari_vesselkd.labels.store import LabelStore

__all__ = ["BlockEdit", "Journal", "LabelStore", "Ledger", "RunRecord"]
