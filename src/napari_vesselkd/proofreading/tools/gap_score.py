"""How likely it is that a vessel goes on across a gap: what is measured, and the weights it is judged by.

A logistic model: ``p = 1 / (1 + exp(-(w . t + w0)))`` with t the features and their products. The weights
(`gap_weights`) are fitted by
``benchmarks/bench_proofreading_tools.py --fit`` on phantoms with planted gaps, spurs and false pieces, none
of which the benchmark judges on; for each right gap there is one whose image is dark, which is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_vesselkd.proofreading.tools.gap_weights import BY_SHAPE, WITH_IMAGE


@dataclass(frozen=True)
class GapFeatures:
    """What is known about one gap; all numbers are without unit.

    Attributes
    ----------
    length : float
        ln of the length of the gap in radii.
    voxels : float
        ln of 1 + its length in voxels of the smallest side.
    here, there : float
        Cosine of the angle between the gap and the direction of the end; `there` is 0 at a side.
    side : float
        1 where the other side is no end but the side of a vessel.
    calibre : float
        ln of the ratio of the radii without sign; at a side 0 if that vessel is the thicker one.
    branch : float
        ln of 1 + the length of the end's branch in radii, at most 3; the shorter of two.
    apart : float
        1 where the two are not connected otherwise.
    straight : float
        Distance of its ends divided by the length of the path across it.
    stub : float
        How many of the two sides are hardly more than a bump of a thicker vessel.
    border : float
        1 at the border of what is looked at, less by e every two voxels: vessels leave there.
    radius : float
        ln of the radius of the end in voxels of the smallest side.
    mean, least : float
        Evidence across the gap: its mean, and its 10th percentile; 0 without image and probability.
    contrast : float
        The mean less that of the surrounding background.
    distinct : float
        ln of 1 + the contrast in units of the noise of the background's evidence, with its sign.
    core : float
        Image across the gap within .6 radii of the way, background 0 and the vessel behind the end 1, not
        clipped: less selected by the cheapest way than `mean`.
    clear : float
        As `distinct`, of `core`.
    weakest : float
        The least of `core` along the way, over three voxels of it.
    behind : float
        ln of 1 + the contrast of the vessel behind the end in units of the noise: false vessels have none.
    beyond : float
        Contrast of the vessel on the other side in parts of that behind the end, -1 to 2.
    """

    length: float
    voxels: float
    here: float
    there: float
    side: float
    calibre: float
    branch: float
    apart: float
    straight: float
    stub: float
    border: float
    radius: float
    mean: float
    least: float
    contrast: float
    distinct: float
    core: float
    clear: float
    weakest: float
    behind: float
    beyond: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return features from their values in order."""
        return cls(**dict(zip(NAMES, values, strict=True)))

    def as_array(self) -> npt.NDArray[np.float64]:
        return np.array(astuple(self), np.float64)


NAMES = tuple(field.name for field in fields(GapFeatures))


def terms(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what the model weighs: the features (..., F) and all products of two of them."""
    one, other = np.triu_indices(features.shape[-1])
    return np.concatenate([features, features[..., one] * features[..., other]], axis=-1)


def belief(features: GapFeatures, *, seen: bool) -> float:
    """Return the probability, 0 to 1, that the two sides of a gap belong together.

    Parameters
    ----------
    features : GapFeatures
    seen : bool
        Whether there is an image or a probability.
    """
    weights = np.array(WITH_IMAGE if seen else BY_SHAPE)
    value = float(weights[:-1] @ terms(features.as_array()) + weights[-1])
    return 1 / (1 + math.exp(-float(np.clip(value, -30, 30))))
