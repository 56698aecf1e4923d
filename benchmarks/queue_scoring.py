"""The review queue on the arrays of `bench_queue.py`: the same findings, worth and order as in a project."""

from __future__ import annotations

import numpy as np
from queue_annotator import Case, Learner

from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.proofreading.queue_findings import Findings
from napari_vesselkd.proofreading.queue_lines import line_difference, line_doubt
from napari_vesselkd.proofreading.queue_order import in_order, look_of
from napari_vesselkd.proofreading.queue_topology import topology
from napari_vesselkd.proofreading.queue_worth import worths

MIRRORED = ((1,), (2,), (1, 2))
SHARES = (0.1, 0.25, 0.5)


def findings_of(case: Case, learner: Learner, found: np.ndarray, numbers: list[int]) -> list[Findings]:
    """Return what is found about these blocks in the learner's prediction `found`."""
    mask = found >= learner.threshold
    line, doubt = skeleton(mask), line_doubt(found, learner.threshold)
    flips = np.zeros(mask.shape, np.float32)
    for axes in MIRRORED:
        other = learner.probability(axes) >= learner.threshold
        flips += line_difference(mask, other, line) / np.float32(len(MIRRORED))
    result = []
    for number in numbers:
        block = case.blocks[number]
        at = block.slices
        result.append(
            Findings(
                block,
                doubt=float(doubt[at].sum()),
                flips=float(flips[at].sum()),
                topology=topology(mask, case.size, block, image=case.raw),
                look=look_of(case.image[at], mask[at]),
            )
        )
    return result


def by_queue(case, learner, found, left, shown, count, order) -> list[int]:
    """Return the next blocks of the queue; "worth" is without diversity, "cover" with all worth the same."""
    findings = findings_of(case, learner, found, [*left, *shown])
    candidates, known = findings[: len(left)], findings[len(left) :]
    worth = worths(candidates)
    if order == "worth":
        return [left[i] for i in np.argsort(-worth, kind="stable")[:count]]
    if order == "cover":
        worth = np.ones(len(candidates))
    return [left[one.index] for one in in_order(candidates, worth, known, count)]


def errors_found(case: Case) -> dict[str, list[float]]:
    """Return the share of wrong centreline in the first blocks of each order, for `SHARES` of the blocks.

    Of the bundled student, on all blocks; wrong are the voxels of its centreline outside of the truth, and
    those of the truth's outside of its mask. "best" knows them.
    """
    learner = Learner(case, 1, 0)
    found = learner.probability()
    mask = found >= learner.threshold
    wrong = line_difference(mask, case.truth)
    numbers = list(range(len(case.blocks)))
    errors = np.array([wrong[block.slices].sum() for block in case.blocks], float)
    findings = findings_of(case, learner, found, numbers)
    worth = worths(findings)
    p = np.clip(found, 1e-6, 1 - 1e-6)
    bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    orders = {
        "entropy": np.argsort([-bits[block.slices].mean() for block in case.blocks], kind="stable"),
        "doubt": np.argsort([-one.doubt for one in findings], kind="stable"),
        "ends": np.argsort([-one.topology.ends for one in findings], kind="stable"),
        "worth": np.argsort(-worth, kind="stable"),
        "queue": np.array([one.index for one in in_order(findings, worth, count=len(findings))]),
        "best": np.argsort(-errors, kind="stable"),
    }
    most = [max(1, round(share * len(numbers))) for share in SHARES]
    return {
        name: [round(float(errors[order[:n]].sum() / max(errors.sum(), 1)), 4) for n in most]
        for name, order in orders.items()
    }
