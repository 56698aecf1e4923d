from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, entropy

from fake_codes import FakeCodes
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.patterns import cells
from napari_vesselkd.patterns.usage import Usage, compare_usage, counting, usage
from napari_vesselkd.reports import Progress
from napari_vesselkd.volume import volume_from_arrays


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(0, 7, (9, 10, 11))


def of_counts(*boxes):
    counts = np.asarray(boxes, np.int64)
    return Usage(counts, int(counts.sum()))


def test_usage_counts_each_code_once_and_leaves_out_what_is_not_computed(tmp_path, codes):
    codes[:3, :5] = -1
    found = usage(FakeCodes(tmp_path, codes, code_count=9))
    np.testing.assert_array_equal(found.counts, [(codes == code).sum() for code in range(9)])
    assert (found.cells, found.asked) == ((codes >= 0).sum(), codes.size)
    assert found.computed == pytest.approx(1 - 3 * 5 * 11 / codes.size)
    assert found.used == 7
    assert found.dead == (7, 8)


def test_usage_of_a_region_is_that_of_the_array_cut_there(tmp_path, codes):
    region = Region((1, 3, 2), (8, 9, 11))
    found = usage(FakeCodes(tmp_path, codes), region)
    np.testing.assert_array_equal(found.counts, np.bincount(codes[region.slices].ravel(), minlength=7))


def test_perplexity_is_the_exponential_of_scipys_entropy(tmp_path, codes):
    found = usage(FakeCodes(tmp_path, codes))
    assert found.perplexity == pytest.approx(np.exp(entropy(np.bincount(codes.ravel()))))
    assert of_counts([5, 5, 5, 0]).perplexity == pytest.approx(3)


def test_rare_codes_are_used_but_less_than_a_tenth_of_an_even_spread():
    found = of_counts([0, 9, 10, 181, 200])  # 400 cells, 5 codes: even is 80, a tenth of it 8
    assert found.rare == ()
    assert of_counts([0, 7, 8, 185, 200]).rare == (1,)


def test_nothing_computed_has_no_perplexity_and_no_share(tmp_path):
    found = usage(FakeCodes(tmp_path, np.full((3, 3, 3), -1), code_count=4))
    assert np.isnan(found.perplexity)
    assert (found.cells, found.computed, found.used, found.dead) == (0, 0.0, 0, (0, 1, 2, 3))
    assert found.to_dict()["perplexity"] is None


