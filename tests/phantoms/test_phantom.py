import dataclasses
import subprocess
import sys
import zlib

import numpy as np
import pytest
from scipy import ndimage

from napari_vesselkd.phantoms import PhantomConfig, make_phantom, sample_phantom
from napari_vesselkd.phantoms.config import MODALITIES, SCENES
from napari_vesselkd.phantoms.network import segments_of
from napari_vesselkd.phantoms.raster import signed_distance

SMALL = PhantomConfig(shape=(12, 64, 64), seed=1)


def test_same_config_gives_identical_arrays():
    first, second = make_phantom(SMALL), make_phantom(SMALL)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)
    assert first.params == second.params


def test_another_process_makes_the_same_phantom():
    code = (
        "import zlib; from napari_vesselkd.phantoms import *;"
        "p = make_phantom(PhantomConfig(shape=(12, 64, 64), seed=1)); print(zlib.crc32(p.image.tobytes()))"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) == zlib.crc32(make_phantom(SMALL).image.tobytes())


def test_another_seed_gives_another_phantom():
    assert (make_phantom(SMALL).image != make_phantom(dataclasses.replace(SMALL, seed=2)).image).any()


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_and_modality_gives_a_usable_volume(scene, modality):
    config = PhantomConfig(shape=(10, 48, 48), seed=3, scene=scene, modality=modality)
    phantom = make_phantom(config)
    assert phantom.image.shape == phantom.label.shape == config.shape
    assert phantom.image.dtype == np.uint16
    assert phantom.label.dtype == np.uint8
    assert set(np.unique(phantom.label)) <= {0, 1}
    assert phantom.image.max() > phantom.image.min()


@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (12, 4095), (16, 65535)])
def test_bit_depth_bounds_the_image(bits, largest):
    look = {"bits": bits, "gain": 1.5, "level": 0.3}
    image = make_phantom(dataclasses.replace(SMALL, appearance=look)).image
    assert image.max() == largest


def test_label_is_the_tubes_of_the_graph_thickened_by_the_stated_amount():
    for inflation in (0.0, 1.1):
        phantom = make_phantom(dataclasses.replace(SMALL, label_inflation=inflation))
        distance, _ = signed_distance(
            segments_of(phantom.graph),
            SMALL.shape,
            phantom.voxel_size_um,
            reach_um=1.0,
            inflation_um=phantom.params["label_inflation_um"],
        )
        np.testing.assert_array_equal(phantom.label, distance <= 0)
    assert phantom.params["label_inflation_um"][2] == pytest.approx(
        1.1 * phantom.params["appearance"]["psf_xy_um"]
    )


def test_inflated_label_contains_the_bare_tubes():
    bare, fat = (make_phantom(dataclasses.replace(SMALL, label_inflation=f)).label for f in (0.0, 1.1))
    assert (fat[bare == 1] == 1).all()
    assert fat.sum() > bare.sum()


def test_vessels_are_brighter_than_their_surroundings():
    clear = 0
    for seed in range(8):
        phantom = make_phantom(PhantomConfig(shape=(16, 96, 96), seed=seed, density=0.7))
        vessel = phantom.label == 1
        if not 50 < vessel.sum() < vessel.size - 50:
            continue
        near = ndimage.binary_dilation(vessel, iterations=4) & ~ndimage.binary_dilation(vessel)
        if near.any():
            assert phantom.image[vessel].mean() > phantom.image[near].mean()
            clear += 1
    assert clear >= 5


def test_image_of_a_vertical_vessel_is_centred_on_its_label():
    look = {"jitter": 0.0, "shading": 0.0, "haze": 0.0, "debris": 0.0, "patches": 0.0, "bones": 0.0}
    for seed in range(4):
        config = PhantomConfig(
            shape=(12, 96, 96),
            seed=seed,
            scene="sparse",
            appearance={**look, "photons": 4000.0, "level": 0.01},
        )
        phantom = make_phantom(config)
        if phantom.label.sum() < 200:
            continue
        picture = phantom.image.astype(float) - np.median(phantom.image)
        shifts = [
            (phantom.label * np.roll(picture, s, axis=axis)).sum() for axis in (1, 2) for s in (-3, 0, 3)
        ]
        assert shifts[1] == max(shifts[:3])
        assert shifts[4] == max(shifts[3:])


def test_hollow_vessels_are_darker_inside_than_at_the_wall():
    config = PhantomConfig(
        shape=(24, 96, 96),
        seed=4,
        scene="pial",
        modality="light_sheet",
        voxel_size_um=(1.0, 1.0, 1.0),
        appearance={
            "hollow": 1.0,
            "wall_um": 1.5,
            "psf_z_um": 0.7,
            "psf_xy_um": 0.7,
            "level": 0.02,
            "haze": 0.0,
            "tail": 0.0,
            "depth_blur": 0.0,
        },
    )
    phantom = make_phantom(config)
    depth, _ = signed_distance(segments_of(phantom.graph), config.shape, (1.0, 1.0, 1.0), reach_um=1.0)
    wall, lumen = phantom.image[(depth < 0) & (depth > -1.5)], phantom.image[depth < -5]
    assert lumen.size > 100
    assert np.median(lumen) < 0.6 * np.median(wall)


def test_foreground_ranges_from_sparse_to_dense():
    shares = [make_phantom(PhantomConfig(shape=(16, 96, 96), seed=s)).label.mean() for s in range(24)]
    assert min(shares) < 0.03
    assert max(shares) > 0.3


@pytest.mark.parametrize("shape", [(1, 64, 64), (5, 1, 40), (1, 1, 1)])
def test_flat_shapes_work(shape):
    assert make_phantom(PhantomConfig(shape=shape, seed=0)).image.shape == shape


def test_sample_has_vessels_and_clear_contrast():
    phantom = sample_phantom()
    assert phantom.image.shape == (96, 256, 256)
    assert 0.03 < phantom.label.mean() < 0.3
    assert phantom.image[phantom.label == 1].mean() > 2 * phantom.image[phantom.label == 0].mean()
