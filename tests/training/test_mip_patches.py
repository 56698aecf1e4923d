"""Patches of painted projections: whole rays, the right voxels after turning, and nothing beyond the slab."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_vesselkd.geometry import Region
from napari_vesselkd.projections.rays import RayLabels
from napari_vesselkd.training.augment import AugmentConfig, draw_symmetry
from napari_vesselkd.training.mip_crops import (
    mip_crops,
    painted,
    read_mip_crop,
    without,
    write_mip_crop,
)
from napari_vesselkd.training.mip_losses import projected
from napari_vesselkd.training.mip_patches import MipPatches
from napari_vesselkd.training.patches import PatchConfig
from napari_vesselkd.volume import volume_from_arrays

SHAPE = (40, 48, 56)
CONTEXT = (4, 8, 8)
PLAIN = AugmentConfig(probability=0.0)
PATCH = PatchConfig(shape=(16, 24, 24), batch=3, thin=0.5, thinnest=4, augment=PLAIN)


@pytest.fixture(scope="module")
def truth():
    """Tubes along x, y and z, none of which hides another."""
    found = np.zeros(SHAPE, bool)
    found[6:9, 10:13, :] = True
    found[18:21, :, 30:33] = True
    found[:, 40:43, 44:47] = True
    return found


@pytest.fixture(scope="module")
def volume(truth):
    return volume_from_arrays([np.where(truth, 1000, 10).astype(np.uint16)], voxel_size_um=(1, 1, 1))


def paint(volume, truth, region, axis, name="MIP 1"):
    seen = truth[region.slices].any(axis=axis, keepdims=True)
    return painted(name, RayLabels(region, axis, np.where(seen, 2, 1).astype(np.uint8)), volume)


def slab(axis, low, high):
    start, stop = [0, 0, 0], list(SHAPE)
    start[axis], stop[axis] = low, high
    return Region(tuple(start), tuple(stop))


def files_of(folder, volume, all_painted):
    files = []
    for number, piece in enumerate(mip_crops(volume, (0.0, 1000.0), all_painted, CONTEXT, least=0)):
        files.append(folder / f"mip-{number}.npz")
        write_mip_crop(files[-1], piece)
    return files


def batches(folder, volume, all_painted, count=12, config=PATCH):
    patches = MipPatches(files_of(folder, volume, all_painted), [volume.signature()], config, seed=4)
    return [patches(step) for step in range(count)]


@pytest.mark.parametrize(("axis", "low", "high"), [(0, 4, 14), (0, 0, 16), (1, 8, 20), (2, 26, 40)])
def test_a_slab_that_fits_is_held_from_front_to_back_and_agrees_with_the_image(
    tmp_path, volume, truth, axis, low, high
):
    """The image itself, taken as logits, must project to the labels: turned, filled and cut alike."""
    seen = 0
    for batch in batches(tmp_path, volume, [paint(volume, truth, slab(axis, low, high), axis)]):
        for target in batch.targets:
            assert target.stop - target.start == high - low
            bright = projected(batch.image, target) > 0.5
            known = target.valid > 0
            assert torch.equal(bright[known], target.label[known] > 0)
            seen += int((target.label * target.valid).sum())
    assert seen > 100


def test_what_the_rays_say_of_voxels_agrees_with_the_image(tmp_path, volume, truth):
    vessel = background = 0
    for batch in batches(tmp_path, volume, [paint(volume, truth, slab(0, 4, 14), 0)]):
        found, bright = batch.voxels, batch.image > 0.5
        known = found.valid > 0
        agree = bright[known] == (found.label[known] > 0)
        assert agree.float().mean() > 0.99  # square vessels are taken as round
        outside = known.clone()
        for target in batch.targets:
            outside[target.entry, 0].narrow(target.axis, target.start, target.stop - target.start).zero_()
        assert not outside.any()
        vessel += int((found.label * found.valid).sum())
        background += int(((1 - found.label) * found.valid).sum())
    assert vessel > 100 and background > 1000


def test_behind_a_vessel_what_is_dark_is_background_and_a_second_axis_says_no_less(volume, truth):
    one = paint(volume, truth, slab(0, 4, 14), 0)
    (piece,) = mip_crops(volume, (0.0, 1000.0), [one], (0, 0, 0), least=0)
    label, here = piece.crop.label, truth[piece.crop.region.slices]
    under = np.broadcast_to(here.any(axis=0), here.shape)
    assert (label[~under] == 1).all()
    dark = ndimage.distance_transform_edt(~here) > 2
    assert (under & dark).sum() > 500 and (label[under & dark] == 1).all()
    assert not (label[here] == 1).any() and not (label[dark] == 2).any()
    both = [one, paint(volume, truth, slab(1, 0, 48), 1, "MIP 2")]
    more = next(iter(mip_crops(volume, (0.0, 1000.0), both, (0, 0, 0), least=0))).crop.label
    assert (more[under & dark] == 1).all() and not (more[here] == 1).any()


def test_behind_a_vessel_nothing_is_said_of_what_is_as_bright():
    """A second vessel in the same slab, fainter than the one in front of it but no background."""
    image = np.full((24, 20, 20), 10, np.uint16)
    image[4:8, :, 8:12], image[16:20, :, 8:12] = 1000, 800
    volume = volume_from_arrays([image], voxel_size_um=(1, 1, 1))
    (piece,) = mip_crops(
        volume, (0.0, 1000.0), [paint(volume, image > 500, Region.whole(image.shape), 0)], (0, 0, 0), least=0
    )
    label = piece.crop.label
    assert (label[5:7, :, 9:11] == 2).all()
    assert not label[17:19, :, 9:11].any()
    assert (label[11:13] == 1).all() and (label[22:] == 1).all()


def test_a_slab_thicker_than_the_patch_keeps_background_and_depths_but_no_vessel(tmp_path, volume, truth):
    found = batches(tmp_path, volume, [paint(volume, truth, slab(0, 0, 40), 0)])
    targets = [target for batch in found for target in batch.targets]
    assert sum(int(target.valid.sum()) for target in targets) > 100
    assert all(int((target.label * target.valid).sum()) == 0 for target in targets)
    assert sum(int((batch.voxels.label * batch.voxels.valid).sum()) for batch in found) > 0


def test_with_two_axes_a_thick_slab_keeps_vessel_where_the_hull_has_it(tmp_path, volume, truth):
    both = [paint(volume, truth, slab(0, 0, 40), 0), paint(volume, truth, slab(1, 0, 48), 1, "MIP 2")]
    for batch in batches(tmp_path, volume, both):
        for target in batch.targets:
            bright = projected(batch.image, target) > 0.5
            known = target.valid > 0
            wrong = bright[known] & (target.label[known] == 0)
            assert not wrong.any()  # what is background in the hull holds no vessel
    assert any(int((t.label * t.valid).sum()) for b in batches(tmp_path, volume, both) for t in b.targets)


def test_batches_depend_on_seed_and_step_alone(tmp_path, volume, truth):
    files = files_of(tmp_path, volume, [paint(volume, truth, slab(2, 26, 40), 2)])
    one, same = (MipPatches(files, [volume.signature()], PATCH, seed=1) for _ in range(2))
    assert torch.equal(one(7).image, same(7).image) and not torch.equal(one(7).image, one(8).image)
    assert len(one(7).targets) == len(same(7).targets)


def test_at_least_half_of_the_patches_hold_a_painted_vessel_however_rare_it_is(tmp_path):
    truth = np.zeros((16, 240, 240), bool)
    truth[8, 100:104, 100:104] = True
    volume = volume_from_arrays([np.where(truth, 1000, 10).astype(np.uint16)], voxel_size_um=(1, 1, 1))
    flat = paint(volume, truth, Region.whole(truth.shape), 0)
    config = PatchConfig(shape=(16, 24, 24), batch=4, thin=0.0, augment=PLAIN)
    found = [
        bool(target.label.any())
        for batch in batches(tmp_path, volume, [flat], count=25, config=config)
        for target in batch.targets
    ]
    assert len(found) == 100
    assert 0.35 < np.mean(found) < 0.7  # at random, about one in a hundred


def test_a_volume_thinner_than_the_patch_is_filled_and_not_learned_from_there(tmp_path):
    truth = np.zeros((5, 40, 40), bool)
    truth[2, 20, :] = True
    volume = volume_from_arrays([np.where(truth, 1000, 10).astype(np.uint16)], voxel_size_um=(1, 1, 1))
    flat = paint(volume, truth, Region.whole(truth.shape), 0)
    for batch in batches(tmp_path, volume, [flat]):
        assert batch.image.shape[2:] == PATCH.shape
        assert all(target.stop - target.start == 5 for target in batch.targets)
        said = batch.voxels.valid.sum(dim=(0, 1, 3, 4)).numpy()
        assert (said > 0).sum() == 5  # turned upside down or not


def test_what_is_written_is_read_again(tmp_path, volume, truth):
    (piece,) = mip_crops(volume, (0.0, 1000.0), [paint(volume, truth, slab(0, 4, 14), 0)], CONTEXT, least=0)
    write_mip_crop(tmp_path / "one.npz", piece)
    again = read_mip_crop(tmp_path / "one.npz")
    assert again.crop.region == piece.crop.region == Region((0, 0, 0), (18, 48, 56))
    assert again.rays[0].labels.region == piece.rays[0].labels.region
    np.testing.assert_array_equal(again.rays[0].labels.plane, piece.rays[0].labels.plane)
    np.testing.assert_array_equal(again.rays[0].depths, piece.rays[0].depths)


def test_only_the_painted_part_of_a_large_slab_is_copied(volume):
    plane = np.zeros((1, 48, 56), np.uint8)
    plane[0, 20:25, 30:40] = 2
    one = painted("MIP 1", RayLabels(slab(0, 4, 14), 0, plane), volume)
    (piece,) = mip_crops(volume, (0.0, 1.0), [one], (0, 0, 0), least=0)
    assert piece.crop.region == Region((4, 20, 30), (14, 25, 40))


def test_a_thin_slab_is_copied_with_enough_around_it_for_a_patch(volume, truth):
    one = paint(volume, truth, slab(0, 20, 24), 0)
    (piece,) = mip_crops(volume, (0.0, 1.0), [one], CONTEXT, least=30)
    assert piece.crop.region == Region((7, 0, 0), (37, 48, 56))
    assert not piece.crop.label[: 20 - 7].any() and piece.crop.label[20 - 7 : 24 - 7].any()


def test_rays_through_held_out_blocks_are_not_learned_from(volume):
    labels = RayLabels(slab(0, 4, 14), 0, np.ones((1, 48, 56), np.uint8))
    held_out = [Region((12, 0, 0), (30, 10, 56)), Region((20, 0, 0), (30, 48, 56))]
    plane = without(labels, held_out).plane
    assert not plane[0, :10].any() and plane[0, 10:].all()  # the second block lies behind the slab


def test_an_axis_is_found_again_after_any_symmetry():
    rng = np.random.default_rng(0)
    for _ in range(20):
        symmetry = draw_symmetry(rng)
        for axis in range(3):
            shape = [1, 1, 1]
            shape[axis] = 5
            assert symmetry.apply(np.zeros(shape)).shape[symmetry.axis(axis)] == 5
