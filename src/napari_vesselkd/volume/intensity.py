"""The percentile window that maps raw voxels to [0, 1], measured once per volume on a bounded sample.

Per volume, never per patch: the percentile of a patch without vessels would stretch its noise. VpbSD
(arXiv 2411.09567, section 3.1) clips at the 95th percentile and scales min..p95 to [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.volume.sampling import sample_regions
from napari_vesselkd.volume.volume import Volume

READ_WHOLE = 8
BLOCKS = 128


@dataclass(frozen=True)
class IntensityWindow:
    """A linear map of raw values ``[low, high]`` to ``[0, 1]``.

    Attributes
    ----------
    low, high : float
        Raw values that become 0 and 1; equal for a constant volume.
    lower_percentile, upper_percentile : float
        Which percentiles of the sampled voxels they are.
    saturated : float
        Share of the finite sampled voxels at or above `high`, which all become 1; 0 for a constant volume.
    non_finite : float
        Share of the sampled voxels that are NaN or infinite.
    sampled : int
        Number of voxels looked at.
    """

    low: float
    high: float
    lower_percentile: float = 0.0
    upper_percentile: float = 95.0
    saturated: float = 0.0
    non_finite: float = 0.0
    sampled: int = 0

    @property
    def constant(self) -> bool:
        """True where there is no contrast to scale: `apply` then gives zeros."""
        return not self.high > self.low

    def apply(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return ``clip((raw - low) / (high - low), 0, 1)``.

        Parameters
        ----------
        raw : ndarray of any real dtype
            Voxels as `Volume.read` gives them.

        Returns
        -------
        ndarray of float32 in [0, 1]
            A new array of the same shape; NaN and infinite voxels are 0.
        """
        if self.constant:
            return np.zeros(raw.shape, np.float32)
        wide = raw.dtype.itemsize > 4 and raw.dtype.kind in "fui"
        out: npt.NDArray[Any] = np.subtract(raw, self.low, dtype=np.float64 if wide else np.float32)
        out *= 1.0 / (self.high - self.low)
        np.clip(out, 0.0, 1.0, out=out)
        if raw.dtype.kind == "f":
            out[~np.isfinite(raw)] = 0.0
        return out.astype(np.float32, copy=False)


def measure_intensity_window(
    volume: Volume,
    *,
    lower: float = 0.0,
    upper: float = 95.0,
    max_voxels: int = 2_000_000,
    seed: int = 0,
) -> IntensityWindow:
    """Measure the intensity window of a volume.

    Volumes of up to eight times `max_voxels` are read whole; of larger ones about 128 blocks of that many
    voxels in all, spread evenly, each inside one storage chunk: any volume costs at most so many reads.

    Parameters
    ----------
    volume : Volume
        Its level 0 is sampled.
    lower, upper : float, optional
        Percentiles, 0 <= lower < upper <= 100. VpbSD takes 0 and 95; 99.5 suits sparse vessels.
    max_voxels : int, optional
        Bound of the sample.
    seed : int, optional
        Of the places; the same seed gives the same window.

    Raises
    ------
    InvalidInputError
        If the percentiles or `max_voxels` are out of range.
    CorruptSourceError
        If a sampled chunk is damaged.
    """
    _check(lower, upper, max_voxels)
    whole = volume.size <= READ_WHOLE * max_voxels
    regions = sample_regions(
        volume.shape, volume.chunks, volume.size if whole else max_voxels, blocks=BLOCKS, seed=seed
    )
    values = np.concatenate([volume.read(region).ravel() for region in regions])
    sampled = values.size
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    non_finite = 1.0 - values.size / sampled
    if values.size == 0:
        return IntensityWindow(0.0, 0.0, lower, upper, non_finite=non_finite, sampled=sampled)
    low, high = _percentiles(values, lower, upper)
    saturated = float(np.count_nonzero(values >= high)) / values.size if high > low else 0.0
    return IntensityWindow(low, high, lower, upper, saturated, non_finite, sampled)


def _percentiles(values: npt.NDArray[Any], lower: float, upper: float) -> tuple[float, float]:
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    low, high = np.percentile(values, [lower, upper])
    return float(low), float(high)


def _check(lower: float, upper: float, max_voxels: int) -> None:
    if not (0 <= lower < upper <= 100 and math.isfinite(upper)):
        raise InvalidInputError(
            "The intensity percentiles cannot be used",
            value=f"{lower:g} and {upper:g}",
            limit="0 <= lower < upper <= 100",
            remedy="For example 0 and 95",
        )
    if max_voxels < 1:
        raise InvalidInputError("The sample of voxels is empty", value=max_voxels, limit="at least 1")
