import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.phantoms.appearance import NAMES, draw_appearance
from napari_vesselkd.phantoms.config import MODALITIES, SCENES, draw_open_fields


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"shape": (0, 8, 8)}, "shape"),
        ({"shape": (8, 8)}, "shape"),
        ({"shape": (8, 8.5, 8)}, "shape"),
        ({"shape": (8, 8, -1)}, "shape"),
        ({"shape": (100_000, 100_000, 100_000)}, "shape"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"voxel_size_um": (0, 1, 1)}, "voxel size"),
        ({"voxel_size_um": (1, math.nan, 1)}, "voxel size"),
        ({"scene": "brain"}, "scene"),
        ({"modality": "x-ray"}, "modality"),
        ({"density": 1.2}, "density"),
        ({"density": math.nan}, "density"),
        ({"label_inflation": -0.1}, "label inflation"),
        ({"appearance": {"photon": 3}}, "photon"),
        ({"appearance": {"photons": 0}}, "photons"),
        ({"appearance": {"level": math.inf}}, "level"),
        ({"appearance": {"tail": -1}}, "tail"),
        ({"appearance": {"bits": 9}}, "bit depth"),
    ],
)
def test_values_that_cannot_be_used_are_refused_by_name(fields, named):
    with pytest.raises(InvalidInputError, match=named) as caught:
        PhantomConfig(**fields)
    assert caught.value.limit


@given(seed=st.integers(0, 2**40), modality=st.sampled_from(MODALITIES))
@settings(max_examples=60, deadline=None)
def test_open_fields_are_drawn_within_what_may_be_given(seed, modality):
    fields = draw_open_fields(PhantomConfig(seed=seed, modality=modality), np.random.default_rng(seed))
    again = PhantomConfig(**fields)
    assert again.scene in SCENES
    z, y, x = fields["voxel_size_um"]
    assert y == x
    assert 0.5 <= x <= 3.0
    assert 0.5 <= z <= 6.0
    look = draw_appearance(modality, fields["voxel_size_um"], {}, np.random.default_rng(seed))
    PhantomConfig(appearance={name: getattr(look, name) for name in NAMES})


def test_fixing_a_field_leaves_the_other_choices_alone():
    free = draw_open_fields(PhantomConfig(seed=5), np.random.default_rng(5))
    fixed = draw_open_fields(PhantomConfig(seed=5, density=0.5), np.random.default_rng(5))
    assert {**free, "density": 0.5} == fixed
    size = (2.0, 1.0, 1.0)
    free_look = draw_appearance("two_photon", size, {}, np.random.default_rng(1))
    fixed_look = draw_appearance("two_photon", size, {"photons": 50.0}, np.random.default_rng(1))
    assert fixed_look.photons == 50.0
    assert fixed_look.haze == free_look.haze
    assert fixed_look.offset == free_look.offset


def test_coarse_and_nearly_isotropic_sampling_both_occur():
    ratios = []
    for seed in range(60):
        z, _, x = draw_open_fields(PhantomConfig(), np.random.default_rng(seed))["voxel_size_um"]
        ratios.append(z / x)
    assert np.mean(np.array(ratios) > 1.99) > 0.2
    assert np.mean(np.array(ratios) < 1.5) > 0.2
