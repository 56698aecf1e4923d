"""What tests of the history share: any operations of a person on a small project, and what a person sees."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from projects import whole

ONE, TWO = Region((0, 0, 0), (24, 30, 40)), Region((10, 20, 30), (40, 60, 70))
SLAB = Region((4, 100, 8), (20, 160, 60))
SMALL = Region((0, 0, 0), (4, 5, 6))


def snapshot(project):
    """What a person sees: blocks but for what undo leaves, corrections, labels, voxels of everything."""
    blocks = [(one.number, one.state, one.background, one.vessel) for one in project.blocks]
    voxels = {one.number: project._edit_of(one.number).voxels.tobytes() for one in project.blocks}
    labels = project.labels.read(Region.whole(project.image.shape)).tobytes() if project.labels else b""
    sheet = project.edit_anywhere().read(Region.whole(project.image.shape)).tobytes()
    return blocks, voxels, whole(project).tobytes(), labels, sheet


def fill(edit, box, value, **options):
    return edit.change(box, np.full(box.shape, value, np.uint8), **options)


WITHIN = (40, 300, 70)


@st.composite
def boxes(draw):
    start = [draw(st.integers(0, most)) for most in (30, 50, 60)]
    stop = [draw(st.integers(a + 1, min(a + 40, n))) for a, n in zip(start, WITHIN, strict=True)]
    return Region(tuple(start), tuple(stop))


actions = st.one_of(
    st.tuples(st.just("paint"), st.sampled_from([1, 2]), boxes(), st.integers(0, 2)),
    st.tuples(st.just("sheet"), boxes(), st.integers(0, 2)),
    st.tuples(st.just("apply"), boxes(), st.integers(0, 2), st.sampled_from([None, 1, 2])),
    st.tuples(st.just("mip"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["accept", "skip", "open"]), st.sampled_from([1, 2])),
    st.just(("undo",)),
    st.just(("redo",)),
    st.just(("reopen",)),
)


def steps_of(kind, *values):
    """Return an action as steps of one operation at most: opening a block may be one of its own."""
    number = {"paint": 0, "apply": 2, "accept": 0}.get(kind)
    opens = [] if number is None or values[number] is None else [("open", values[number])]
    return [*opens, (kind, *values)]


def act(project, kind, *values):
    if kind == "paint":
        number, box, value = values
        edit = project.edit_block(number)
        inside = box.intersection(Region.whole(edit.shape))
        if inside is not None:
            fill(edit, inside, value)
    elif kind == "sheet":
        fill(project.edit_anywhere(), *values)
    elif kind == "apply":
        box, value, number = values
        if number is not None:
            project.edit_block(number)
        every = np.ones(box.shape, bool)
        every[::2] = False
        project.apply(box, np.full(box.shape, value, np.uint8), every, tool="tool", number=number)
    elif kind == "mip":
        fill(project.edit_mip(SLAB, 0), Region((0, 3, 3), (1, 9, 9)), values[0])
    elif kind == "accept":
        if project._edit_of(values[0]).voxels.any():
            project.edit_block(values[0])
            project.accept(values[0])
    elif kind == "skip":
        project.skip(values[0])
    elif kind in ("undo", "redo"):
        getattr(project.history, kind)()
    elif kind == "open":
        project.edit_block(values[0])
    project.flush()


def chosen(rng, project):
    """Return an operation at random."""
    kind = rng.choice(["paint", "sheet", "apply", "accept", "skip", "undo", "redo", "undo"])
    start = [rng.randrange(30), rng.randrange(50), rng.randrange(60)]
    box = Region(tuple(start), tuple(low + rng.randint(1, 9) for low in start))
    if kind == "paint":
        return kind, rng.choice([1, 2]), box, rng.randrange(3)
    if kind == "sheet":
        return kind, box, rng.randrange(3)
    if kind == "apply":
        return kind, box, rng.randrange(3), rng.choice([None, 1, 2])
    if kind in ("undo", "redo"):
        return (kind,)
    return kind, rng.choice([1, 2])


def seen(project):
    """As `snapshot`, but for the state of blocks, which opening one changes too."""
    return snapshot(project)[1:]
