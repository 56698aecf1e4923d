"""Promises of the context store."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from napari_vesselkd.inference.context import ContextStore, boxes_of

WHOLE = (7, 9, 11)
VALUES = np.random.default_rng(0).random((2, *WHOLE)).astype(np.float32)


def fill(store, window, largest=(4, 4, 4)):
    boxes = store.claim(window, largest)
    for box in boxes:
        store.add(box, VALUES[(slice(None), *box.slices)])
    return boxes


@given(st.integers(0, 2**20 - 1))
@settings(deadline=None)
def test_boxes_cover_a_mask_once(bits):
    mask = np.array([bits >> n & 1 for n in range(20)], bool).reshape(2, 2, 5)
    count = np.zeros(mask.shape, int)
    for box in boxes_of(mask, (1, 2, 3)):
        assert all(side <= most for side, most in zip(box.shape, (1, 2, 3), strict=True))
        count[box.slices] += 1
    np.testing.assert_array_equal(count, mask)


def test_a_window_is_what_was_added_and_nothing_is_claimed_twice():
    store = ContextStore(WHOLE, (2, 2, 4), 1 << 20)
    first, second = Region((1, 1, 1), (5, 5, 9)), Region((0, 3, 2), (7, 9, 11))
    assert store.window(first) is None
    fill(store, first)
    assert store.claim(first, (4, 4, 4)) == []
    np.testing.assert_array_equal(store.window(first), VALUES[:, 1:5, 1:5, 1:9])
    added = fill(store, second)
    np.testing.assert_array_equal(store.window(second), VALUES[:, :7, 3:9, 2:11])
    touched = Region((0, 0, 0), (6, 6, 11))
    assert not any(touched.contains(box) for box in added)


def test_the_least_used_is_forgotten_and_the_window_in_use_never():
    store = ContextStore(WHOLE, (1, 9, 11), 3 * VALUES[:, :1].nbytes)
    for z in range(7):
        window = Region((z, 0, 0), (z + 1, 9, 11))
        fill(store, window)
        assert store.window(window) is not None
        assert store.bytes <= store.limit
    assert store.window(Region((0, 0, 0), (1, 9, 11))) is None
    fill(store, Region.whole(WHOLE))
    np.testing.assert_array_equal(store.window(Region.whole(WHOLE)), VALUES)


def test_what_is_forgotten_or_given_up_is_claimed_again():
    store = ContextStore(WHOLE, (7, 9, 11), 1 << 20)
    whole = Region.whole(WHOLE)
    assert store.claim(whole, (1, 1, 1)) == [whole]
    assert store.claim(whole, (1, 1, 1)) == []
    assert store.claim(whole, (1, 1, 1), again=True) == [whole]
    store.unclaim(whole)
    assert store.claim(whole, (1, 1, 1)) == [whole]
