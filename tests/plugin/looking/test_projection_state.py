"""Slabs, regions and places of the three panes, without a window."""

import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.looking.slabs import cube_around, panes, slab_of, slices_of, stepped

SHAPE = (100, 500, 800)


def test_the_slab_is_cut_from_the_region_along_its_axis_alone():
    region = Region((0, 100, 200), (100, 300, 400))
    assert slab_of(region, "z", (50, 0, 0), 10, SHAPE) == Region((45, 100, 200), (55, 300, 400))
    assert slab_of(region, "x", (50, 0, 799), 10, SHAPE) == Region((0, 100, 790), (100, 300, 800))
    assert slab_of(region, "y", (50, 0, 0), 0, SHAPE) == region


def test_a_thickness_in_um_is_so_many_slices_of_each_axis_and_at_least_one():
    assert slices_of(50, (5, 1, 0.5)) == (10, 50, 100)
    assert slices_of(2, (5, 1, 0.5)) == (1, 2, 4)
    assert slices_of(0, (5, 1, 0.5)) == (0, 0, 0)


def test_the_depth_of_a_view_is_as_large_as_it_is_wide():
    view = Region((50, 100, 200), (51, 150, 300))
    assert cube_around(view, 0, (50, 0, 0), SHAPE, (2, 1, 1)) == Region((25, 100, 200), (75, 150, 300))
    assert cube_around(view, 0, (2, 0, 0), SHAPE, (2, 1, 1)).start[0] == 0
    assert cube_around(view, 0, (50, 0, 0), SHAPE, (0.1, 1, 1)).shape[0] == 100  # no more than there is


@pytest.mark.parametrize("size", [(400, 600), (1200, 300), (90, 90)])
def test_the_panes_fit_and_have_one_scale(size):
    found = panes((120, 60, 90), *size)
    scale = found["z"].width / 90
    assert found["z"].height == pytest.approx(60 * scale)
    assert (found["x"].width, found["x"].height) == pytest.approx((120 * scale, 60 * scale))
    assert (found["y"].width, found["y"].height) == pytest.approx((90 * scale, 120 * scale))
    for pane in found.values():
        assert pane.left + pane.width <= size[0] + 1e-6
        assert pane.top + pane.height <= size[1] + 1e-6


def test_steps_stay_inside():
    assert stepped((5, 6, 7), "z", -9, SHAPE) == (0, 6, 7)
    assert stepped((5, 6, 7), "x", 9999, SHAPE) == (5, 6, 799)
