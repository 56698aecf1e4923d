"""Promises of the uncertainty per cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.geometry import Region
from napari_vesselkd.inference import Backend, Predictor
from napari_vesselkd.inference.uncertainty import entropy_sample, every_second, mean_per_cell, sample_box
from napari_vesselkd.models import Student, StudentConfig, folding, freeze_statistics

SHAPE, CELL = (21, 34, 40), (8, 9, 16)


@st.composite
def regions(draw):
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    return Region(tuple(start), tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, SHAPE, strict=True)))


def test_the_entropy_is_that_of_the_formula_and_finite_for_sure_predictions():
    logits = np.array([-200, -3, -0.5, 0, 0.5, 3, 200], np.float32).reshape(1, 1, 7).repeat(2, axis=2)
    found = entropy_sample(logits, Region.whole(logits.shape))[0, 0]
    p = 1 / (1 + np.exp(-np.array([-3, -0.5, 0, 0.5, 3])))
    np.testing.assert_allclose(found[1:-1], -p * np.log2(p) - (1 - p) * np.log2(1 - p), rtol=1e-5)
    assert found[0] == found[-1] == 0
    assert found[3] == 1


@given(target=regions())
@settings(deadline=None, max_examples=60)
def test_the_mean_is_that_of_the_even_voxels_of_each_cell(target):
    logits = np.random.default_rng(0).normal(0, 3, SHAPE).astype(np.float32)
    sample = entropy_sample(logits[target.slices], target)
    assert sample.shape == sample_box(target).shape
    whole = entropy_sample(logits, Region.whole(SHAPE))
    expected = np.full(SHAPE, np.nan)
    expected[::2, ::2, ::2] = whole
    outside = np.ones(SHAPE, bool)
    outside[target.slices] = False
    expected[outside] = np.nan
    found = mean_per_cell(sample, target, CELL)
    first = [low // side for low, side in zip(target.start, CELL, strict=True)]
    for index in np.ndindex(found.shape):
        at = tuple(
            slice((i + low) * side, (i + low + 1) * side)
            for i, low, side in zip(index, first, CELL, strict=True)
        )
        values = expected[at][~np.isnan(expected[at])]
        if values.size:
            np.testing.assert_allclose(found[index], values.mean(), rtol=1e-5)
        else:
            assert np.isnan(found[index])


@pytest.mark.parametrize(
    "engine",
    [
        "torch",
        "openvino",
        pytest.param(
            "onednn", marks=pytest.mark.skipif(not folding.is_at_hand(), reason="needs oneDNN on x86")
        ),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stem", [(2, 2, 2), (1, 2, 2), (3, 2, 1)])
def test_labels_and_sample_of_one_pass_are_those_of_the_logits(engine, precision, stem):
    torch.manual_seed(0)
    model = Student(StudentConfig(widths=(4, 8), stem_stride=stem, strides=(2, 2))).eval()
    shape = tuple(16 * side for side in stem)
    freeze_statistics(model, [torch.rand(1, 1, *shape)])
    predictor = Predictor(model, 1.5, Backend("cpu", precision, engine))
    voxels = np.random.default_rng(0).random(shape, np.float32)
    plan = predictor.student.plan(shape)
    context = predictor.context(voxels)
    logits = predictor.logits(voxels, context, plan)
    threshold = float(1 / (1 + np.exp(-np.median(logits))))
    expected = predictor.labels(voxels, context, plan, threshold)
    assert 0.2 < expected.mean() < 0.8
    for first in ((0, 0, 0), (1, 0, 0), (1, 0, 1)):
        if any(low and not side % 2 for low, side in zip(first, stem, strict=True)):
            continue  # a core begins at a multiple of the cell
        labels, sample = predictor.labels_and_sample(voxels, context, plan, threshold, first)
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_allclose(sample, every_second(logits, first), atol=1e-6)
