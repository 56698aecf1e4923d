"""Normalisation statistics of one volume, measured once before it is segmented.

A student trained with live statistics sees every patch normalised by itself; that is how it copes with stains
and microscopes it was not trained on. Measured over a sample of the volume and then fixed, the statistics
keep that, and the net is still one function for all blocks (see docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from napari_vesselkd.blocks import read_block
from napari_vesselkd.blocks.reading import Readable
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.models.measuring import measure_statistics
from napari_vesselkd.volume import IntensityWindow
from napari_vesselkd.volume.sampling import even_grid

PATCH: Shape = (64, 128, 128)
LOOKED_AT = 18
PATCHES = 9


def calibrate(
    model: nn.Module,
    volume: Readable,
    window: IntensityWindow,
    *,
    stride: Shape,
    padding: str,
    depth: int = 0,
) -> None:
    """Fix the statistics of every normalisation of `model` to those of a sample of `volume`.

    Parameters
    ----------
    model : nn.Module
        A student in three dimensions, on the CPU; changed in place.
    volume : Volume
        Of any size; `LOOKED_AT` patches of `PATCH` voxels are read at most, always the same ones, and the
        `PATCHES` with the most contrast are used: empty surroundings must not weigh in.
    window : IntensityWindow
        Of the volume.
    stride : tuple of int
        Total stride of the model, (z, y, x).
    padding : str
        How the volume is continued, see `read_block`.
    depth : int
        Least number of slices of a patch, at most those of `PATCH`.
    """
    patches = []
    for place in sample_places(volume.shape, stride, depth):
        voxels = window.apply(read_block(volume, place, padding))
        patches.append(torch.from_numpy(voxels))  # (Z, Y, X)
    patches.sort(key=lambda patch: -float(patch.std()))
    measure_statistics(model, patches[:PATCHES])


def sample_places(shape: Sequence[int], stride: Shape, depth: int = 0) -> list[Region]:
    """Return where to look: patches of one shape, multiples of `stride`, spread evenly over the volume.

    In a volume of fewer slices than `depth` they reach beyond it.
    """
    sizes = (max(shape[0], depth), *shape[1:])
    edge = as_shape(
        [min(side // s * s, -(-size // s) * s) for side, size, s in zip(PATCH, sizes, stride, strict=True)]
    )
    cells = even_grid(as_shape([-(-size // e) for size, e in zip(shape, edge, strict=True)]), LOOKED_AT)
    starts = [
        np.linspace(0, max(0, size - e), n + 2 if n == 1 else n).astype(int)[1 if n == 1 else 0 :][:n]
        for size, e, n in zip(shape, edge, cells, strict=True)
    ]
    return [
        Region((z, y, x), (z + edge[0], y + edge[1], x + edge[2]))
        for z in starts[0].tolist()
        for y in starts[1].tolist()
        for x in starts[2].tolist()
    ]
