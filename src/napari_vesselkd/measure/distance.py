"""How far the surfaces of two masks are apart.

Notation: P, G are boolean masks (z, y, x); S_P, S_G their surface voxels, those with a face neighbour outside
the mask (the border of the array counts as outside); distances run between voxel centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from napari_vesselkd.measure.overlap import Mask

PERCENTILE = 95.0


def surface_points(mask: Mask) -> npt.NDArray[np.int64]:
    """Return the indices (n, 3) of the surface voxels of `mask`, (z, y, x)."""
    return np.argwhere(mask & ~binary_erosion(mask))


def surface_distance_percentile(
    prediction: Mask, reference: Mask, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> float:
    """Return the 95th percentile Hausdorff distance (HD95) in the unit of `spacing`.

    The larger of the two directed 95th percentiles of the distance from each surface voxel of one mask to the
    nearest of the other, as ``monai.metrics.HausdorffDistanceMetric(percentile=95)`` has it. The work is done
    with a k-d tree over the surface voxels: about 100 bytes per surface voxel, and nothing per voxel of the
    volume beyond the masks and their eroded copies (1 byte each).

    Parameters
    ----------
    prediction, reference : ndarray of bool, (z, y, x)
    spacing : sequence of float
        Voxel size (z, y, x) in any one unit.

    Returns
    -------
    float
        NaN if one of the masks is empty: there is no surface to measure from.
    """
    points_p, points_g = surface_points(prediction), surface_points(reference)
    if not len(points_p) or not len(points_g):
        return math.nan
    scaled_p, scaled_g = points_p * np.asarray(spacing), points_g * np.asarray(spacing)
    return max(_directed(scaled_p, scaled_g), _directed(scaled_g, scaled_p))


def _directed(source: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> float:
    """Return the percentile of the distances from each `source` point (n, 3) to the nearest `target`."""
    distances, _ = KDTree(target, leafsize=32).query(source)
    return float(np.percentile(distances, PERCENTILE))
