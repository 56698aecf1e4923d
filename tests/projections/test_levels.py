"""Which level is read, and where a region lies in it."""

import math

import pytest

from napari_vesselkd.geometry import Region
from napari_vesselkd.projections.levels import choose_level, level_for_pixels, levels_to_show, region_at

HUGE = tuple(tuple(-(-size // 2**level) for size in (4096, 10_000, 10_000)) for level in range(7))


def test_the_finest_level_that_fits_is_chosen():
    shapes = ((1000, 4000, 4000), (500, 2000, 2000), (250, 1000, 1000), (125, 500, 500))
    assert choose_level(shapes, Region((0, 0, 0), (32, 1000, 1000))) == 0
    assert choose_level(shapes, Region((0, 0, 0), (32, 4000, 4000))) == 1
    assert choose_level(shapes, Region.whole(shapes[0])) == 3
    assert choose_level(shapes[:1], Region.whole(shapes[0])) == 0
    assert math.prod(region_at(Region.whole(shapes[0]), shapes[0], shapes[2]).shape) == math.prod(shapes[2])


def test_a_region_of_a_coarser_level_is_never_empty():
    assert region_at(Region((3, 0, 0), (4, 1, 1)), (100, 10, 10), (13, 2, 2)).size >= 1


def test_regions_of_odd_sizes_lie_on_whole_voxels_of_the_coarser_level():
    assert region_at(Region((100, 50, 0), (101, 52, 1)), (101, 101, 101), (51, 51, 51)) == Region(
        (50, 25, 0), (51, 26, 1)
    )


@pytest.mark.parametrize("size", [50, 33, 40])
def test_every_voxel_is_inside_what_the_coarser_level_covers(size):
    for low in range(101):
        found = region_at(Region((low,) * 3, (low + 1,) * 3), (101,) * 3, (size,) * 3)
        assert 0 <= found.start[0] < found.stop[0] <= size


def test_the_level_of_the_screen_has_its_pixels_and_no_more_than_needed():
    whole = Region((0, 0, 0), (32, *HUGE[0][1:]))
    level = level_for_pixels(HUGE, whole, "z", 500)
    assert HUGE[level][1] >= 500 > HUGE[level + 1][1]
    assert level_for_pixels(HUGE, Region((0, 0, 0), (9, 90, 90)), "z", 500) == 0


def test_coarse_comes_first_and_the_last_is_as_fine_as_the_voxels_allow():
    slab = Region((2000, 0, 0), (2032, *HUGE[0][1:]))
    assert levels_to_show(HUGE, slab, "z", 500) == (5, 4, 3)
    assert levels_to_show(HUGE, Region.whole(HUGE[0]), "z", 500) == (5,)
    view = Region((2000, 4000, 4000), (2032, 5000, 5000))
    assert levels_to_show(HUGE, view, "z", 500) == (2, 1, 0)
    assert levels_to_show(HUGE[:1], slab, "z", 500) == (0,)
