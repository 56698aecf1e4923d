"""Each cell has one window, and the code that is taken of it looks at the middle of the cell."""

import numpy as np
import pytest
import torch

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.grid import CodeGrid, grid_of


@pytest.mark.parametrize(
    ("patch", "step", "centre", "place", "lead"),
    [
        (64, 32, 0.375, 1, 28),  # SegResNet
        (64, 32, 0.0, 1, 16),
        (64, 32, 0.5, 1, 32),  # Swin UNETR
        (64, 16, 0.5, 2, 32),  # UNETR
        (96, 32, 0.5, 1, 32),
        (128, 32, 0.0, 2, 48),
        (128, 32, 0.375, 2, 60),
    ],
)
def test_the_code_nearest_to_the_middle_of_the_window_is_taken(patch, step, centre, place, lead):
    grid = CodeGrid(patch, step, 16, centre)
    assert (grid.place, grid.lead) == (place, lead)
    assert all(side % step == 0 and side >= 64 for side in grid.unit)
    for cell in ((0, 0, 0), (1, 5, 2)):
        box = Region(cell, tuple(i + 1 for i in cell))
        window, voxels = grid.windows(box), grid.voxels(box)
        assert window.shape == (patch,) * 3
        looked_at = [low + (place + centre) * step for low in window.start]
        assert looked_at == list(voxels.centre)
        assert grid.cells(voxels) == box


def test_the_windows_of_a_box_are_those_of_its_first_and_last_cell():
    grid = CodeGrid(64, 32, 16, 0.0)
    assert grid.windows(Region((0, 1, 2), (2, 2, 5))) == Region((-16, 16, 48), (80, 80, 176))


def test_the_code_that_is_taken_looks_at_its_cell_and_the_others_of_the_window_elsewhere():
    """The centre of the squared gradient of what a code is found by, in the bundled teacher."""
    checkpoint = CheckpointRegistry().get("teacher-small")
    model, grid = checkpoint.load(), grid_of(checkpoint.card)
    image = torch.rand(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    u = model.embed(image)
    off = []
    for place in (grid.place, 0):
        (gradient,) = torch.autograd.grad(
            u[0, :, place, place, place].square().sum(), image, retain_graph=True
        )
        weight = gradient[0, 0].square().numpy()
        lines = [weight.sum(tuple(other for other in range(3) if other != axis)) for axis in range(3)]
        centres = [float((line * (np.arange(64) + 0.5)).sum() / line.sum()) for line in lines]
        off.append(np.abs(np.subtract(centres, grid.lead + grid.step / 2)))
    assert (off[0] < grid.step / 4).all()
    assert (off[1] > grid.step / 2).all()
