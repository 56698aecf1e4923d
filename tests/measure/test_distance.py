import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from napari_vesselkd.measure import surface_distance_percentile
from napari_vesselkd.measure.distance import surface_points


def blobs(seed, shape=(12, 20, 18)):
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).random(shape), 2)
    return field > np.quantile(field, 0.8)


def two_sheets(gap_z):
    p, g = np.zeros((16, 9, 9), bool), np.zeros((16, 9, 9), bool)
    p[2], g[2 + gap_z] = True, True
    return p, g


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # of MONAI, by MONAI
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.994, 0.994), (2.0, 3.0, 1.0)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hd95_equals_monai(seed, spacing):
    torch = pytest.importorskip("torch")
    from monai.metrics import HausdorffDistanceMetric

    p, g = blobs(seed), blobs(seed + 10)
    metric = HausdorffDistanceMetric(percentile=95, include_background=False)
    onehot = [torch.from_numpy(np.stack([~m, m])[None].astype(np.uint8)) for m in (p, g)]
    expected = metric(onehot[0], onehot[1], spacing=list(spacing)).item()
    assert surface_distance_percentile(p, g, spacing) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", [4, 5])
def test_hd95_equals_all_pairs_of_surface_voxels(seed):
    p, g = blobs(seed), blobs(seed + 10)
    size = np.array([3.0, 1.0, 0.5])
    pairs = cdist(surface_points(p) * size, surface_points(g) * size)
    expected = max(np.percentile(pairs.min(axis=1), 95), np.percentile(pairs.min(axis=0), 95))
    assert surface_distance_percentile(p, g, size) == pytest.approx(expected)


def test_hd95_of_a_mask_with_itself_is_zero():
    assert surface_distance_percentile(blobs(0), blobs(0)) == 0


def test_voxels_of_another_size_scale_errors_along_their_axis_only():
    p, g = two_sheets(4)
    assert surface_distance_percentile(p, g) == 4
    assert surface_distance_percentile(p, g, (2, 1, 1)) == 8
    assert surface_distance_percentile(p, g, (1, 2, 2)) == 4


def test_doubling_x_doubles_errors_along_x():
    p, g = (mask.transpose(1, 2, 0) for mask in two_sheets(3))
    assert surface_distance_percentile(p, g, (1, 1, 2)) == 2 * surface_distance_percentile(p, g)


def test_an_empty_mask_gives_nan():
    empty = np.zeros((12, 20, 18), bool)
    assert math.isnan(surface_distance_percentile(empty, blobs(0)))
    assert math.isnan(surface_distance_percentile(blobs(0), empty))
    assert math.isnan(surface_distance_percentile(empty, empty))


def test_a_mask_at_the_border_of_the_volume_has_its_surface_there():
    assert len(surface_points(np.ones((3, 3, 3), bool))) == 26
