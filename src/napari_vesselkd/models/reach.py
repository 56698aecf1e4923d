"""How far a frozen net looks: the halo that makes a prediction in blocks equal to one in a single piece."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.normalisation import is_frozen


@torch.no_grad()
def measure_reach(
    model: nn.Module, volume: Tensor, *, threshold: float = 0.5, tolerance: float = 0.0
) -> tuple[int, ...]:
    """Return the halo (z, y, x) in voxels at which a block's labels equal those of the whole volume.

    The volume is cut at its middle plane, axis by axis; the answer is the distance from the cut beyond which
    no label differs (and no probability by more than `tolerance`, if one is given), rounded up to the stride.

    Parameters
    ----------
    model : nn.Module
        Frozen, with a `total_stride`.
    volume : Tensor
        (1, 1, Z, Y, X) float32 in [0, 1] with vessels in it; sides are multiples of twice the total stride.
    threshold : float
        Probability from which a voxel is vessel.
    tolerance : float
        Largest allowed difference of probabilities; 0 looks at labels only.

    Raises
    ------
    InvalidInputError
        If the normalisation is live: then no halo is enough.
    """
    if not is_frozen(model):
        raise InvalidInputError(
            "The reach of a net with live normalisation is infinite", remedy="Freeze its statistics first"
        )
    model.eval()
    whole = torch.sigmoid(model(volume))
    reach = []
    for axis, stride in enumerate(cast(tuple[int, ...], model.total_stride), start=2):
        middle = volume.shape[axis] // 2 // stride * stride
        rest = volume.shape[axis] - middle
        part = torch.sigmoid(model(volume.narrow(axis, middle, rest).contiguous()))
        expected = whole.narrow(axis, middle, rest)
        differs = (part >= threshold) != (expected >= threshold)
        if tolerance > 0:
            differs |= (part - expected).abs() > tolerance
        planes = differs.movedim(axis, 0).flatten(1).any(dim=1).nonzero()
        last = int(planes[-1]) + 1 if len(planes) else 0
        reach.append(-(-last // stride) * stride)
    return tuple(reach)
