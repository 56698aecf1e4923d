"""The Look tab: the right maximum, the prediction over it, physical proportions, off the GUI thread."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt

from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.looking.state import LookForm, draw_look
from napari_vesselkd.volume import open_volume

UM = ("micrometer",) * 3
PLUGIN = "napari-vesselkd"


@pytest.fixture
def look(dock):
    dock.show_tab("Look")
    return dock.look.projections


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 1000, (40, 60, 80)).astype(np.uint16)


@pytest.fixture
def layer(viewer, look, image):
    return viewer.add_image(image, scale=(3, 1, 1), units=UM, translate=(30, 0, 0), name="brain")


def save(look, path, qtbot):
    look.save(str(path))
    qtbot.waitUntil(lambda: look.saved.text() == f"Saved {path}", timeout=10_000)


def wait_for_picture(look, qtbot):
    qtbot.waitUntil(lambda: look.projection is not None and look.settled, timeout=20_000)
    return look.projection


def test_the_picture_appears_by_itself_and_is_the_maximum_of_the_slab(viewer, look, layer, image, qtbot):
    viewer.dims.set_current_step(0, 20)
    look.form.region.choice.button("Whole").click()
    qtbot.wait(150)
    shown = wait_for_picture(look, qtbot)
    assert shown.region == Region((4, 0, 0), (36, 60, 80))
    np.testing.assert_array_equal(shown.gray, image[4:36].max(axis=0))
    assert look.picture.isVisible()


@pytest.mark.parametrize(("axis", "at"), [("z", 0), ("y", 1), ("x", 2)])
def test_each_axis_gives_its_maximum_in_physical_proportions(viewer, look, layer, image, qtbot, axis, at):
    look.form.region.choice.button("Whole").click()
    look.form.axis.button(axis).click()
    look.form.thickness.setValue(0)
    shown = wait_for_picture(look, qtbot)
    np.testing.assert_array_equal(shown.gray, image.max(axis=at))
    lengths = [40 * 3, 60, 80]
    del lengths[at]
    size = look.picture.shown_size
    assert size.height() / size.width() == pytest.approx(lengths[0] / lengths[1], rel=0.02)
    assert size.width() <= look.width()


def test_the_slab_follows_the_slider(viewer, look, layer, image, qtbot):
    look.form.region.choice.button("Whole").click()
    look.form.thickness.setValue(5)
    viewer.dims.set_current_step(0, 30)
    qtbot.waitUntil(lambda: look.form.centre.value() == 30, timeout=5000)
    qtbot.wait(100)
    shown = wait_for_picture(look, qtbot)
    np.testing.assert_array_equal(shown.gray, image[28:33].max(axis=0))


def test_labels_are_drawn_over_it_and_can_be_switched_off(viewer, look, layer, image, qtbot):
    look.form.region.choice.button("Whole").click()
    plain = wait_for_picture(look, qtbot).rgb
    assert (plain[..., 0] == plain[..., 2]).all()
    labels = np.zeros(image.shape, np.uint8)
    labels[20, 10:20, 10:20] = 1
    viewer.add_labels(labels, scale=(3, 1, 1), units=UM, translate=(30, 0, 0), name="vesselkd: student")
    assert look.layers.overlay.currentText() == "vesselkd: student"
    qtbot.wait(50)
    over = wait_for_picture(look, qtbot).rgb
    rows, columns = (over[..., 0] != over[..., 2]).nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 19, 10, 19)
    look.layers.overlay.setCurrentIndex(0)
    np.testing.assert_array_equal(wait_for_picture(look, qtbot).rgb, plain)


def test_add_as_layer_lies_on_the_slab_and_is_updated_by_the_next(viewer, look, layer, image, qtbot):
    look.form.region.choice.button("Whole").click()
    wait_for_picture(look, qtbot)
    qtbot.mouseClick(look.layer_button, Qt.MouseButton.LeftButton)
    added = viewer.layers["vesselkd: MIP z"]
    np.testing.assert_allclose(added.extent.world[:, 1:], layer.extent.world[:, 1:])
    low = added.translate[0] - added.scale[0] / 2
    slab = look.projection.region
    assert low == pytest.approx(30 + (slab.start[0] - 0.5) * 3)
    assert added.scale[0] == pytest.approx(slab.shape[0] * 3)
    look.form.thickness.setValue(0)
    wait_for_picture(look, qtbot)
    qtbot.mouseClick(look.layer_button, Qt.MouseButton.LeftButton)
    assert viewer.layers["vesselkd: MIP z"] is added
    np.testing.assert_array_equal(np.squeeze(added.data), image.max(axis=0))
    assert "vesselkd: MIP z" not in [
        look.layers.volume.itemText(i) for i in range(look.layers.volume.count())
    ]


def test_save_png_writes_a_picture_with_the_right_proportions(look, layer, qtbot, tmp_path):
    look.form.region.choice.button("Whole").click()
    look.form.axis.button("y").click()
    look.form.thickness.setValue(0)
    wait_for_picture(look, qtbot)
    save(look, tmp_path / "mip.png", qtbot)
    with Image.open(tmp_path / "mip.png") as picture:
        assert picture.height / picture.width == pytest.approx(40 * 3 / 80, rel=0.02)
    save(look, tmp_path / "nowhere" / "mip" / "x.png", qtbot)


def test_tiff_has_the_raw_values_and_their_size(look, layer, image, qtbot, tmp_path):
    look.form.region.choice.button("Whole").click()
    look.form.thickness.setValue(0)
    wait_for_picture(look, qtbot)
    save(look, tmp_path / "mip.tif", qtbot)
    with open_volume(tmp_path / "mip.tif") as saved:
        np.testing.assert_array_equal(saved.read(Region.whole(saved.shape))[0], image.max(axis=0))
        assert saved.voxel_size_um[1:] == (1, 1)


def test_what_cannot_be_projected_says_why(viewer, look, qtbot):
    assert not look.project_button.isEnabled()
    assert "Open a volume first" in look.hint.text()
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="retina")
    assert "Split RGB" in look.hint.text()
    assert not look.save_button.isEnabled()


def test_a_volume_too_large_to_follow_waits_for_project():
    form = LookForm(region=Region((0, 0, 0), (1000, 4000, 4000)))
    state = draw_look(form, refusal=None, busy=False, has_picture=False, failure=None, voxels=16_000_000_000)
    assert state.project_enabled
    assert "press Project" in state.hint
