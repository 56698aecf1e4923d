"""The visible region: what the canvas shows, in voxels of the layer, through its transform."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.visible import describe_region, slab_around, visible_region


@pytest.fixture
def viewer():
    model = ViewerModel()
    model.canvas.size = (100, 200)  # height, width
    return model


def look_at(viewer, centre, zoom):
    viewer.scene.camera.center = (0, *centre)
    viewer.scene.camera.zoom = zoom


def test_the_whole_slice_on_screen_is_the_whole_slice(viewer):
    layer = viewer.add_image(np.zeros((40, 64, 64), np.uint8))
    look_at(viewer, (32, 32), 1.0)
    viewer.dims.set_current_step(0, 20)
    assert visible_region(viewer, layer, slab=8) == Region((16, 0, 0), (24, 64, 64))


def test_zooming_in_shrinks_the_region_to_the_canvas(viewer):
    layer = viewer.add_image(np.zeros((40, 640, 640), np.uint8))
    look_at(viewer, (320, 320), 2.0)
    region = visible_region(viewer, layer)
    assert region.shape[1:] == pytest.approx((50, 100), abs=2)
    assert region.centre[1:] == pytest.approx((320, 320), abs=1)


def test_scale_and_translation_of_the_layer_are_respected(viewer):
    layer = viewer.add_image(np.zeros((40, 640, 640), np.uint8), scale=(5, 2, 2), translate=(100, 1000, 2000))
    look_at(viewer, (1000 + 2 * 100, 2000 + 2 * 300), 1.0)
    viewer.dims.set_point(0, 100 + 5 * 30)
    region = visible_region(viewer, layer, slab=2)
    assert region.start[0] <= 30 < region.stop[0]
    assert region.centre[1:] == pytest.approx((100, 300), abs=1)
    assert region.shape[1:] == pytest.approx((50, 100), abs=2)


def test_a_layer_off_screen_has_no_visible_region(viewer):
    layer = viewer.add_image(np.zeros((4, 64, 64), np.uint8))
    look_at(viewer, (5000, 5000), 1.0)
    assert visible_region(viewer, layer) is None


def test_other_orders_of_axes_put_the_slab_on_the_slider(viewer):
    layer = viewer.add_image(np.zeros((40, 50, 60), np.uint8))
    viewer.dims.order = (1, 0, 2)
    look_at(viewer, (20, 30), 1.0)
    viewer.dims.set_current_step(1, 25)
    assert visible_region(viewer, layer, slab=10) == Region((0, 20, 0), (40, 30, 60))


def test_in_3d_everything_is_on_screen(viewer):
    layer = viewer.add_image(np.zeros((40, 50, 60), np.uint8))
    viewer.dims.ndisplay = 3
    assert visible_region(viewer, layer) == Region.whole((40, 50, 60))


def test_a_2d_layer_is_one_slice(viewer):
    layer = viewer.add_image(np.zeros((50, 60), np.uint8))
    look_at(viewer, (25, 30), 1.0)
    assert visible_region(viewer, layer) == Region.whole((1, 50, 60))


def test_leading_axes_are_ignored(viewer):
    layer = viewer.add_image(np.zeros((3, 40, 50, 60), np.uint8))
    look_at(viewer, (25, 30), 1.0)
    viewer.dims.set_current_step(1, 20)
    assert visible_region(viewer, layer, slab=4) == Region((18, 0, 0), (22, 50, 60))


@pytest.mark.parametrize(
    ("centre", "thickness", "size", "expected"),
    [
        (20, 8, 40, (16, 24)),
        (0, 8, 40, (0, 8)),
        (39, 8, 40, (32, 40)),
        (5, 99, 10, (0, 10)),
        (3, 1, 10, (3, 4)),
    ],
)
def test_a_slab_stays_inside_the_axis(centre, thickness, size, expected):
    assert slab_around(centre, thickness, size) == expected


def test_a_region_reads_as_ranges_and_a_count():
    assert describe_region(Region((0, 0, 0), (32, 512, 512))) == "z 0–32 · y 0–512 · x 0–512 (8.39 Mvoxels)"
