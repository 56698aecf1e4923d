"""What a worker finds for the tool in hand: one proposal, or a walk through several. No Qt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_vesselkd.plugin.tools.catalogue import Kind, Tool
from napari_vesselkd.plugin.tools.preview import Preview, preview, together
from napari_vesselkd.plugin.tools.proposing import Click, Suggestion, propose
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.proofreading.tools import Proposal
from napari_vesselkd.proofreading.tools.walk import same_place


@dataclass(frozen=True, eq=False)
class Walk:
    """The proposals of a tool that looks through the block.

    Attributes
    ----------
    found : tuple of Suggestion
    at : int
        The one that is shown.
    applied, rejected : tuple of int
    """

    found: tuple[Suggestion, ...]
    at: int = 0
    applied: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()

    @property
    def left(self) -> tuple[int, ...]:
        """Those that are not decided, from the one that is shown on, then from the beginning."""
        decided = {*self.applied, *self.rejected}
        count = len(self.found)
        order = [(self.at + step) % count for step in range(count)]
        return tuple(index for index in order if index not in decided)

    def moved(self) -> "Walk":
        """Return the walk at the next one."""
        return replace(self, at=(self.at + 1) % max(len(self.found), 1))


@dataclass(frozen=True, eq=False)
class Shown:
    """What was found: the proposal to show, None where there is none (any more)."""

    preview: Preview | None
    score: float | None = None
    walk: Walk | None = None
    all: bool = False


def find(
    tool: Tool,
    scene: Scene,
    clicks: Sequence[Click],
    options: Mapping[str, float],
    rejected: Sequence[Proposal],
) -> Shown:
    """Return what a tool proposes, of a list the first that was not rejected before."""
    found = propose(tool.name, scene, clicks, options)
    if tool.kind is Kind.LIST:
        return first_left(Walk(tuple(one for one in found if not _known(one, rejected))), scene)
    if not found:
        return Shown(None)
    return Shown(preview(found[0], scene), found[0].score)


def first_left(walk: Walk, scene: Scene) -> Shown:
    """Return the first proposal of a walk that is not decided and would change something."""
    for index in walk.left:
        suggestion = walk.found[index]
        shown = preview(suggestion, scene)
        if shown is not None:
            return Shown(shown, suggestion.score, replace(walk, at=index))
        walk = replace(walk, applied=(*walk.applied, index))
    return Shown(None, None, walk)


def all_left(walk: Walk, scene: Scene) -> Shown:
    """Return everything that is left of a walk as one proposal."""
    both = together([walk.found[index] for index in walk.left])
    return Shown(preview(both, scene), None, walk, all=True)


def _known(suggestion: Suggestion, rejected: Sequence[Proposal]) -> bool:
    return any(same_place(change, other) for change in suggestion.changes for other in rejected)
