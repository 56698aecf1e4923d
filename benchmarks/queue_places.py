"""Volumes that are good but for one place, for `bench_queue.py --setting places`.

A student that is right nearly everywhere, and wrong in one place for a reason that can be learned: most
blocks drawn at random then teach nothing, and an order that finds the place should learn from fewer. That is
also how a large volume in a laboratory looks. Phantoms of two looks that share their vessels: a quarter of
the blocks, in a corner drawn by the phantom's number, has another look (bright cells, stained walls, few
photons).

Which volumes are taken does not depend on any order: those on which the bundled student's clDice is at least
`GOOD` outside of the place, by `WORSE` less in it, and rises by `GAIN` on the unseen blocks of seed 0 when
all other blocks are learned from. They are fixed in `PLACES`; `python benchmarks/queue_places.py` looks for
them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from bench_accuracy import HELD_OUT
from queue_annotator import LARGEST, Case, Learner, annotated, case_of, scores, split

from napari_vesselkd import make_phantom
from napari_vesselkd.phantoms import PhantomConfig

GOOD, WORSE, GAIN = 0.8, 0.1, 0.03
SIZE = (4.0, 1.0, 1.0)
LOOKS = {
    "cells": {"cells": 800.0, "cell_light": 3.0},
    "walls": {"hollow": 1.0, "wall_um": 1.5},
    "noise": {"photons": 1.0, "read_noise": 0.3},
}
PLACES = ((25, "cells"), (26, "cells"), (31, "walls"), (40, "noise"))


def placed_cases(wanted: Sequence[str] = ()) -> Iterator[Case]:
    """Yield the volumes."""
    for number, look in PLACES:
        if not wanted or name_of(number, look) in wanted:
            yield placed_case(number, look)


def name_of(number: int, look: str) -> str:
    return f"place-{number}-{look}"


def placed_case(number: int, look: str) -> Case:
    """Return the phantom of this number, with another look in its place."""
    raw, truth = _made(number, {})
    other, other_truth = _made(number, LOOKS[look])
    place = (slice(None), *corner(number))
    raw[place], truth[place] = other[place], other_truth[place]
    return case_of(name_of(number, look), raw.astype(np.uint16), truth, SIZE)


def corner(number: int) -> tuple[slice, slice]:
    """Return where the place is, (y, x)."""
    half = LARGEST // 2
    y, x = (half * int(side) for side in np.random.default_rng([number, 9]).integers(2, size=2))
    return slice(y, y + half), slice(x, x + half)


def inside(case: Case, number: int) -> list[int]:
    """Return the blocks of the place."""
    y, x = corner(number)
    return [
        n
        for n, block in enumerate(case.blocks)
        if y.start <= block.start[1] < y.stop and x.start <= block.start[2] < x.stop
    ]


def _made(number: int, look: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    shape = (16, LARGEST, LARGEST)
    made = make_phantom(
        PhantomConfig(shape=shape, seed=HELD_OUT + number, voxel_size_um=SIZE, appearance=look)
    )
    low, high = np.percentile(made.image, (0, 99.5))
    return np.clip((made.image - low) / max(high - low, 1), 0, 1.2) * 2000, made.label > 0


def search(numbers: Sequence[int]) -> None:
    """Print which volumes are to be taken."""
    torch.set_num_threads(1)
    for number in numbers:
        for look in LOOKS:
            case = placed_case(number, look)
            bad = inside(case, number)
            good = [n for n in range(len(case.blocks)) if n not in bad]
            learner = Learner(case, 60, 0)
            mask = learner.probability() >= learner.threshold
            at_good, at_bad = scores(case, mask, good)[1], scores(case, mask, bad)[1]
            print(
                f"{name_of(number, look)}: clDice {at_good:.2f} outside, {at_bad:.2f} in the place",
                flush=True,
            )
            if not at_good >= GOOD:
                break
            if not at_bad <= at_good - WORSE:
                continue
            pool, unseen = split(case, 0)
            before = scores(case, mask, unseen)[1]
            learner.learn({n: annotated(case, case.blocks[n], 0.0, 0) for n in pool})
            after = scores(case, learner.probability() >= learner.threshold, unseen)[1]
            taken = "taken" if after >= before + GAIN else "left out"
            print(f"  unseen blocks {before:.3f}, after all others {after:.3f}: {taken}", flush=True)


if __name__ == "__main__":
    search(range(20, 60))
