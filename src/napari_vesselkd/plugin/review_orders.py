"""In which order the Correct tab lists blocks; called in a worker."""

from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import Candidate, review_list

CODES = "codes"


def list_blocks(project: Project, side: int, order: str) -> tuple[Candidate, ...]:
    """Return the blocks of a project in one of the orders of the panel.

    Raises
    ------
    InvalidInputError
        If the project has no code map to order them by.
    """
    if order == CODES:
        from napari_vesselkd.patterns.reviewing import review_by_codes

        return review_by_codes(project, side=side)
    return review_list(project, side=side, order=order)
