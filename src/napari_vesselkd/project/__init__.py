"""The project folder ``NAME.vesselkd``: what belongs together, opened and checked.

Notation: z, y, x axes; labels are 0 background and 1 vessel; corrections are 0 unlabelled, 1 background and 2
vessel. State is what folding the append-only journal gives (docs/adr/0006).
"""

from napari_vesselkd.project.image import ImageReference
from napari_vesselkd.project.operations import Applied, Operation
from napari_vesselkd.project.project import Project
from napari_vesselkd.project.state import BlockState, Promotion, ReviewBlock

__all__ = ["Applied", "BlockState", "ImageReference", "Operation", "Project", "Promotion", "ReviewBlock"]
