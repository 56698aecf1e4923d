"""What of a project there is to learn from: corrected blocks, painted projections, or both."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.errors import InvalidInputError, ProjectError
from napari_vesselkd.project import Project, ReviewBlock
from napari_vesselkd.projections.rays import RayLabels
from napari_vesselkd.training.mip_crops import Painted, painted, without
from napari_vesselkd.volume import Volume

CHOICES = ("all", "blocks", "mips")
REMEDIES = {
    "vessel": "Accept a block or a projection that has vessels",
    "background": "Label some background too; predictions start with it",
}
NAMES = {"all": "block", "blocks": "block", "mips": "projection"}


@dataclass(frozen=True)
class Material:
    """What a run learns from.

    Attributes
    ----------
    blocks : tuple of ReviewBlock
        With voxel labels.
    mips : tuple of ReviewBlock
        Slabs whose projections are painted.
    """

    blocks: tuple[ReviewBlock, ...]
    mips: tuple[ReviewBlock, ...]

    def painted(self, project: Project, volume: Volume) -> list[Painted]:
        """Return the painted projections, without the rays that pass through held-out blocks."""
        held_out = [block.region for block in project.held_out_blocks]
        found = []
        for one in self.mips:
            assert one.axis is not None  # noqa: S101  (that is what makes it a projection)
            labels = RayLabels(one.region, one.axis, project.accepted_voxels(one.number))
            found.append(painted(f"MIP {one.number}", without(labels, held_out), volume))
        return found


def material_of(project: Project, learn_from: str = "all") -> Material:
    """Return what `project` has to learn from.

    Raises
    ------
    InvalidInputError
        If there is no such choice.
    ProjectError
        If there is nothing, or no vessel, or no background.
    """
    if learn_from not in CHOICES:
        raise InvalidInputError(
            "There is nothing of that name to learn from", value=learn_from, limit=", ".join(CHOICES)
        )
    blocks = () if learn_from == "mips" else project.training_blocks
    mips = () if learn_from == "blocks" else project.training_mips
    found, what = (*blocks, *mips), NAMES[learn_from]
    if not found:
        total = f"{len(project.blocks)} blocks, {len(project.held_out_blocks)} of them held out"
        raise ProjectError(
            f"There is no accepted {what} to learn from",
            value=f"{project.path}: {total}",
            limit=f"at least one accepted {what} that is not held out",
            remedy="Correct a block in the Correct tab, or paint on a projection, and accept it",
        )
    many = "blocks" if not mips else "blocks and projections" if blocks else "projections"
    for known, other in (("vessel", "background"), ("background", "vessels")):
        if not any(getattr(one, known) for one in found):
            raise ProjectError(
                f"The accepted {many} hold no {known}: from {other} alone nothing can be learned",
                value=f"{len(blocks)} blocks, {len(mips)} projections",
                limit=f"at least one label of {known}",
                remedy=REMEDIES[known],
            )
    return Material(blocks, mips)