@pytest.mark.parametrize("stride", [(4, 4, 4), (8, 4, 2)])
@pytest.mark.parametrize("store", [True, False])
def test_only_cells_with_a_vessel_voxel_are_counted(tmp_path, codes, stride, store):
    volume_shape = tuple(n * s - 1 for n, s in zip(codes.shape, stride, strict=True))  # last cells are cut
    labels = (np.random.default_rng(1).random(volume_shape) > 0.99).astype(np.uint8)
    labels[-1, -1, -1] = 1
    if store:
        where = LabelStore.create(tmp_path / "l.ome.zarr", volume_shape, (1, 1, 1), chunk=(16, 16, 16))
        where.write(Region.whole(volume_shape), labels)
    else:
        where = volume_from_arrays([labels], voxel_size_um=(1, 1, 1))
    found = usage(FakeCodes(tmp_path / "m", codes, stride=stride, volume_shape=volume_shape), None, where)
    vessel = np.zeros(codes.shape, bool)
    for at in np.argwhere(labels):
        vessel[tuple(at // stride)] = True
    np.testing.assert_array_equal(found.counts, np.bincount(codes[vessel], minlength=7))
    assert found.asked == vessel.sum() > 0


def test_vessels_are_read_from_the_coarsest_level_whose_voxels_lie_inside_cells(tmp_path):
    shape = (64, 700, 64)
    store = LabelStore.create(tmp_path / "l.ome.zarr", shape, (4.0, 1.0, 1.0))
    assert len(store.levels) == 3  # 64x350x32, 64x175x16
    expected = {(32, 32, 32): (2, (1, 4, 4)), (2, 2, 2): (1, (1, 2, 2)), (3, 3, 3): (0, (1, 1, 1))}
    for stride, level_and_factors in expected.items():
        vessels = cells.VesselCells(store, SimpleNamespace(stride=stride, volume_shape=shape))
        assert (vessels.level, vessels.factors) == level_and_factors


def test_each_chunk_of_the_map_is_read_once_whatever_is_asked_at_a_time(tmp_path, codes, monkeypatch):
    fake = FakeCodes(tmp_path, codes)  # chunks of 4: 3 x 3 x 3
    for size in (1, 100, 10**6):
        monkeypatch.setattr(cells, "READ_CELLS", size)
        fake.store.chunks.clear()
        usage(fake)
        assert fake.chunks_read == len(set(fake.store.chunks)) == 27


def test_labels_are_read_in_bounded_pieces_and_progress_goes_to_the_end(tmp_path, codes, monkeypatch):
    shape = tuple(4 * n for n in codes.shape)
    labels = volume_from_arrays([np.ones(shape, np.uint8)], voxel_size_um=(1, 1, 1))
    sizes, read = [], type(labels).read
    monkeypatch.setattr(cells, "READ_VOXELS", 4096)
    monkeypatch.setattr(
        type(labels), "read", lambda self, box, level=0: (sizes.append(box.size), read(self, box, level))[1]
    )
    *progress, last = counting(FakeCodes(tmp_path, codes), None, labels)
    assert max(sizes) <= 4096
    assert sum(sizes) == labels.size
    assert all(isinstance(one, Progress) for one in progress)
    assert (progress[-1].done, progress[-1].total) == (codes.size, codes.size)
    assert last.cells == codes.size


def test_labels_of_another_shape_and_regions_outside_are_refused(tmp_path, codes):
    fake = FakeCodes(tmp_path, codes)
    with pytest.raises(InvalidInputError, match="another shape"):
        usage(fake, None, volume_from_arrays([np.zeros((4, 4, 4), np.uint8)], voxel_size_um=(1, 1, 1)))
    with pytest.raises(RegionError):
        usage(fake, Region((0, 0, 0), (10, 10, 11)))


def test_divergence_is_scipys_squared_distance_in_bits():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 50, (2, 12, 20))
    found = compare_usage(of_counts(*a), of_counts(*b))
    expected = jensenshannon(a.sum(0), b.sum(0), base=2) ** 2
    assert found.jensen_shannon == pytest.approx(expected)
    assert found.contribution.sum() == pytest.approx(expected)
    assert (np.diff(found.contribution[found.order]) <= 0).all()


def test_equal_usage_does_not_differ_and_disjoint_usage_differs_by_one_bit():
    same = of_counts([3, 4, 0], [5, 1, 2])
    assert compare_usage(same, same).jensen_shannon == 0
    assert compare_usage(same, same).p == 1
    np.testing.assert_allclose(compare_usage(same, same).log2_ratio, 0)
    assert compare_usage(of_counts([4, 0]), of_counts([0, 9])).jensen_shannon == pytest.approx(1)


def test_ratio_is_that_of_the_shares_with_half_a_cell_more():
    found = compare_usage(of_counts([30, 10, 0]), of_counts([10, 10, 20]))
    expected = np.log2(np.array([30.5, 10.5, 0.5]) / 41.5 / (np.array([10.5, 10.5, 20.5]) / 41.5))
    np.testing.assert_allclose(found.log2_ratio, expected)
    assert found.interval == "cells"
    assert 2 in found.certain
    assert 1 not in found.certain


def test_interval_of_independent_cells_is_that_of_scipys_exact_binomial():
    found = compare_usage(of_counts([30, 70, 0]), of_counts([10, 150, 40]))
    for code, (one, other) in enumerate([(30, 10), (70, 150), (0, 40)]):
        theta = binomtest(one, one + other).proportion_ci(0.95, "exact")
        for bound, share in ((found.low, theta.low), (found.high, theta.high)):
            expected = -np.inf if share == 0 else np.log2(share / (1 - share) * 200 / 100)
            assert bound[code] == pytest.approx(expected)
    assert found.to_dict()["low"][2] is None


def test_codes_that_neither_uses_do_not_differ_whatever_the_totals():
    rng = np.random.default_rng(0)
    few, many = rng.multinomial(25, [0.5, 0.5], 10), rng.multinomial(2500, [0.5, 0.5], 10)
    few, many = (np.pad(one, ((0, 0), (0, 3))) for one in (few, many))
    for boxes in (10, 1):
        found = compare_usage(of_counts(*few[:boxes]), of_counts(*many[:boxes]))
        assert found.certain == ()
        assert (found.log2_ratio[2:] == 0).all()
        assert np.isinf(found.low[2:]).all()


def test_a_code_met_once_in_a_hundred_times_as_many_cells_does_not_surely_differ():
    """The smaller sample would hold it .01 or 1 times: that it does not says nothing."""
    for times in (1, 100):
        large = [[250 * 100 - times, times], *[[250 * 100, 0]] * 9]
        assert compare_usage(of_counts(*large), of_counts(*[[250, 0]] * 10)).certain == ()


def clumped(rng, boxes=40, cells=50):
    """Return counts of boxes that each have codes of their own liking: neighbours are alike."""
    liking = rng.dirichlet(np.full(6, 0.4), boxes)
    return of_counts(*[rng.multinomial(cells, one) for one in liking])


def test_intervals_and_p_hold_where_neighbouring_cells_are_alike():
    """Two samples of one distribution: about 5 % of intervals may miss 0, and of p lie below .05."""
    rng = np.random.default_rng(5)
    missed, surprising, naive, any_certain = [], [], [], []
    for _ in range(80):
        a, b = clumped(rng), clumped(rng)
        found = compare_usage(a, b)
        assert found.interval == "boxes"
        missed.append((found.low > 0) | (found.high < 0))
        surprising.append(found.p < 0.05)
        any_certain.append(bool(found.certain))
        whole = compare_usage(*(of_counts(one.counts) for one in (a, b)))
        naive.append((whole.low > 0) | (whole.high < 0))
    assert 0.02 <= np.mean(missed) <= 0.1
    assert np.mean(surprising) <= 0.13
    assert np.mean(any_certain) <= 0.13
    assert np.mean(naive) > 0.3  # what the boxes are for


def test_a_real_difference_is_found():
    rng = np.random.default_rng(6)
    a, b = clumped(rng), clumped(rng)
    more = b.boxes.copy()
    more[:, 2] += 25
    found = compare_usage(a, of_counts(*more))
    assert found.order[0] == 2
    assert found.certain[0] == 2
    assert found.high[2] < -0.5
    assert found.p <= 0.005


def test_usage_of_other_codebooks_or_of_nothing_is_refused():
    with pytest.raises(InvalidInputError, match="different size"):
        compare_usage(of_counts([1, 2]), of_counts([1, 2, 3]))
    with pytest.raises(InvalidInputError, match="Nothing is computed"):
        compare_usage(of_counts([1, 2]), of_counts([0, 0]))


def test_a_large_codebook_is_compared_in_bounded_batches():
    counts = np.random.default_rng(0).integers(0, 3, (16, 15_625))
    found = compare_usage(of_counts(*counts), of_counts(*counts[::-1]))
    assert found.jensen_shannon == pytest.approx(0, abs=1e-12)
    assert found.low.shape == (15_625,)
    assert ((found.low <= 0) & (found.high >= 0)).all()
