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
    """Return the next blocks of the queue; order "worth" is the same without diversity."""
    findings = findings_of(case, learner, found, [*left, *shown])
    candidates, known = findings[: len(left)], findings[len(left) :]
    worth = worths(candidates)
    if order == "worth":
        return [left[i] for i in np.argsort(-worth, kind="stable")[:count]]
    return [left[one.index] for one in in_order(candidates, worth, known, count)]
