"""The dock of the three projections: linked with each other and with the viewer, by real clicks."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.commands import show_projections
from wheels import wheel

UM = ("micrometer",) * 3


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60000, (40, 60, 90)).astype(np.uint16)


@pytest.fixture
def three(viewer, qtbot):
    dock = show_projections(viewer)
    dock.setMinimumSize(500, 600)
    qtbot.wait(50)
    yield dock
    for task in (dock.latest.task, dock._task):
        if task is not None:
            task.cancel()
            qtbot.waitUntil(lambda task=task: not task.running, timeout=20_000)


@pytest.fixture
def layer(viewer, three, image, qtbot):
    added = viewer.add_image(image, scale=(3, 1, 1), units=UM, translate=(30, 0, 5), name="brain")
    settle(three, qtbot)
    return added


def settle(three, qtbot):
    qtbot.wait(200)  # the viewer's events are gathered for 100 ms
    qtbot.waitUntil(lambda: three.settled, timeout=20_000)


def click(three, qtbot, axis, row, column):
    shot, view = three.panes.shots[axis], three.panes.views[axis]
    rows, columns = shot.gray.shape
    place = view.point((row + 0.5) / rows, (column + 0.5) / columns)
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place.toPoint())
    settle(three, qtbot)
    return shot


def whole(three, qtbot):
    qtbot.mouseClick(three.where.button("Whole"), Qt.MouseButton.LeftButton)
    settle(three, qtbot)


def test_all_three_are_the_maxima_of_slabs_around_the_cursor(three, layer, image, qtbot):
    whole(three, qtbot)
    three.thickness.setValue(30)  # um: 10 slices of z, 30 of y and x
    settle(three, qtbot)
    for axis, thick in (("z", 10), ("y", 30), ("x", 30)):
        at, shot = "zyx".index(axis), three.panes.shots[axis]
        low, high = shot.region.start[at], shot.region.stop[at]
        assert high - low == thick
        assert low <= three.voxel[at] < high
        np.testing.assert_array_equal(shot.gray, image[shot.region.slices].max(axis=at))


def test_the_panes_have_one_scale_so_that_round_vessels_look_round(three, layer, qtbot):
    whole(three, qtbot)
    sizes = {axis: view.shown_size for axis, view in three.panes.views.items()}
    assert sizes["z"].width() / sizes["z"].height() == pytest.approx(90 / 60, rel=0.02)
    assert sizes["y"].height() / sizes["y"].width() == pytest.approx(120 / 90, rel=0.02)
    assert sizes["x"].width() / sizes["x"].height() == pytest.approx(120 / 60, rel=0.02)
    assert sizes["z"].width() == pytest.approx(sizes["y"].width(), abs=1)


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_click_takes_the_viewer_and_the_other_panes_there(viewer, three, layer, image, qtbot, axis):
    whole(three, qtbot)
    three.thickness.setValue(30)
    settle(three, qtbot)
    rows, columns = (int(0.8 * size) for size in three.panes.shots[axis].gray.shape)
    shot = click(three, qtbot, axis, rows, columns)
    voxel = three.voxel
    assert image[voxel] == shot.gray[rows, columns]
    assert voxel == shot.shown.voxel(rows, columns)
    np.testing.assert_allclose(viewer.dims.point, layer.data_to_world(voxel))
    for other, view in three.panes.views.items():
        place = three.panes.shots[other]
        at = "zyx".index(other)
        assert place.region.start[at] <= voxel[at] < place.region.stop[at]
        assert view.cross == pytest.approx(place.share(voxel))


def test_the_wheel_moves_the_slab_of_its_pane_and_the_viewer(viewer, three, layer, qtbot):
    whole(three, qtbot)
    three.thickness.setValue(9)
    settle(three, qtbot)
    before, view = three.voxel, three.panes.views["z"]
    for _ in range(3):
        QApplication.sendEvent(view, wheel(view, 120))
    settle(three, qtbot)
    assert three.voxel == (before[0] + 3, *before[1:])
    assert viewer.dims.current_step[0] == before[0] + 3
    assert three.panes.shots["z"].region.start[0] == before[0] + 3 - 1


def test_the_slider_of_the_viewer_moves_the_slab(viewer, three, layer, qtbot):
    whole(three, qtbot)
    three.thickness.setValue(9)
    viewer.dims.set_current_step(0, 33)
    settle(three, qtbot)
    assert three.voxel[0] == 33
    assert three.panes.shots["z"].region == Region((32, 0, 0), (35, 60, 90))


def test_view_shows_what_is_on_screen_and_as_much_depth(viewer, three, layer, qtbot):
    viewer.scene.camera.zoom *= 8
    settle(three, qtbot)
    region = three.region()
    assert region.shape[1] < 60
    assert region.shape[2] < 90
    assert region.shape[0] * 3 == pytest.approx(max(region.shape[1:]), abs=4)
    assert three.panes.shots["y"].region.shape[0] == region.shape[0]


def test_all_depth_shows_the_whole_region(three, layer, image, qtbot):
    whole(three, qtbot)
    three.thickness.setValue(0)
    settle(three, qtbot)
    for axis in "zyx":
        np.testing.assert_array_equal(three.panes.shots[axis].gray, image.max(axis="zyx".index(axis)))


def test_without_a_volume_it_says_what_to_do(viewer, three, qtbot):
    assert "Open a volume first" in three.place.text()
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="retina")
    settle(three, qtbot)
    assert "Split RGB" in three.place.text()
    assert not three.panes.shots


@pytest.mark.parametrize("kind", ["dask", "multiscale", "2d", "4d"])
def test_layers_of_every_kind(viewer, three, image, qtbot, kind):
    if kind == "dask":
        import dask.array as da

        viewer.add_image(da.from_array(image, chunks=(16, 32, 32)), name="v")
    elif kind == "multiscale":
        viewer.add_image([image, image[::2, ::2, ::2]], multiscale=True, name="v")
    elif kind == "2d":
        viewer.add_image(image[0], name="v")
    else:
        viewer.add_image(np.stack([image, image]), name="v")
    whole(three, qtbot)
    three.thickness.setValue(0)
    settle(three, qtbot)
    expected = image[:1] if kind == "2d" else image
    for axis in "zyx":
        np.testing.assert_array_equal(three.panes.shots[axis].gray, expected.max(axis="zyx".index(axis)))
    click(three, qtbot, "z", 20, 30)
    assert three.voxel[1:] == (20, 30)


def test_it_can_be_closed_and_opened_again(viewer, three, layer, qtbot):
    viewer.window.remove_dock_widget("all")
    qtbot.wait(50)
    viewer.dims.set_current_step(0, 3)
    again = show_projections(viewer)
    settle(again, qtbot)
    assert set(again.panes.shots) == {"z", "y", "x"}


def test_the_button_of_the_look_tab_opens_it(viewer, dock, image, qtbot):
    viewer.add_image(image, name="brain")
    dock.show_tab("Look")
    qtbot.mouseClick(dock.look.projections.axes_button, Qt.MouseButton.LeftButton)
    again = show_projections(viewer)
    settle(again, qtbot)
    assert set(again.panes.shots) == {"z", "y", "x"}
    again.latest.stop()
