from itertools import permutations

import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import InvalidInputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns import cells, comparison
from napari_vesselkd.patterns.comparison import changed_cells, compare_maps

SHAPE = (6, 9, 10)


@pytest.fixture
def both():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, SHAPE)
    second = np.where(rng.random(SHAPE) < 0.3, rng.integers(0, 5, SHAPE), first)
    return first, second


def maps(tmp_path, first, second, **options):
    options = {"code_count": 5, **options}
    return FakeCodes(tmp_path / "a", first, **options), FakeCodes(tmp_path / "b", second, **options)


def result_of(task):
    *_, last = task
    return last


@pytest.mark.parametrize("region", [None, Region((1, 2, 3), (5, 9, 7))])
def test_the_share_the_codes_and_the_pairs_are_those_of_looking_at_every_cell(tmp_path, both, region):
    first, second = (one.copy() for one in both)
    first[0, :3], second[0, 2:5] = -1, -1
    found = result_of(compare_maps(*maps(tmp_path, first, second), region))
    at = (region or Region.whole(SHAPE)).slices
    pairs = [(a, b) for a, b in zip(first[at].flat, second[at].flat, strict=True) if a >= 0 and b >= 0]
    changed = [(a, b) for a, b in pairs if a != b]
    assert (found.cells, found.compared, found.changed) == (first[at].size, len(pairs), len(changed))
    assert found.share == len(changed) / len(pairs)
    assert found.before.tolist() == [sum(a == code for a, _ in pairs) for code in range(5)]
    assert found.changed_before.tolist() == [sum(a == code for a, _ in changed) for code in range(5)]
    expected = {one: changed.count(one) for one in set(changed)}
    assert {(a, b): n for a, b, n in found.pairs.tolist()} == expected
    assert (np.diff(found.pairs[:, 2]) <= 0).all()


def test_codes_that_only_have_other_numbers_are_found_not_to_have_changed(tmp_path, both):
    names = np.array([3, 0, 4, 1, 2])
    found = result_of(compare_maps(*maps(tmp_path, both[0], names[both[0]])))
    assert found.share > 0.7
    assert found.share_matched == 0
    assert found.matching.tolist() == names.tolist()


@pytest.mark.parametrize("largest", [2**22, 0])
def test_renaming_agrees_in_as_many_cells_as_any_can(tmp_path, both, monkeypatch, largest):
    monkeypatch.setattr(comparison, "LARGEST_TABLE", largest)
    first, second = both
    found = result_of(compare_maps(*maps(tmp_path, first, np.array([1, 2, 3, 4, 0])[second])))
    renamed = np.array([1, 2, 3, 4, 0])[second]
    best = max(np.count_nonzero(np.array(one)[first] == renamed) for one in permutations(range(5)))
    assert found.changed_matched == first.size - best


def test_each_chunk_of_both_maps_is_read_once(tmp_path, both, monkeypatch):
    monkeypatch.setattr(cells, "READ_CELLS", 200)
    a, b = maps(tmp_path, *both)
    *progress, _ = compare_maps(a, b)
    assert len(progress) > 3
    assert progress[-1].done == progress[-1].total == both[0].size
    for one in (a, b):
        assert one.chunks_read == len(set(one.store.chunks)) == 2 * 3 * 3


def test_the_changed_cells_are_an_array_that_reads_only_what_is_looked_at(tmp_path, both):
    first, second = (one.copy() for one in both)
    first[0], second[:, 0] = -1, -1
    a, b = maps(tmp_path, first, second)
    expected = ((first != second) & (first >= 0) & (second >= 0)).astype(np.uint8)
    changed = changed_cells(a, b)
    assert (changed.shape, changed.dtype, changed.chunks) == (SHAPE, np.uint8, (4, 4, 4))
    a.store.chunks.clear()
    np.testing.assert_array_equal(changed[1, 5:8, ::-2], expected[1, 5:8, ::-2])
    assert a.chunks_read == 3
    np.testing.assert_array_equal(np.asarray(changed), expected)


def test_maps_with_nothing_in_common_have_no_share(tmp_path):
    nothing = np.full(SHAPE, -1)
    found = result_of(compare_maps(*maps(tmp_path, nothing, np.zeros(SHAPE))))
    assert (found.compared, found.share, found.share_matched, len(found.pairs)) == (0, 0.0, 0.0, 0)


def test_codebooks_of_different_size_can_be_compared(tmp_path, both):
    a = FakeCodes(tmp_path / "a", both[0], code_count=5)
    b = FakeCodes(tmp_path / "b", both[0] // 2, code_count=3)
    found = result_of(compare_maps(a, b))
    assert sorted(found.matching.tolist())[:2] == [-1, -1]
    assert found.before.shape == (5,)


def test_maps_of_other_images_levels_or_cells_are_refused_at_once(tmp_path, both):
    a = FakeCodes(tmp_path / "a", both[0])
    others = [
        {"signature": "two"},
        {"volume_shape": (23, 36, 40)},
        {"stride": (4, 4, 2), "volume_shape": (24, 36, 40)},
    ]
    for number, wrong in enumerate(others):
        b = FakeCodes(tmp_path / f"b{number}", both[1], **wrong)
        for function in (compare_maps, changed_cells):
            with pytest.raises(InvalidInputError, match="different"):
                function(a, b)
    with pytest.raises(RegionError):
        compare_maps(a, a, Region((0, 0, 0), (7, 1, 1)))
