"""Whether a probability means what it says: temperature scaling and the reliability curve.

Notation: z logits, T temperature, p = sigmoid(z / T); y truth. T minimises the mean of
``-y log p - (1 - y) log(1 - p)`` (Guo et al., ICML 2017, section 4.2, with one class); the expected
calibration error is ``sum_b (n_b / n) |mean p - mean y|`` over ten bins of p (eq. 3 there, with p for the
confidence).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from napari_vesselkd.errors import InvalidInputError

BINS = 10
WIDEST = math.log(20.0)  # of the logarithm of the temperature
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
    blocks, voxels : int
        That it was measured on.
    said, seen : tuple of float or None
        Per bin of the calibrated probability: its mean, and the share that is vessel; None where no voxel is.
    counts : tuple of int
        Voxels per bin.
    error_before, error_after : float
        Expected calibration error with temperature 1 and with this one, 0..1.
    checkpoint : str
        SHA-256 of the weights; another checkpoint needs another temperature.
    """

    temperature: float
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
    """Fit the temperature on voxels of held-out corrections and return the curve.

    Parameters
    ----------
    logits : ndarray of float32, (N,)
        Of temperature 1.
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
    temperature = fit_temperature(logits, truth)
    said, seen, counts = curve(probability_at(logits, temperature), truth)
    before = curve(probability_at(logits, 1.0), truth)
    return Reliability(
        temperature,
        blocks,
        int(truth.size),
        _or_none(said),
        _or_none(seen),
        tuple(int(n) for n in counts),
        _error(*before),
        _error(said, seen, counts),
        checkpoint,
    )


def fit_temperature(logits: Floats, truth: Mask) -> float:
    """Return the temperature with the least cross entropy, between 1/20 and 20."""
    z = np.where(truth, logits, -logits).astype(np.float64)  # of the right answer

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -z / math.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-4})
    return float(math.exp(found.x))


def probability_at(logits: Floats, temperature: float) -> Floats:
    """Return sigmoid(logits / temperature), without overflow."""
    return cast(Floats, (0.5 * np.tanh(0.5 / temperature * logits) + 0.5).astype(np.float32))


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
