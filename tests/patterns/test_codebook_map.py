import numpy as np
import pytest

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.patterns.codebook_map import codebook_map


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(50, 6)) * [5, 3, 1, 0.5, 0.2, 0.1] + 7).astype(np.float32)


def test_it_is_the_projection_on_the_eigenvectors_of_the_covariance(table):
    found = codebook_map(table)
    covariance = np.cov(table.T.astype(float), bias=True)
    values, vectors = np.linalg.eigh(covariance)
    expected = (table - table.mean(0)) @ vectors[:, [-1, -2]]
    for axis in range(2):
        same = np.corrcoef(found.points[:, axis], expected[:, axis])[0, 1]
        assert abs(same) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(found.explained, values[[-1, -2]] / values.sum(), rtol=1e-5)


def test_the_signs_do_not_depend_on_the_order_of_the_codes_or_the_library(table):
    found = codebook_map(table)
    for axis in range(2):
        assert found.points[np.abs(found.points[:, axis]).argmax(), axis] > 0
    order = np.random.default_rng(1).permutation(len(table))
    np.testing.assert_allclose(codebook_map(table[order]).points, found.points[order], atol=1e-9)


def test_weights_are_repetitions(table):
    counts = np.random.default_rng(2).integers(0, 4, len(table))
    repeated = codebook_map(np.repeat(table, counts, axis=0))
    weighted = codebook_map(table, counts)
    np.testing.assert_allclose(weighted.explained, repeated.explained, rtol=1e-6)
    points = np.abs(np.repeat(weighted.points, counts, axis=0))
    np.testing.assert_allclose(points, np.abs(repeated.points), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (5, 1), (3, 2)])
def test_small_codebooks_have_a_map_with_zeros_where_there_is_no_axis(shape):
    found = codebook_map(np.random.default_rng(0).normal(size=shape))
    assert found.points.shape == (shape[0], 2)
    assert np.isfinite(found.points).all()
    assert sum(found.explained) == pytest.approx(1.0 if shape[0] > 1 else 0.0)


def test_what_is_no_codebook_is_refused(table):
    for wrong in (np.zeros((0, 3)), np.zeros(4), np.full((2, 2), np.nan)):
        with pytest.raises(InvalidInputError, match="codebook"):
            codebook_map(wrong)
    for weights in (np.zeros(50), np.ones(49), -np.ones(50)):
        with pytest.raises(InvalidInputError, match="weights"):
            codebook_map(table, weights)
