"""Frozen normalisation makes the net the same function in every block."""

import pytest
import torch

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import (
    Student,
    StudentConfig,
    fold_normalisation,
    freeze_statistics,
    is_frozen,
    measure_reach,
    thaw_statistics,
)


def small_student(seed=0):
    torch.manual_seed(seed)
    return Student(StudentConfig(widths=(4, 8), stem_stride=None, strides=(2, 2))).eval()


def volume(*shape, seed=0):
    return torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def frozen():
    model = small_student()
    freeze_statistics(model, [volume(32, 32, 32, seed=n) for n in range(3)])
    return model


@torch.no_grad()
def centre_of(model, x, halo):
    """The middle 16 voxels of x, computed in a block with `halo` around them."""
    low = x.shape[2] // 2 - 8 - halo
    block = x[:, :, low : low + 16 + 2 * halo]
    return model(block)[:, :, halo : halo + 16]


def test_blocks_equal_the_whole_volume_where_the_halo_covers_the_reach(frozen):
    x = volume(96, 16, 16, seed=9)
    x[:, :, :40] = 0  # half empty: what live statistics cannot bear
    whole = frozen(x)[:, :, 40:56]
    assert torch.allclose(centre_of(frozen, x, 24), whole, atol=1e-5)
    assert not torch.allclose(centre_of(frozen, x, 4), whole, atol=1e-5)


def test_with_live_statistics_no_halo_repairs_the_difference(frozen):
    thaw_statistics(frozen)
    x = volume(96, 16, 16, seed=9)
    x[:, :, :40] = 0
    whole = frozen(x)[:, :, 40:56]
    assert not torch.allclose(centre_of(frozen, x, 24), whole, atol=1e-3)


def test_on_the_patch_it_was_frozen_on_nothing_changes():
    model, x = small_student(), volume(32, 32, 32)
    live = model(x)
    freeze_statistics(model, [x])
    assert torch.allclose(model(x), live, atol=1e-4)


def test_frozen_statistics_survive_the_state_dict(frozen):
    other = small_student(seed=1)
    other.load_state_dict(frozen.state_dict())
    x = volume(32, 32, 32, seed=5)
    assert is_frozen(other)
    assert torch.equal(other(x), frozen(x))


def test_a_live_state_dict_thaws(frozen):
    frozen.load_state_dict(small_student().state_dict())
    assert not is_frozen(frozen)


def test_freezing_leaves_the_weights_alone():
    model = small_student()
    before = {name: p.clone() for name, p in model.named_parameters()}
    freeze_statistics(model, [volume(32, 32, 32)])
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_a_frozen_net_still_learns(frozen):
    frozen(volume(32, 32, 32)).mean().backward()
    assert all(p.grad is not None for p in frozen.parameters())


def test_folding_the_normalisation_changes_nothing_but_rounding(frozen):
    x = volume(32, 32, 32, seed=5)
    folded = fold_normalisation(frozen)
    assert torch.allclose(folded(x), frozen(x), atol=1e-5)
    assert not any("norm" in type(module).__name__.lower() for module in folded.modules())


def test_a_stem_is_folded_too():
    torch.manual_seed(0)
    model = Student().eval()
    freeze_statistics(model, [volume(64, 64, 64)])
    x = volume(64, 64, 64, seed=1)
    assert torch.allclose(fold_normalisation(model)(x), model(x), atol=1e-4)


def test_the_measured_reach_is_where_differences_end(frozen):
    x = volume(96, 96, 96, seed=3)
    reach = measure_reach(frozen, x, tolerance=1e-6)
    assert all(0 < r <= 48 and r % 4 == 0 for r in reach)
    part = torch.sigmoid(frozen(x[:, :, 48:]))
    whole = torch.sigmoid(frozen(x))[:, :, 48:]
    assert (part - whole)[:, :, reach[0] :].abs().max() <= 1e-6
    assert (part - whole)[:, :, : reach[0]].abs().max() > 1e-6


def test_a_live_net_has_no_reach():
    with pytest.raises(InvalidInputError, match="infinite"):
        measure_reach(small_student(), volume(32, 32, 32))
