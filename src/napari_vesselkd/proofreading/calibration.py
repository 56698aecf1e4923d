"""Whether a probability means what it says: temperature scaling with a shift, and the reliability curve.

Notation: z logits, T temperature, b shift, p = sigmoid(z / T + b); y truth. T and b minimise the mean of
``-y log p - (1 - y) log(1 - p)`` (Guo et al., ICML 2017, section 4.2: temperature scaling, with the bias of
Platt scaling there); the expected calibration error is ``sum_b (n_b / n) |mean p - mean y|`` over ten bins of
p (eq. 3 there, with p for the confidence).

The shift is needed: people draw vessels fatter or thinner than the net, so that its 50 % is not theirs, and a
temperature alone cannot move it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from napari_vesselkd.errors import InvalidInputError

BINS = 10
WIDEST = math.log(20.0)  # of the logarithm of the temperature
MOST_SHIFT = 10.0
LEAST_OF_EACH = 50  # voxels of vessel and of background
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reliability:
    """How probabilities compare with what held-out corrections say.

    Attributes
    ----------
    temperature : float
        Divides the logits; above 1 the net was too sure of itself.
    shift : float
        Is added then; above 0 the net finds too little.
    blocks, voxels : int
        That it was measured on.
    said, seen : tuple of float or None
        Per bin of the calibrated probability: its mean, and the share that is vessel; None where no voxel is.
    counts : tuple of int
        Voxels per bin.
    error_before, error_after : float
        Expected calibration error without and with both, 0..1.
    checkpoint : str
        SHA-256 of the weights; another checkpoint needs another temperature.
    """

    temperature: float
    shift: float
    blocks: int
    voxels: int
    said: tuple[float | None, ...]
    seen: tuple[float | None, ...]
    counts: tuple[int, ...]
    error_before: float
    error_after: float
    checkpoint: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reliability:
        """Return what `to_dict` made; TypeError, ValueError or KeyError where it is something else."""
        found: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        if not float(found["temperature"]) > 0:
            raise ValueError("the temperature is not positive")
        return cls(**found)


def measure_reliability(logits: Floats, truth: Mask, *, blocks: int = 1, checkpoint: str = "") -> Reliability:
    """Fit temperature and shift on voxels of held-out corrections and return the curve.

    Parameters
    ----------
    logits : ndarray of float32, (N,)
        As the net gives them.
    truth : ndarray of bool, (N,)
        Vessel, of the same voxels.
    blocks : int, optional
        Where they come from, for the record.
    checkpoint : str, optional

    Raises
    ------
    InvalidInputError
        If there are too few voxels of vessel or of background.
    """
    vessel = int(np.count_nonzero(truth))
    if min(vessel, truth.size - vessel) < LEAST_OF_EACH:
        raise InvalidInputError(
            "The held-out corrections are too few to calibrate on",
            value=f"{vessel} voxels of vessel, {truth.size - vessel} of background",
            limit=f"at least {LEAST_OF_EACH} of each",
            remedy="Accept more blocks; of the first three one is held out",
        )
    temperature, shift = fit_scaling(logits, truth)
    said, seen, counts = curve(probability_at(logits, temperature, shift), truth)
    before = curve(probability_at(logits), truth)
    return Reliability(
        temperature,
        shift,
        blocks,
        int(truth.size),
        _or_none(said),
        _or_none(seen),
        tuple(int(n) for n in counts),
        _error(*before),
        _error(said, seen, counts),
        checkpoint,
    )


def fit_scaling(logits: Floats, truth: Mask) -> tuple[float, float]:
    """Return temperature, between 1/20 and 20, and shift with the least cross entropy."""
    z, y = logits.astype(np.float64), truth.astype(np.float64)

    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        scale = math.exp(-values[0])
        scaled = scale * z + values[1]
        wrong = 0.5 * np.tanh(0.5 * scaled) + 0.5 - y  # derivative of the cross entropy by the logit
        slope = np.array([-(wrong * scale * z).mean(), wrong.mean()])
        return float(np.logaddexp(0, np.where(truth, -scaled, scaled)).mean()), slope

    bounds = [(-WIDEST, WIDEST), (-MOST_SHIFT, MOST_SHIFT)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return math.exp(float(found.x[0])), float(found.x[1])


def probability_at(logits: Floats, temperature: float = 1.0, shift: float = 0.0) -> Floats:
    """Return sigmoid(logits / temperature + shift), without overflow."""
    return cast(Floats, (0.5 * np.tanh(0.5 * (logits / temperature + shift)) + 0.5).astype(np.float32))


def curve(
    probability: Floats, truth: Mask
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return mean probability, share of vessel (NaN in empty bins) and voxels of ten bins, (10,) each."""
    at = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(at, minlength=BINS)
    with np.errstate(invalid="ignore"):
        said = np.bincount(at, weights=probability, minlength=BINS) / counts
        seen = np.bincount(at, weights=truth, minlength=BINS) / counts
    return said, seen, counts


def _error(
    said: npt.NDArray[np.float64], seen: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> float:
    return float(np.nansum(np.abs(said - seen) * counts) / max(int(counts.sum()), 1))


def _or_none(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)
