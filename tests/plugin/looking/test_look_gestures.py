"""Gestures of the Look tab with a real mouse: drag the slab, click a pixel, see the cursor, go to 3D."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionSlider

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.looking.crop import CROP
from napari_vesselkd.volume import write_multiscale

UM = ("micrometer",) * 3
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def look(dock):
    dock.show_tab("Look")
    return dock.look.projections


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60000, (80, 60, 90)).astype(np.uint16)


@pytest.fixture
def layer(viewer, look, image, qtbot):
    added = viewer.add_image(image, scale=(3, 1, 1), units=UM, translate=(30, 0, 5), name="brain")
    look.form.region.choice.button("Whole").click()
    qtbot.wait(150)
    wait_for_picture(look, qtbot)
    return added


def wait_for_picture(look, qtbot):
    qtbot.waitUntil(lambda: look.projection is not None and look.settled, timeout=20_000)
    return look.projection


def click(look, qtbot, down, across):
    """Click the picture at a share of its height and width."""
    qtbot.mouseClick(look.picture, LEFT, pos=look.picture.point(down, across).toPoint())
    qtbot.wait(250)
    wait_for_picture(look, qtbot)


def handle_of(slider):
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    part = QStyle.SubControl.SC_SliderHandle
    return slider.style().subControlRect(QStyle.ComplexControl.CC_Slider, option, part, slider).center()


def test_dragging_the_slider_moves_the_slab_and_the_picture_follows(look, layer, image, qtbot):
    look.form.thickness.setValue(7)
    wait_for_picture(look, qtbot)
    shots = []
    look.latest.reported.connect(shots.append)
    start = handle_of(look.form.slider)
    qtbot.mousePress(look.form.slider, LEFT, pos=start)
    for step in range(1, 15):
        qtbot.mouseMove(look.form.slider, start + QPoint(6 * step, 0))
        qtbot.wait(30)
    before = [shot.region.start[0] for shot in shots if hasattr(shot, "gray")]
    qtbot.mouseRelease(look.form.slider, LEFT, pos=start + QPoint(84, 0))
    shown = wait_for_picture(look, qtbot)
    assert len(set(before)) >= 3, "the picture did not follow while the slider was dragged"
    assert look.form.centre.value() == look.form.slider.value() > 50
    centre = look.form.centre.value()
    assert shown.region == Region((centre - 3, 0, 0), (centre + 4, 60, 90))
    np.testing.assert_array_equal(shown.gray, image[centre - 3 : centre + 4].max(axis=0))


def test_a_drag_reads_no_slice_twice(look, layer, qtbot):
    look.form.thickness.setValue(7)
    look.form.centre.setValue(62)
    wait_for_picture(look, qtbot)
    projector = look.layers.sources().projector
    start, read = look.form.centre.value(), projector.chunks_read
    for step in range(1, 11):
        look.form.slider.setValue(start + step)
        wait_for_picture(look, qtbot)
    assert projector.chunks_read - read == 10  # a plain array is stored slice by slice


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_a_click_takes_the_viewer_to_the_voxel_that_made_the_pixel(viewer, look, layer, image, qtbot, axis):
    look.form.axis.button(axis).click()
    look.form.thickness.setValue(30)
    shown = wait_for_picture(look, qtbot)
    row, column = (int(0.7 * size) for size in shown.gray.shape)
    at = "zyx".index(axis)
    block = image[shown.region.slices]
    expected = [row, column]
    expected.insert(at, int(np.moveaxis(block, at, 2)[row, column].argmax()))
    voxel = np.add(expected, shown.region.start)
    assert image[tuple(voxel)] == shown.gray[row, column]
    click(look, qtbot, (row + 0.5) / shown.gray.shape[0], (column + 0.5) / shown.gray.shape[1])
    np.testing.assert_allclose(viewer.dims.point, layer.data_to_world(voxel))
    down, across = look.picture.cross
    assert int(down * shown.gray.shape[0]) == row
    assert int(across * shown.gray.shape[1]) == column


def test_the_slab_stays_where_it_is_when_it_is_clicked_and_the_layer_selected(viewer, look, layer, qtbot):
    look.form.thickness.setValue(21)
    before = wait_for_picture(look, qtbot)
    click(look, qtbot, 0.3, 0.4)
    assert wait_for_picture(look, qtbot).region == before.region
    assert viewer.layers.selection.active is layer
    step = viewer.dims.current_step[0]
    viewer.dims.set_current_step(0, step + 20)  # but it follows the slider as before
    qtbot.wait(250)
    assert wait_for_picture(look, qtbot).region != before.region


def test_a_click_changes_neither_the_layers_nor_the_sliders(viewer, look, layer, qtbot):
    steps = viewer.dims.range
    click(look, qtbot, 0.3, 0.4)
    first = look.picture.cross
    click(look, qtbot, 0.6, 0.8)
    assert look.picture.cross[0] > first[0]
    assert [one.name for one in viewer.layers] == ["brain"]
    assert viewer.dims.range == steps


def test_going_to_a_voxel_keeps_the_slab_and_what_was_read(viewer, look, layer, qtbot):
    look.form.thickness.setValue(21)
    wait_for_picture(look, qtbot)
    projector = look.layers.sources().projector
    read = projector.chunks_read
    for place in (0.3, 0.6, 0.8):
        click(look, qtbot, place, place)
    assert look.form.thickness.value() == 21
    assert look.layers.sources().projector is projector
    assert projector.chunks_read == read


def test_other_voxels_in_the_layer_are_read(look, layer, image, qtbot):
    image[:] = 7
    layer.data = image
    qtbot.wait(300)
    assert (wait_for_picture(look, qtbot).gray == 7).all()


def test_a_voxel_off_screen_is_brought_on_screen(viewer, look, layer, qtbot):
    viewer.scene.camera.zoom *= 20
    viewer.scene.camera.center = (0, 10, 10)
    qtbot.wait(250)
    click(look, qtbot, 0.9, 0.9)
    y, x = viewer.dims.point[1:]
    assert viewer.scene.camera.center[-2:] == pytest.approx((y, x))


def test_the_mouse_over_the_picture_tells_the_voxel_behind_it(look, layer, image, qtbot):
    shown = wait_for_picture(look, qtbot)
    qtbot.mouseMove(look.picture, look.picture.point(0.5, 0.5).toPoint())
    row, column = shown.pixel(0.5, 0.5)
    qtbot.waitUntil(lambda: "value" in look.place.text(), timeout=5000)
    z, y, x = (int(part.split()[1]) for part in look.place.text().split(" · ")[:3])
    assert abs(y - row) <= 1
    assert abs(x - column) <= 1
    assert str(image[z, y, x]) in look.place.text()


def test_the_place_under_the_mouse_in_the_viewer_is_drawn_on_the_picture(viewer, look, layer, qtbot):
    canvas = viewer.window._qt_viewer.canvas.native
    centre = canvas.rect().center()
    qtbot.mouseMove(canvas, centre)
    qtbot.mouseMove(canvas, centre + QPoint(30, 20))
    qtbot.waitUntil(lambda: viewer.mouse_over_canvas and look.cursor_._world is not None, timeout=5000)
    qtbot.waitUntil(lambda: not look.cursor_._timer.isActive(), timeout=5000)
    z, y, x = layer.world_to_data(viewer.cursor.position)
    shown = wait_for_picture(look, qtbot)
    assert look.picture.cross == pytest.approx(shown.share((z, y, x)), abs=0.02)


@pytest.mark.parametrize(
    ("text", "how"),
    [("Mean", np.mean), ("Minimum", np.min), ("Maximum", np.max), ("Depth in colour", np.max)],
)
def test_other_kinds_of_projection(look, layer, image, qtbot, text, how):
    look.form.how.setCurrentText(text)
    shown = wait_for_picture(look, qtbot)
    np.testing.assert_allclose(shown.gray, how(image[shown.region.slices], axis=0))
    coloured = (shown.rgb[..., 0] != shown.rgb[..., 2]).mean()
    assert coloured > 0.5 if text == "Depth in colour" else coloured == 0


def test_show_in_3d_puts_the_slab_at_its_place(viewer, look, layer, image, qtbot):
    look.form.thickness.setValue(20)
    shown = wait_for_picture(look, qtbot)
    qtbot.mouseClick(look.crop_button, LEFT)
    qtbot.waitUntil(lambda: CROP in [one.name for one in viewer.layers], timeout=20_000)
    crop = viewer.layers[CROP]
    np.testing.assert_array_equal(crop.data, image[shown.region.slices])
    np.testing.assert_allclose(crop.data_to_world((0, 0, 0)), layer.data_to_world(shown.region.start))
    np.testing.assert_allclose(crop.extent.step, layer.extent.step)
    assert viewer.dims.ndisplay == 3
    assert not layer.visible
    assert CROP not in [look.layers.volume.itemText(i) for i in range(look.layers.volume.count())]


def test_a_coarse_crop_lies_over_the_same_place(viewer, look, image, qtbot, tmp_path, monkeypatch):
    write_multiscale(tmp_path / "v.ome.zarr", image, voxel_size_um=(2, 1, 1), levels=2, origin_um=(7, 8, 9))
    (layer,) = viewer.open(str(tmp_path / "v.ome.zarr"), plugin="napari-vesselkd")
    look.form.region.choice.button("Whole").click()
    look.form.thickness.setValue(0)
    wait_for_picture(look, qtbot)
    monkeypatch.setattr("napari_vesselkd.plugin.looking.crop.texture_side", lambda _: 85)
    qtbot.mouseClick(look.crop_button, LEFT)
    qtbot.waitUntil(lambda: CROP in [one.name for one in viewer.layers], timeout=20_000)
    crop = viewer.layers[CROP]
    assert max(crop.data.shape) <= 85
    np.testing.assert_allclose(crop.extent.world, layer.extent.world, atol=1)
    assert "level 1" in look.saved.text()


def test_labels_on_another_grid_lie_at_their_place_in_their_colours(viewer, look, layer, image, qtbot):
    codes = np.zeros((20, 15, 23), np.uint16)  # cells of 4 voxels
    codes[:, 5:8, 10:12] = 417
    look.form.thickness.setValue(0)
    viewer.add_labels(
        codes, scale=(12, 4, 4), translate=(30 + 1.5 * 3, 1.5, 5 + 1.5), units=UM, name="vesselkd: codes"
    )
    qtbot.wait(50)
    shown = wait_for_picture(look, qtbot)
    rows, columns = (shown.rgb[..., 0] != shown.rgb[..., 2]).nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 31, 40, 47)


def test_painted_labels_show_at_once(viewer, look, layer, image, qtbot):
    labels = viewer.add_labels(
        np.zeros(image.shape, np.uint8), scale=(3, 1, 1), units=UM, translate=(30, 0, 5)
    )
    qtbot.wait(50)
    assert wait_for_picture(look, qtbot).over.max() == 0
    labels.paint((look.form.centre.value(), 20, 20), 1)
    qtbot.wait(50)
    assert wait_for_picture(look, qtbot).over[20, 20] == 1


def test_the_pages_of_the_tab_change_places(dock, look, qtbot):
    qtbot.mouseClick(dock.look.page.button("Codes"), LEFT)
    assert dock.look.codes.isVisible()
    assert not look.isVisible()
    qtbot.mouseClick(dock.look.page.button("Projections"), LEFT)
    assert look.isVisible()
    assert not dock.look.codes.isVisible()


def test_nothing_is_projected_while_nobody_looks(viewer, dock, look, layer, qtbot):
    qtbot.mouseClick(dock.look.page.button("Codes"), LEFT)
    before = look.projection
    viewer.dims.set_current_step(0, 70)
    qtbot.wait(400)
    assert look.projection is before
    qtbot.mouseClick(dock.look.page.button("Projections"), LEFT)
    qtbot.waitUntil(lambda: look.projection is not before and look.settled, timeout=10_000)


@pytest.mark.parametrize("kind", ["numpy", "dask", "multiscale", "float with NaN", "2d", "4d"])
def test_layers_of_every_kind_are_projected(viewer, look, image, qtbot, kind):
    expected = image
    if kind == "numpy":
        viewer.add_image(image)
    elif kind == "dask":
        import dask.array as da

        viewer.add_image(da.from_array(image, chunks=(16, 32, 32)))
    elif kind == "multiscale":
        viewer.add_image([image, image[::2, ::2, ::2]], multiscale=True)
    elif kind == "float with NaN":
        expected = image.astype(np.float32)
        expected[:5] = np.nan
        viewer.add_image(expected, contrast_limits=(0, 60000))
    elif kind == "2d":
        expected = image[:1]
        viewer.add_image(image[0])
    else:
        viewer.add_image(np.stack([image // 2, image]))
        viewer.dims.set_current_step(0, 1)
    look.form.region.choice.button("Whole").click()
    look.form.thickness.setValue(0)
    qtbot.wait(200)
    np.testing.assert_array_equal(wait_for_picture(look, qtbot).gray, np.nanmax(expected, axis=0))
    assert look.crop_button.isEnabled() == (kind != "2d")


def test_a_slab_at_the_border_keeps_its_thickness(look, layer, image, qtbot):
    look.form.thickness.setValue(9)
    for centre, start in ((0, 0), (79, 71)):
        look.form.centre.setValue(centre)
        shown = wait_for_picture(look, qtbot)
        assert (shown.region.start[0], shown.region.stop[0]) == (start, start + 9)
        np.testing.assert_array_equal(shown.gray, image[start : start + 9].max(axis=0))
