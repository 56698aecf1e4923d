"""What each tool proposes: the engine's proposals, put together to what is shown and applied as one. No Qt.

Notation: points and regions are in voxels (z, y, x) of the volume.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import AXES, Region, as_shape
from napari_vesselkd.labels.edits import UNLABELLED
from napari_vesselkd.plugin.tools.scene import Likeness, Scene
from napari_vesselkd.proofreading import tools as engine
from napari_vesselkd.proofreading.tools import Proposal
from napari_vesselkd.proofreading.tools.boxes import EVERYWHERE, Mask, Point, checked_point
from napari_vesselkd.proofreading.tools.components import vessel_at
from napari_vesselkd.proofreading.tools.proposal import proposal

Options = Mapping[str, float]
ENCLOSED = 0.5  # share of the surface of a fill that has to be wall


@dataclass(frozen=True, eq=False)
class Suggestion:
    """What is applied as one step.

    Attributes
    ----------
    changes : tuple of Proposal
        In voxels of the volume; values 0 unlabelled, 1 background, 2 vessel.
    reason : str
    score : float or None
        How sure the tool is, 0 to 1; None where that says nothing.
    """

    changes: tuple[Proposal, ...]
    reason: str
    score: float | None = None

    @property
    def count(self) -> int:
        return sum(change.count for change in self.changes)


@dataclass(frozen=True)
class Click:
    """A place that was clicked.

    Attributes
    ----------
    point : (z, y, x)
        In voxels of the volume.
    axis : int or None
        Across which axis the slice lies in which it was clicked; None in 3D.
    """

    point: tuple[float, float, float]
    axis: int | None = None


def propose(tool: str, scene: Scene, clicks: Sequence[Click], options: Options) -> tuple[Suggestion, ...]:
    """Return what a tool proposes: one suggestion, several of a tool that looks through the block, or none.

    Raises
    ------
    RegionError, InvalidInputError
        As the tool in `proofreading.tools` raises them.
    """
    found = _PROPOSE[tool](scene, clicks, options)
    return tuple(one for one in found if one.count)


def _single(change: Proposal) -> tuple[Suggestion, ...]:
    return (Suggestion((change,), change.reason),)


def _listed(changes: Sequence[Proposal], scene: Scene) -> tuple[Suggestion, ...]:
    """Return those that reach into the block, each on its own."""
    own = [one for one in changes if one.clipped(scene.block) is not None]
    return tuple(Suggestion((one,), one.reason, one.score) for one in own)


def _connect(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    start, stop = clicks[0].point, clicks[1].point
    found = engine.connect(start, stop, vessel=scene, voxel_size_um=scene.voxel_size_um, image=scene.image)
    return _single(found)


def _join(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    one, other = (click.point for click in clicks)
    return _single(engine.merge(one, other, vessel=scene, voxel_size_um=scene.voxel_size_um))


def _split(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    one, other = (click.point for click in clicks)
    size = scene.voxel_size_um
    return _single(engine.split(one, other, vessel=scene, voxel_size_um=size, image=scene.image))


def _delete_piece(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    (click,) = clicks
    return _single(engine.delete_component(click.point, vessel=scene, voxel_size_um=scene.voxel_size_um))


def _delete_spur(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    (click,) = clicks
    return _single(engine.delete_spur(click.point, vessel=scene, voxel_size_um=scene.voxel_size_um))


def _cut(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    (click,) = clicks
    return _single(engine.cut(click.point, vessel=scene, voxel_size_um=scene.voxel_size_um))


def _fill(scene: Scene, clicks: Sequence[Click], options: Options) -> tuple[Suggestion, ...]:
    (click,) = clicks
    flat = bool(options["flat"])
    if flat and click.axis is None:
        raise InvalidInputError("A slice cannot be told in 3D", remedy="Go back to 2D, or fill in 3D")
    found = engine.bounded_fill(
        click.point,
        vessel=scene,
        voxel_size_um=scene.voxel_size_um,
        radius_um=options["radius_um"],
        leak_um=options["leak_um"],
        axis=AXES[click.axis] if flat and click.axis is not None else None,
    )
    if found.score < ENCLOSED:
        raise InvalidInputError(
            "The place is open, the fill would run out",
            value=f"walls on {found.score:.0%} of its surface",
            limit=f"{ENCLOSED:.0%}",
            remedy="Close openings, fill in this slice only, or set a smaller distance",
        )
    return _single(found)


def _interpolate(scene: Scene, clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    """Interpolate between the two shapes that were clicked, each in its slice of the block."""
    axes = {click.axis for click in clicks}
    axis = axes.pop()
    if axis is None or axes:
        raise InvalidInputError(
            "The two slices do not lie one behind the other",
            limit="two slices across the same axis, in 2D",
            remedy="Click both shapes in the same view",
        )
    vessel = scene.read(scene.block)
    drawn = np.zeros(vessel.shape, bool)
    slices = []
    for click in clicks:
        voxel = vessel_at(click.point, scene, scene.shape)
        own = np.subtract(voxel, scene.block.start)
        own[axis] = checked_point(click.point, scene.shape)[axis] - scene.block.start[axis]
        if (own < 0).any() or (own >= vessel.shape).any():
            raise _outside(click.point, scene)
        slices.append(int(own[axis]))
        plane, _ = ndimage.label(np.moveaxis(vessel, axis, 0)[own[axis]], np.ones((3, 3)))
        number = plane[tuple(np.delete(own, axis))]
        if not number:
            raise InvalidInputError(
                "Nothing is drawn there in this slice", value=click.point, remedy="Click on what is drawn"
            )
        np.moveaxis(drawn, axis, 0)[own[axis]] |= plane == number
    low, high = sorted(slices)
    if high - low < 2:
        raise InvalidInputError(
            "There is no slice between the two clicks", remedy="Click shapes at least two slices apart"
        )
    found = engine.interpolate(drawn, scene.voxel_size_um, axis=AXES[axis], first=low, last=high)
    mask = found.mask & ~vessel[found.region.slices]
    text = f"{AXES[axis]} {low + scene.block.start[axis]} and {high + scene.block.start[axis]}"
    reason = f"{high - low - 1} slices between {text}"
    return _single(replace(found, mask=mask, reason=reason).shifted(scene.block.start))


def _fit(scene: Scene, clicks: Sequence[Click], options: Options) -> tuple[Suggestion, ...]:
    """Fit all vessels of the block, or the one that was clicked last."""
    grow, shrink = engine.fit_to_image(
        scene, scene.image, scene.voxel_size_um, most_um=options["most_um"], region=scene.block
    )
    both = [one for one in (grow, shrink) if one.count]
    if clicks and both:
        both = _of_piece(both, scene, clicks[-1].point)
    added, removed = (sum(one.count for one in both if one.value == value) for value in (2, 1))
    what = "the vessel" if clicks else "all vessels"
    reason = f"Walls of {what} moved to where the image falls to half"
    return (Suggestion(tuple(both), reason),) if added + removed else ()


def _of_piece(changes: list[Proposal], scene: Scene, point: Point) -> list[Proposal]:
    """Return the parts of changes of the block that belong to the piece of vessel at a point."""
    voxel = vessel_at(point, scene, scene.shape)
    if not scene.block.contains(Region(voxel, as_shape([one + 1 for one in voxel]))):
        raise _outside(point, scene)
    inside = scene.read(scene.block)
    after = inside.copy()
    for one in changes:
        after[one.region.relative_to(scene.block.start).slices] |= one.mask
    label, _ = ndimage.label(after, EVERYWHERE)
    own = label == label[tuple(np.subtract(voxel, scene.block.start))]
    parts = [(one, one.mask & own[one.region.relative_to(scene.block.start).slices]) for one in changes]
    return [replace(one, mask=mask) for one, mask in parts if mask.any()]


def _gaps(scene: Scene, _clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    found = engine.gap_proposals(
        scene, scene.voxel_size_um, image=scene.image, region=scene.around, core=scene.block
    )
    return _listed(found, scene)


def _spurs(scene: Scene, _clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    found = engine.spur_proposals(scene, scene.voxel_size_um, image=scene.image, region=scene.around)
    return _listed(found, scene)


def _false_pieces(scene: Scene, _clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    found = engine.component_proposals(scene, scene.voxel_size_um, image=scene.image, region=scene.around)
    return _listed(found, scene)


def _lumens(scene: Scene, _clicks: Sequence[Click], _options: Options) -> tuple[Suggestion, ...]:
    return _listed(engine.hollow_fill(scene, scene.voxel_size_um, region=scene.around), scene)


def _sure_pieces(scene: Scene, _clicks: Sequence[Click], options: Options) -> tuple[Suggestion, ...]:
    """Unlabel what is vessel in the block and not in a piece that is large and sure enough."""
    kept = engine.accept_components(
        scene,
        Likeness(scene),
        scene.voxel_size_um,
        least_um3=options["least_um3"],
        least_certainty=options["least_certainty"] / 100,
        region=scene.block,
    )
    rest: Mask = scene.read(scene.block)
    for one in kept:
        rest[one.region.relative_to(scene.block.start).slices] &= ~one.mask
    _, dropped = ndimage.label(rest, EVERYWHERE)
    if not dropped:
        return ()
    reason = f"{_pieces(len(kept))} kept as vessel, {_pieces(dropped)} unlabelled"
    change = proposal("sure pieces", scene.block, rest, UNLABELLED, reason=reason, score=1.0)
    return (Suggestion((change,), reason),)


def _pieces(count: int) -> str:
    return f"{count} piece{'' if count == 1 else 's'}"


def _outside(point: Point, scene: Scene) -> InvalidInputError:
    return InvalidInputError(
        "The place is outside of the block",
        value=",".join(f"{value:.0f}" for value in point),
        limit=str(scene.block),
        remedy="Click inside the block",
    )


_PROPOSE: dict[str, Callable[[Scene, Sequence[Click], Options], tuple[Suggestion, ...]]] = {
    "connect": _connect,
    "join": _join,
    "interpolate": _interpolate,
    "fill": _fill,
    "delete piece": _delete_piece,
    "delete spur": _delete_spur,
    "cut": _cut,
    "split": _split,
    "fit to image": _fit,
    "gap": _gaps,
    "spur": _spurs,
    "false piece": _false_pieces,
    "lumen": _lumens,
    "sure pieces": _sure_pieces,
}


def brush_stroke(
    scene: Scene, points: Sequence[Point], radius_um: float, value: int
) -> tuple[Suggestion, ...]:
    """Return what a stroke of the threshold brush through `points` paints with `value` (1 or 2)."""
    found = engine.threshold_brush(
        points,
        radius_um,
        image=scene.image,
        vessel=scene,
        voxel_size_um=scene.voxel_size_um,
        value=value,
    )
    return _single(found) if found.count else ()
