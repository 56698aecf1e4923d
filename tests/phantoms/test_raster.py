import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.phantoms.raster import Segments, signed_distance


def one_segment(start, stop, radius_start, radius_stop=None):
    return many_segments([(start, stop, radius_start, radius_start if radius_stop is None else radius_stop)])


def many_segments(rows):
    start, stop, first, last = (np.array(column, float) for column in zip(*rows, strict=True))
    return Segments(start, stop, first, last, np.arange(len(rows), dtype=np.int32))


def brute_force(segments, shape, size, inflation=(0.0, 0.0, 0.0)):
    """Return the signed distance of every voxel centre, in float64, one segment after the other."""
    points = np.stack(
        np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, size, strict=True)], indexing="ij"), -1
    )
    best = np.full(shape, np.inf)
    for a, b, r0, r1 in zip(
        segments.start, segments.stop, segments.radius_start, segments.radius_stop, strict=True
    ):
        t = np.clip(((points - a) @ (b - a)) / max(float((b - a) @ (b - a)), 1e-12), 0, 1)
        offset = points - (a + t[..., None] * (b - a))
        length = np.linalg.norm(offset, axis=-1)
        thicker = np.linalg.norm(offset * np.asarray(inflation), axis=-1) / np.maximum(length, 1e-9)
        best = np.minimum(best, length - (r0 + (r1 - r0) * t) - thicker)
    return best


@st.composite
def networks(draw):
    seed, count = draw(st.integers(0, 10_000)), draw(st.integers(1, 12))
    rng = np.random.default_rng(seed)
    start = rng.uniform(-10, 40, size=(count, 3))
    rows = [(a, a + rng.normal(0, 8, size=3), rng.uniform(0.3, 6), rng.uniform(0.3, 6)) for a in start]
    return many_segments(rows)


@given(
    segments=networks(),
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    size=st.tuples(*[st.floats(0.5, 5)] * 3),
    inflation=st.tuples(*[st.floats(0, 2)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_distances_equal_those_to_every_capsule(segments, shape, size, inflation):
    reach = 3.0
    distance, owner = signed_distance(segments, shape, size, reach_um=reach, inflation_um=inflation)
    expected = np.minimum(brute_force(segments, shape, size, inflation), reach)
    np.testing.assert_allclose(distance, expected, atol=2e-4)
    np.testing.assert_array_equal(owner[expected < reach - 1e-3] >= 0, True)
    np.testing.assert_array_equal(owner[expected == reach], -1)


def test_thickening_along_y_reaches_places_beside_the_tube_in_z():
    segments = one_segment((0, 0, 0), (0, 0, 5), 1.0)
    size, inflation = (0.5, 0.5, 1.0), (0.0, 6.0, 0.0)
    distance, _ = signed_distance(segments, (12, 12, 4), size, reach_um=0.5, inflation_um=inflation)
    expected = np.minimum(brute_force(segments, (12, 12, 4), size, inflation), 0.5)
    assert (expected[4:] < 0.5).any()
    np.testing.assert_allclose(distance, expected, atol=2e-4)


def test_owner_is_the_nearest_segment():
    segments = many_segments([((5, 5, 0), (5, 5, 30), 2, 2), ((5, 20, 0), (5, 20, 30), 2, 2)])
    _, owner = signed_distance(segments, (11, 26, 31), (1, 1, 1), reach_um=50)
    assert (owner[:, :12] == 0).all()
    assert (owner[:, 13:] == 1).all()


@pytest.mark.parametrize("radius", [2.0, 3.7, 9.0])
@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_straight_tube_has_the_volume_of_a_cylinder(radius, size):
    shape = (round(40 / size[0]), 41, 60)
    centre = (0.31 + 20.0, 20.17)
    segments = one_segment((centre[0], centre[1], -50), (centre[0], centre[1], 200), radius)
    distance, _ = signed_distance(segments, shape, size, reach_um=1)
    volume = (distance <= 0).sum() * np.prod(size)
    assert volume == pytest.approx(np.pi * radius**2 * shape[2] * size[2], rel=0.06)


def test_vertical_tube_is_round_in_um_on_coarse_slices():
    segments = one_segment((-50, 20, 20), (150, 20, 20), 8.0)
    distance, _ = signed_distance(segments, (5, 41, 41), (5.0, 1.0, 1.0), reach_um=1)
    inside = distance <= 0
    assert (inside == inside[:1]).all()
    assert inside[0].sum(0).max() == inside[0].sum(1).max() == 17


def test_horizontal_tube_is_round_in_um_on_coarse_slices():
    segments = one_segment((20, 20, -50), (20, 20, 150), 8.0)
    distance, _ = signed_distance(segments, (21, 41, 11), (2.0, 1.0, 1.0), reach_um=1)
    section = distance[:, :, 5] <= 0
    assert section.any(1).sum() * 2.0 == pytest.approx(section.any(0).sum() * 1.0, abs=2.0)


def test_no_segments_give_nothing():
    none = np.zeros((0, 3))
    segments = Segments(none, none, np.zeros(0), np.zeros(0), np.zeros(0, np.int32))
    distance, owner = signed_distance(segments, (3, 4, 5), (1, 1, 1), reach_um=2)
    assert (distance == 2).all()
    assert (owner == -1).all()
