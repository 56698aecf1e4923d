"""Promises of folded convolutions: the same function, with filled lanes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_vesselkd.geometry import Region
from napari_vesselkd.models.folding import (
    FoldedConvolution,
    disjoint_kernel,
    is_at_hand,
    overlapping_kernel,
    upsampled_onto,
)

pytestmark = pytest.mark.skipif(not is_at_hand(), reason="needs oneDNN on x86")


def channels_last(x):
    return x[0].permute(1, 2, 3, 0).contiguous()


@pytest.mark.parametrize("fold", [1, 2, 4])
@torch.no_grad()
def test_folded_kernels_are_identities_in_double_precision(fold):
    x = torch.rand(1, 3, 5, 6, 8, dtype=torch.float64)
    weight = torch.rand(2, 3, 3, 3, 3, dtype=torch.float64)
    found = F.conv3d(x, overlapping_kernel(weight, fold), padding=1, stride=(1, 1, fold))
    runs = found.unflatten(1, (fold, 2)).permute(0, 2, 3, 4, 5, 1).flatten(4)
    torch.testing.assert_close(runs, F.conv3d(x, weight, padding=1))
    weight = torch.rand(2, 3, 1, 2, 2, dtype=torch.float64)
    folded = x.unflatten(4, (-1, 2 * fold)).permute(0, 5, 1, 2, 3, 4).flatten(1, 2)
    found = F.conv3d(folded, disjoint_kernel(weight, fold), stride=(1, 2, 1))
    runs = found.unflatten(1, (fold, 2)).permute(0, 2, 3, 4, 5, 1).flatten(4)
    torch.testing.assert_close(runs, F.conv3d(x, weight, stride=(1, 2, 2)))


@pytest.mark.parametrize("width", [8, 12, 14, 10])
@pytest.mark.parametrize("out", [4, 8, 32])
@torch.no_grad()
def test_a_convolution_of_any_width_gives_what_the_plain_one_gives(width, out):
    x = torch.rand(1, 4, 6, 4, width)
    for convolution in (
        torch.nn.Conv3d(4, out, 3, padding=1),
        torch.nn.Conv3d(4, out, (1, 2, 2), (1, 2, 2)),
        torch.nn.Conv3d(4, out, 1),
    ):
        found = FoldedConvolution(convolution, slope=0.01)(channels_last(x))
        torch.testing.assert_close(found, channels_last(F.leaky_relu(convolution(x), 0.01)))


def test_lanes_are_filled_where_the_width_allows():
    narrow = FoldedConvolution(torch.nn.Conv3d(4, 4, 3, padding=1))
    assert [narrow.fold(width) for width in (16, 18, 9, 7)] == [4, 3, 3, 1]
    assert FoldedConvolution(torch.nn.Conv3d(4, 32, 3, padding=1)).fold(16) == 1


@torch.no_grad()
def test_in_half_precision_a_narrower_part_gives_the_same_numbers():
    torch.manual_seed(0)
    folded = FoldedConvolution(torch.nn.Conv3d(8, 4, 3, padding=1), 0.01, torch.bfloat16)
    x = torch.randn(48, 64, 48, 8).bfloat16()
    whole = folded(x)
    for width in (10, 13, 14, 18, 22, 26, 41):
        part = folded(x[:, :, :width].contiguous())
        assert part.shape[2] == width
        torch.testing.assert_close(part[:, :, :-1], whole[:, :, : width - 1], atol=0, rtol=0)


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 2, 2), (2, 1, 1), (1, 1, 1), (2, 2, 1), (1, 3, 2)])
@torch.no_grad()
def test_upsampling_is_trilinear_up_to_the_border(factors):
    x = torch.rand(1, 4, 3, 5, 6)
    whole = F.interpolate(x, scale_factor=[float(f) for f in factors], mode="trilinear", align_corners=False)
    shape = tuple(whole.shape[2:])
    for box in (Region.whole(shape), Region((1, 1, 1), tuple(side - 1 for side in shape))):
        other = torch.rand(*box.shape, 4)
        expected = channels_last(whole)[box.slices] + other
        torch.testing.assert_close(upsampled_onto(channels_last(x), factors, box, other), expected)
