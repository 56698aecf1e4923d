import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_vesselkd.patterns.centrelines import centrelines, pieces
from napari_vesselkd.phantoms.raster import Segments, signed_distance


def tube(points, radius, shape, size):
    """Return the voxels within `radius` um of a path of points in um."""
    count = len(points) - 1
    radii = np.full(count, float(radius))
    segments = Segments(points[:-1], points[1:], radii, radii, np.zeros(count, np.int32))
    distance, _ = signed_distance(
        segments, shape, size, reach_um=0.5 * max(size), inflation_um=(0.0, 0.0, 0.0)
    )
    return distance <= 0


def oblique(size, seed, extent=48):
    """Return a shape and the two ends of a straight line that crosses it at a random angle."""
    rng = np.random.default_rng(seed)
    way = rng.normal(size=3)
    way *= 2 * extent / np.linalg.norm(way)
    middle = extent / 2 + rng.normal(size=3)
    return tuple(int(extent / one) for one in size), np.stack([middle - way, middle + way])


def away_from_the_border(positions, shape):
    low = np.asarray(shape) // 6
    return np.all((positions >= low) & (positions < np.asarray(shape) - low), axis=1)


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.0, 0.5, 0.5)])
@pytest.mark.parametrize("radius", [2.0, 3.0, 5.0, 8.0])
def test_the_radius_is_that_of_a_tube_at_any_angle(size, radius):
    found = []
    for seed in range(4):
        shape, line = oblique(size, seed)
        lines = centrelines(tube(line, radius, shape, size), size)
        found.append(lines.radius_um[away_from_the_border(lines.positions, shape)].mean())
    assert np.mean(found) == pytest.approx(radius, rel=0.1)


def test_each_of_two_tubes_has_its_own_radius():
    size, shape = (1.0, 1.0, 1.0), (24, 64, 64)
    thin = tube(np.array([[9.0, 13, -20], [15, 20, 90]]), 2.5, shape, size)
    thick = tube(np.array([[9.0, 41, -20], [15, 48, 90]]), 7.0, shape, size)
    found = centrelines(thin | thick, size)
    upper = found.positions[:, 1] < 30
    assert found.radius_um[upper].mean() == pytest.approx(2.5, abs=0.3)
    assert found.radius_um[~upper].mean() == pytest.approx(7.0, abs=0.4)


def test_the_border_of_the_array_is_no_wall():
    mask = np.zeros((9, 9, 40), bool)
    mask[:, 2:7] = True  # a plate that is 5 thick and goes on beyond the array
    assert centrelines(mask, (1.0, 1.0, 1.0)).radius_um == pytest.approx(3.0)


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_have_no_radius(value):
    found = centrelines(np.full((5, 6, 7), value), (1.0, 1.0, 1.0))
    assert np.isnan(found.radius_um).all()
    assert len(found.radius_um) == len(found.positions)


def test_one_slice_has_centrelines():
    mask = np.zeros((1, 20, 40), bool)
    mask[0, 8:13] = True
    found = centrelines(mask, (5.0, 1.0, 1.0))
    assert set(found.positions[:, 1]) <= {9, 10, 11}
    assert found.radius_um == pytest.approx(3.0)


def of_one_cell(positions, size=(1.0, 1.0, 1.0), shortest=5.0):
    return pieces(positions, np.zeros(len(positions), np.int64), size, shortest)


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0)])
def test_straight_vessels_have_tortuosity_one_at_any_angle(size):
    for seed in range(4):
        shape, line = oblique(size, seed)
        positions = centrelines(tube(line, 3.0, shape, size), size).positions
        positions = positions[away_from_the_border(positions, shape)]
        found = of_one_cell(positions, size)
        assert 1.0 <= found.arc_um.sum() / found.chord_um.sum() < 1.05


def test_a_half_circle_is_half_pi_times_as_long_as_its_chord():
    angle = np.linspace(-np.pi / 2, np.pi / 2, 60)
    path = 40 + 20 * np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=1)
    positions = centrelines(tube(path, 2.0, (80, 80, 80), (1.0, 1.0, 1.0)), (1.0, 1.0, 1.0)).positions
    found = of_one_cell(positions)
    assert len(found.arc_um) == 1
    assert found.arc_um[0] / found.chord_um[0] == pytest.approx(np.pi / 2, rel=0.06)


def drawn(*lines):
    """Return the voxels of straight lines along an axis, (start, axis, length) each, once."""
    step = np.eye(3, dtype=int)
    return np.unique([start + step[axis] * i for start, axis, n in lines for i in range(n)], axis=0)


def test_a_straight_row_of_voxels_is_exactly_as_long_as_it_is():
    found = of_one_cell(drawn(((0, 0, 0), 2, 21)), (1.0, 1.0, 0.5))
    assert found.arc_um == pytest.approx([10.0])
    assert found.chord_um == pytest.approx([10.0])


def test_branches_are_pieces_of_their_own():
    cross = drawn(((0, 10, 0), 2, 21), ((0, 0, 10), 1, 21))
    found = of_one_cell(cross)
    assert len(found.arc_um) == 4
    np.testing.assert_allclose(found.chord_um, 9 - 1, atol=1.01)
    assert (found.arc_um / found.chord_um < 1.03).all()


def test_a_path_is_cut_where_cells_meet_and_each_part_goes_to_its_cell():
    row = drawn(((0, 0, 0), 2, 30))
    found = pieces(row, row[:, 2] // 10 + 5, (1.0, 1.0, 1.0), 5.0)
    assert sorted(found.cell.tolist()) == [5, 6, 7]
    np.testing.assert_allclose(found.arc_um, 9.0)


def test_short_pieces_and_loops_say_nothing():
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = 20 + 8 * np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=1)
    ring = np.unique(np.rint(circle).astype(int), axis=0)
    assert len(of_one_cell(ring).arc_um) == 0
    assert len(of_one_cell(drawn(((0, 0, 0), 2, 5))).arc_um) == 0
    for nothing in (np.zeros((0, 3), int), np.zeros((1, 3), int), np.array([[0, 0, 0], [9, 9, 9]])):
        assert len(of_one_cell(nothing).arc_um) == 0


def test_every_piece_of_a_random_network_has_an_arc_no_shorter_than_its_chord():
    mask = gaussian_filter(np.random.default_rng(0).normal(size=(40, 40, 40)), 2) > 0.05
    positions = centrelines(mask, (1.0, 1.0, 1.0)).positions
    found = pieces(positions, positions[:, 0] // 20, (1.0, 1.0, 1.0), 4.0)
    assert len(found.arc_um) > 20
    assert (found.arc_um >= found.chord_um - 1e-9).all()
    assert (found.arc_um < 4 * found.chord_um).all()
