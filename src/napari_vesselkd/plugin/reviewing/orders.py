"""In which order the Correct tab lists blocks; called in a worker."""

from collections.abc import Sequence

from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading import Candidate, next_candidate, review_by_worth, review_list

WORTH, CODES = "worth", "codes"
ORDERS = (
    ("worth most first", WORTH),
    ("most uncertain first", "uncertainty"),
    ("random order", "random"),
    ("by their codes", CODES),
)
EXPLAINED = (
    "Worth most first: open ends, loose pieces, likely gaps, doubtful and inconsistent centrelines; "
    "blocks that stand for many others first, so that the first ten differ.\n"
    "Most uncertain first: by the mean entropy, which finds wrong walls rather than wrong branches.\n"
    "By their codes: artefacts first, then rare ones; needs a code map (Look, Codes)"
)


def following(candidates: Sequence[Candidate], done: Region, order: str) -> Candidate | None:
    """Return which block comes after one that is done; None at the end of the list.

    The queue is ordered anew while one works: there it is the first that is left, not the one below.
    """
    if order != WORTH:
        return next_candidate(candidates, done)
    return next_candidate([one for one in candidates if one.region != done], None)


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
    if order == WORTH:
        return review_by_worth(project, side=side)
    return review_list(project, side=side, order=order)
