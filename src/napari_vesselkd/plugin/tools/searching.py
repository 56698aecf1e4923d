"""What a worker finds for the tool in hand: one proposal, or a walk through several. No Qt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_vesselkd.plugin.tools.catalogue import Kind, Tool
from napari_vesselkd.plugin.tools.preview import Preview, preview, together
from napari_vesselkd.plugin.tools.proposing import Click, Suggestion, propose
from napari_vesselkd.plugin.tools.scene import Scene
from napari_vesselkd.proofreading.rejections import Proposals, is_known


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
    """What was found.

    Attributes
    ----------
    preview : Preview or None
        The proposal to show; None where there is none (any more).
    score : float or None
    walk : Walk or None
    all : bool
        Whether it is everything that is left.
    left_out : int
        Proposals that were rejected before.
    """

    preview: Preview | None
    score: float | None = None
    walk: Walk | None = None
    all: bool = False
    left_out: int = 0


def find(
    tool: Tool,
    scene: Scene,
    clicks: Sequence[Click],
    options: Mapping[str, float],
    rejected: Proposals,
) -> Shown:
    """Return what a tool proposes, of a list the first that was not rejected before."""
    found = propose(tool.name, scene, clicks, options)
    if tool.kind is Kind.LIST:
        new = tuple(one for one in found if not is_known(one.changes, rejected))
        return replace(first_left(Walk(new), scene), left_out=len(found) - len(new))
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
