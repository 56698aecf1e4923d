"""Pieces, loops and cavities: of known shapes, and as an independent library counts them."""

import gudhi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.measure import betti
from napari_vesselkd.measure.betti import BettiNumbers, betti_numbers


def solid(shape=(7, 7, 7)):
    mask = np.zeros(shape, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    return mask


def ring():
    mask = solid((3, 7, 7))
    mask[:, 3, 3] = False
    return mask


def hollow():
    mask = solid()
    mask[3, 3, 3] = False
    return mask


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (np.zeros((3, 3, 3), bool), (0, 0, 0)),
        (np.ones((3, 3, 3), bool), (1, 0, 0)),
        (solid(), (1, 0, 0)),
        (ring(), (1, 1, 0)),
        (hollow(), (1, 0, 1)),
        (np.concatenate([ring(), hollow()[:, :, :]]), (2, 1, 1)),
    ],
)
def test_shapes_have_their_numbers(mask, expected):
    assert betti_numbers(mask).as_tuple() == expected


def test_voxels_that_touch_at_a_corner_are_one_piece():
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert betti_numbers(mask) == BettiNumbers(1, 0, 0)


def test_errors_are_differences_without_sign():
    assert BettiNumbers(3, 1, 0).errors(BettiNumbers(1, 4, 2)) == (2, 3, 2)


@given(seed=st.integers(0, 10_000), density=st.floats(0.05, 0.95), shape=st.tuples(*[st.integers(2, 8)] * 3))
@settings(max_examples=60, deadline=None)
def test_they_are_what_gudhi_counts(seed, density, shape):
    mask = np.random.default_rng(seed).random(shape) < density
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=np.where(mask, 0.0, 1.0))
    complex_.compute_persistence(homology_coeff_field=2, min_persistence=0)
    counted = (complex_.persistent_betti_numbers(0.0, 0.5) + [0, 0, 0])[:3]
    assert list(betti_numbers(mask).as_tuple()) == counted


@given(seed=st.integers(0, 10_000), density=st.floats(0.05, 0.95), planes=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_the_thickness_of_slabs_changes_nothing(seed, density, planes):
    mask = np.random.default_rng(seed).random((planes, 6, 6)) < density
    whole = betti_numbers(mask)
    with pytest.MonkeyPatch.context() as patch:
        for slab in (1, 2, 3):
            patch.setattr(betti, "SLAB", slab)
            assert betti_numbers(mask) == whole
