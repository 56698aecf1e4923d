"""The Codes page in a real window: mapping, choosing, picking, going there."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from exploring import CodesDock, Explorer
from napari_vesselkd.volume import write_multiscale

PLUGIN = "napari-vesselkd"
LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def image():
    """(z, y, x) uint16: noise with lines of other widths, so that places have different codes."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (64, 160, 192)).astype(np.uint16)
    for index, y in enumerate(range(12, 150, 24)):
        image[20 : 22 + index, y : y + 2 + index, 16 * index :] = 900
    return image


@pytest.fixture
def source(tmp_path, image):
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, image, voxel_size_um=(2, 1, 1), chunk=(32, 64, 64))
    return path


@pytest.fixture
def explorer(viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    dock = CodesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Codes", area="right")
    yield Explorer(viewer, dock, qtbot)
    dock.release()
    qtbot.waitUntil(lambda: not any(task.running for task in dock.tasks), timeout=60_000)


@pytest.fixture
def opened(viewer, explorer, source):
    (layer,) = viewer.open(str(source), plugin=PLUGIN)
    explorer.settle()
    return layer


def codes(viewer):
    return viewer.layers["vesselkd: codes"]


def test_mapping_gives_a_layer_that_lies_exactly_over_the_image(viewer, explorer, opened, image):
    explorer.map_codes()
    layer = codes(viewer)
    data = np.asarray(layer.data)
    assert data.shape == (2, 5, 6)
    assert data.dtype == np.uint16
    assert data.min() >= 1
    np.testing.assert_allclose(layer.scale, np.multiply(opened.scale, 32))
    low = np.asarray(layer.data_to_world((-0.5, -0.5, -0.5)))
    np.testing.assert_allclose(low, opened.data_to_world((-0.5, -0.5, -0.5)))
    high = np.asarray(layer.data_to_world(np.array([2, 5, 6]) - 0.5))
    np.testing.assert_allclose(high, opened.data_to_world(np.array(image.shape) - 0.5))


def voxel_size_of(layer):
    return np.asarray(layer.data_to_world((1, 1, 1))) - np.asarray(layer.data_to_world((0, 0, 0)))


def bar_of(view, code):
    index = [bar.code for bar in view.bars].index(code)
    return view.bar_rect(index).center().toPoint()


def shown_codes(layer):
    """The codes that the layer's colours single out; none where all are shown."""
    colours = layer.colormap.color_dict
    return set() if colours[None][3] == 0 else {value - 1 for value in colours if value}


@pytest.fixture
def mapped(explorer, opened, viewer):
    explorer.map_codes()
    viewer.dims.set_current_step(0, 10)
    return explorer


def test_usage_counts_what_the_map_has(viewer, mapped):
    stored = np.asarray(codes(viewer).data)
    usage = mapped.panel.usage.usage
    np.testing.assert_array_equal(usage.counts, np.bincount(stored.ravel() - 1, minlength=256))
    bars = mapped.panel.usage.histogram.bars
    assert sum(bar.count for bar in bars) == stored.size
    assert [bar.count for bar in bars] == sorted((bar.count for bar in bars), reverse=True)
    mapped.click(mapped.panel.usage.order.button("By number"))
    assert [bar.code for bar in mapped.panel.usage.histogram.bars] == list(range(256))
    assert f"{len(set(stored.ravel()))} of 256 codes used" in mapped.panel.usage.fact.text()


def test_a_code_chosen_in_the_histogram_is_chosen_in_the_layer_the_plane_and_the_gallery(
    viewer, mapped, qtbot
):
    panel, layer = mapped.panel, codes(viewer)
    stored = np.asarray(layer.data)
    first, second = (bar.code for bar in panel.usage.histogram.bars[:2])
    qtbot.mouseClick(panel.usage.histogram, LEFT, pos=bar_of(panel.usage.histogram, first))
    mapped.settle()
    assert panel.chosen.codes == (first,)
    assert shown_codes(layer) == {first}
    assert panel.usage.plot.chosen == {first}
    assert {place.code for place in panel.places.gallery.places} == {first}
    assert len(panel.places.gallery.places) == min(12, int((stored == first + 1).sum()))
    assert panel.places.gallery.missing() == []
    qtbot.mouseClick(panel.usage.histogram, LEFT, CTRL, pos=bar_of(panel.usage.histogram, second))
    mapped.settle()
    assert shown_codes(layer) == {first, second}
    mapped.click(panel.details.clear_button)
    mapped.settle()
    assert shown_codes(layer) == set()
    assert panel.places.gallery.places == ()


def test_a_code_chosen_in_the_plane_is_chosen_everywhere(viewer, mapped, qtbot):
    panel = mapped.panel
    most = panel.usage.histogram.bars[0].code
    at = [bar.code for bar in panel.usage.plot.bars].index(most)
    x, y = panel.usage.plot.positions()[at]
    qtbot.mouseClick(panel.usage.plot, LEFT, pos=QPoint(round(x), round(y)))
    mapped.settle()
    assert panel.chosen.codes == (most,)
    assert panel.usage.histogram.chosen == {most}
    assert shown_codes(codes(viewer)) == {most}


def test_a_click_in_the_viewer_finds_the_code_there_and_its_runner_ups(viewer, mapped, opened, image):
    panel = mapped.panel
    mapped.click(panel.details.pick_button)
    stored = np.asarray(codes(viewer).data)
    for y, x in ((40, 100), (130, 20)):
        mapped.click_voxel(opened, y, x)
        found = panel.details.found
        assert found.cell == (0, y // 32, x // 32)
        assert found.code == stored[found.cell] - 1
        assert panel.chosen.codes == (found.code,)
        distances = [found.distance, *(far for _, far in found.others)]
        assert distances == sorted(distances)
        assert found.code not in dict(found.others)
        assert len(found.others) == 4
    assert str(panel.details.found.code) in panel.details.pick_fact.text()


def test_a_drag_in_the_viewer_moves_it_and_picks_nothing(viewer, mapped, opened, qtbot):
    mapped.click(mapped.panel.details.pick_button)
    before = tuple(viewer.scene.camera.center)
    mapped.drag_voxels(opened, (40, 100), (80, 140))
    assert mapped.panel.chosen.codes == ()
    assert tuple(viewer.scene.camera.center) != before


def test_without_pick_a_click_in_the_viewer_chooses_nothing(viewer, mapped, opened):
    mapped.click_voxel(opened, 40, 100)
    assert mapped.panel.chosen.codes == ()
    mapped.click(mapped.panel.details.pick_button)
    mapped.click(mapped.panel.details.pick_button)
    mapped.click_voxel(opened, 40, 100)
    assert mapped.panel.chosen.codes == ()
    assert mapped.panel.details.picker._press not in viewer.mouse_drag_callbacks


def test_a_runner_up_can_be_chosen(viewer, mapped, opened):
    panel = mapped.panel
    mapped.click(panel.details.pick_button)
    mapped.click_voxel(opened, 40, 100)
    second = panel.details.found.others[0][0]
    mapped.click(panel.details.card._others[0])
    mapped.settle()
    assert panel.chosen.codes == (second,)
    assert panel.details.found is not None, "the place stays, to choose the next runner-up"


def test_a_click_on_a_thumbnail_goes_there(viewer, mapped, opened, qtbot):
    panel = mapped.panel
    qtbot.mouseClick(
        panel.usage.histogram, LEFT, pos=bar_of(panel.usage.histogram, panel.usage.histogram.bars[0].code)
    )
    mapped.settle()
    gallery = panel.places.gallery
    place = gallery.places[-1]
    qtbot.mouseClick(gallery, LEFT, pos=gallery.cell_rect(len(gallery.places) - 1).center())
    z = opened.world_to_data(viewer.dims.point)[0]
    assert 32 * place.cell[0] <= z + 0.5 < 32 * (place.cell[0] + 1)
    centre = np.asarray(viewer.scene.camera.center[-2:]) / voxel_size_of(opened)[1:]
    np.testing.assert_allclose(centre, (np.array(place.cell[1:]) + 0.5) * 32 - 0.5, atol=1)


def test_the_thumbnail_is_the_projection_around_its_place(viewer, mapped, image, qtbot):
    panel = mapped.panel
    code = int(np.asarray(codes(viewer).data)[0, 2, 3]) - 1
    panel.chosen.choose((code,))
    mapped.settle()
    gallery = panel.places.gallery
    at = [place.cell for place in gallery.places].index((0, 2, 3))
    picture = gallery.picture(at)
    # 64 voxels of the finest axis; with 2 um in z, 32 slices
    raw = image[0:32, 48:112, 80:144].max(axis=0)
    expected = np.rint(255 * panel.shown.code_map.window.apply(raw))
    shown = np.array([[picture.pixelColor(x, y).value() for x in range(64)] for y in range(64)])
    np.testing.assert_array_equal(shown, expected)
