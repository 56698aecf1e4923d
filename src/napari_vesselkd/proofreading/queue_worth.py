"""What a block is worth correcting, and why, in words.

Each kind of finding is divided by its mean over the blocks that were looked at, so that it is 1 for a block
like the others; the worth is the weighted mean over the kinds that are known. The weights follow what finds
wrong centrelines on phantoms and two-photon stacks (docs/queue.md): expected wrong centreline and open ends
most, then what changes under mirroring; a difference from the teacher and artefact codes, which were not
measured, count like the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_vesselkd.proofreading.queue_findings import Findings

F64 = npt.NDArray[np.float64]
STRIKING = 1.25  # times the mean, from which a finding is a reason
MOST = 5.0  # times the mean: more is not worth more


@dataclass(frozen=True)
class Reason:
    """Why a block is worth a look.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    words : str
        For people: "unsure of 12 centreline voxels".
    short : str
        The same for a narrow column: "12 unsure".
    strength : float
        Times the mean of the blocks that were looked at.
    """

    kind: str
    words: str
    short: str
    strength: float


@dataclass(frozen=True)
class _Kind:
    """One kind of finding: its value, None where unknown; its weight; its words, long and short."""

    value: Callable[[Findings], float | None]
    weight: float
    words: Callable[[float], str]
    short: Callable[[float], str]


def _counted(name: str) -> Callable[[Findings], float | None]:
    return lambda one: None if one.topology is None else float(getattr(one.topology, name))


def _many(one: str, several: str) -> Callable[[float], str]:
    return lambda value: f"{value:.0f} {one if round(value) == 1 else several}"


KINDS: dict[str, _Kind] = {
    "doubt": _Kind(
        lambda one: one.doubt,
        1.0,
        lambda n: f"about {n:.0f} voxels of centreline to expect wrong, by the calibrated probability",
        lambda n: f"{n:.0f} unsure",
    ),
    "ends": _Kind(_counted("ends"), 1.0, _many("open end", "open ends"), _many("end", "ends")),
    "teacher": _Kind(
        lambda one: one.teacher,
        1.0,
        lambda n: f"teacher and student differ in {n:.0f} voxels of centreline",
        lambda n: f"teacher {n:.0f}",
    ),
    "artefact": _Kind(
        lambda one: one.artefact,
        1.0,
        lambda share: f"{share:.0%} of it has artefact codes",
        lambda share: f"{share:.0%} artefact",
    ),
    "flips": _Kind(
        lambda one: one.flips,
        0.5,
        lambda n: f"seen mirrored, {n:.0f} voxels of centreline come or go",
        lambda n: f"mirror {n:.0f}",
    ),
    "gaps": _Kind(_counted("gaps"), 0.25, _many("likely gap", "likely gaps"), _many("gap", "gaps")),
    "pieces": _Kind(_counted("pieces"), 0.25, _many("loose piece", "loose pieces"), _many("piece", "pieces")),
    "jumps": _Kind(
        _counted("jumps"), 0.25, _many("jump of the radius", "jumps of the radius"), _many("jump", "jumps")
    ),
    "rare": _Kind(
        lambda one: one.rare,
        0.25,
        lambda share: f"{share:.0%} of it has rare codes",
        lambda share: f"{share:.0%} rare",
    ),
}


def relative(findings: Sequence[Findings]) -> dict[str, F64]:
    """Return findings as multiples of their kind's mean, (N,), NaN where unknown; only kinds that occur."""
    found = {}
    for name, kind in KINDS.items():
        values = np.array([np.nan if (v := kind.value(one)) is None else v for one in findings], np.float64)
        known = values[~np.isnan(values)]
        if known.size and known.max() > 0:
            found[name] = np.minimum(values / known.mean(), MOST)
    return found


def worths(findings: Sequence[Findings]) -> F64:
    """Return what each block is worth, (N,): 1 is the mean of those that were looked at.

    A block that was not looked at yet counts by its entropy; 1 where that is unknown too.
    """
    total, weight = np.zeros(len(findings)), np.zeros(len(findings))
    for name, values in relative(findings).items():
        known = ~np.isnan(values)
        total[known] += KINDS[name].weight * values[known]
        weight[known] += KINDS[name].weight
    bits = np.array([np.nan if one.uncertainty is None else one.uncertainty for one in findings], np.float64)
    mean = np.nanmean(bits) if (~np.isnan(bits)).any() else 0.0
    guess = np.nan_to_num(bits / mean, nan=1.0) if mean > 0 else np.ones(len(findings))
    return np.where(weight > 0, total / np.maximum(weight, 1e-12), guess)


def reasons(findings: Sequence[Findings]) -> list[tuple[Reason, ...]]:
    """Return why each block is worth a look, the strongest reason first; few where nothing strikes."""
    multiples = relative(findings)
    found = []
    for index, one in enumerate(findings):
        mine = []
        for name, values in multiples.items():
            value = KINDS[name].value(one)
            if value and values[index] >= STRIKING:
                strength = float(values[index])
                kind = KINDS[name]
                why = Reason(name, kind.words(value), kind.short(value), strength)
                mine.append((strength * kind.weight, why))
        found.append(tuple(reason for _, reason in sorted(mine, key=lambda pair: -pair[0])))
    return found
