from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_vesselkd.volume import AxisView, LazyArray
from napari_vesselkd.volume.lazy import axis_chunks, full_index

BASE = np.arange(2 * 3 * 5 * 7 * 6).reshape(2, 3, 5, 7, 6)


@pytest.mark.parametrize(
    ("base", "axes", "fixed", "expected"),
    [
        (BASE, "tczyx", {"c": 2}, BASE[0, 2]),
        (BASE[0], "czyx", {}, BASE[0, 0]),
        (BASE[0], "zcyx", {"c": 1}, BASE[0][:, 1]),
        (BASE[0, 0].T, "xyz", {}, BASE[0, 0]),
        (BASE[0, 0, 0], "yx", {}, BASE[0, 0, 0][np.newaxis]),
        (BASE[0, 0, 0].T, "xy", {}, BASE[0, 0, 0][np.newaxis]),
        (np.moveaxis(BASE[0], 0, -1), "zyxs", {"s": 2}, BASE[0, 2]),
    ],
)
def test_a_view_brings_any_axes_to_zyx(
    base: np.ndarray, axes: str, fixed: dict[str, int], expected: np.ndarray
) -> None:
    view = AxisView(base, axes, fixed)
    assert view.shape == expected.shape
    assert isinstance(view, LazyArray)
    np.testing.assert_array_equal(np.asarray(view), expected)


keys = st.one_of(
    st.integers(-5, 4),
    st.builds(slice, st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([None, 1, 2, 3, -1, -2])),
)


@given(st.lists(keys, max_size=3), st.booleans())
def test_a_view_indexes_like_numpy(entries: list[int | slice], ellipsis: bool) -> None:
    expected = BASE[0, 1]
    view = AxisView(BASE[0].transpose(0, 3, 2, 1), "cxyz", {"c": 1})
    index = (*entries, ...) if ellipsis else tuple(entries)
    np.testing.assert_array_equal(view[index], expected[index])


def test_a_view_of_one_slice_indexes_its_missing_axis() -> None:
    view = AxisView(BASE[0, 0, 0], "yx")
    np.testing.assert_array_equal(view[0, 2:4], BASE[0, 0, 0][2:4])
    assert view[1:].shape == (0, 7, 6)
    with pytest.raises(IndexError, match="out of bounds"):
        view[1]


@pytest.mark.parametrize("index", [(0, 0, 0, 0), (..., ...), [0, 1], np.array([True]), "z", None])
def test_an_index_that_is_not_basic_is_refused(index: object) -> None:
    with pytest.raises(IndexError):
        full_index(index, 3)


def test_a_view_reads_no_more_than_asked() -> None:
    class Recorder:
        shape, dtype = (100, 100, 100), np.dtype(np.uint8)
        read = 0

        def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
            block = np.zeros([len(range(*key.indices(100))) for key in index], np.uint8)
            self.read += block.size
            return block

    base = Recorder()
    AxisView(base, "zyx")[3, 10:20, ::-10]
    assert base.read == 1 * 10 * 10


def test_files_without_chunks_are_read_by_slices() -> None:
    assert axis_chunks(BASE[0], "czyx") == (1, 7, 6)
    assert axis_chunks(BASE[0, 0, 0], "yx") == (1, 7, 6)
