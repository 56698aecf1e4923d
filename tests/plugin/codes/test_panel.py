"""The Codes page in a real window: mapping, choosing, picking, going there."""

import numpy as np
from qtpy.QtCore import QPoint, Qt

PLUGIN = "napari-vesselkd"
MAP = "brain-teacher-small.codes.ome.zarr"
LEFT = Qt.MouseButton.LeftButton
CTRL = Qt.KeyboardModifier.ControlModifier


def codes(viewer):
    return viewer.layers["vesselkd: codes"]


def test_mapping_gives_a_layer_that_lies_exactly_over_the_image(viewer, explorer, opened_lines, lines):
    explorer.map_codes()
    layer = codes(viewer)
    data = np.asarray(layer.data)
    assert data.shape == (2, 5, 6)
    assert data.dtype == np.uint16
    assert data.min() >= 1
    np.testing.assert_allclose(layer.scale, np.multiply(opened_lines.scale, 32))
    low = np.asarray(layer.data_to_world((-0.5, -0.5, -0.5)))
    np.testing.assert_allclose(low, opened_lines.data_to_world((-0.5, -0.5, -0.5)))
    high = np.asarray(layer.data_to_world(np.array([2, 5, 6]) - 0.5))
    np.testing.assert_allclose(high, opened_lines.data_to_world(np.array(lines.shape) - 0.5))


def voxel_size_of(layer):
    return np.asarray(layer.data_to_world((1, 1, 1))) - np.asarray(layer.data_to_world((0, 0, 0)))


def bar_of(view, code):
    index = [bar.code for bar in view.bars].index(code)
    return view.bar_rect(index).center().toPoint()


def shown_codes(layer):
    """The codes that the layer's colours single out; none where all are shown."""
    colours = layer.colormap.color_dict
    return set() if colours[None][3] == 0 else {value - 1 for value in colours if value}


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
    panel, shown = mapped.panel, codes(viewer)
    stored = np.asarray(shown.data)
    first, second = (bar.code for bar in panel.usage.histogram.bars[:2])
    qtbot.mouseClick(panel.usage.histogram, LEFT, pos=bar_of(panel.usage.histogram, first))
    mapped.settle()
    assert panel.chosen.codes == (first,)
    assert shown_codes(shown) == {first}
    assert panel.usage.plot.chosen == {first}
    assert {place.code for place in panel.places.gallery.places} == {first}
    assert len(panel.places.gallery.places) == min(12, int((stored == first + 1).sum()))
    assert panel.places.gallery.missing() == []
    qtbot.mouseClick(panel.usage.histogram, LEFT, CTRL, pos=bar_of(panel.usage.histogram, second))
    mapped.settle()
    assert shown_codes(shown) == {first, second}
    mapped.click(panel.details.clear_button)
    mapped.settle()
    assert shown_codes(shown) == set()
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


def test_a_click_in_the_viewer_finds_the_code_there_and_its_runner_ups(viewer, mapped, mapped_layer):
    panel = mapped.panel
    mapped.click(panel.details.pick_button)
    stored = np.asarray(codes(viewer).data)
    for y, x in ((40, 100), (130, 20)):
        mapped.click_voxel(mapped_layer, y, x)
        found = panel.details.found
        assert found is not None, panel.details.pick_fact.text()
        assert found.cell == (0, y // 32, x // 32)
        assert found.code == stored[found.cell] - 1
        assert panel.chosen.codes == (found.code,)
        distances = [found.distance, *(far for _, far in found.others)]
        assert distances == sorted(distances)
        assert found.code not in dict(found.others)
        assert len(found.others) == 4
    assert str(panel.details.found.code) in panel.details.pick_fact.text()


def test_a_drag_in_the_viewer_moves_it_and_picks_nothing(viewer, mapped, mapped_layer, qtbot):
    mapped.click(mapped.panel.details.pick_button)
    before = tuple(viewer.scene.camera.center)
    mapped.drag_voxels(mapped_layer, (40, 100), (80, 140))
    assert mapped.panel.chosen.codes == ()
    assert tuple(viewer.scene.camera.center) != before


def test_without_pick_a_click_in_the_viewer_chooses_nothing(viewer, mapped, mapped_layer):
    mapped.click_voxel(mapped_layer, 40, 100)
    assert mapped.panel.chosen.codes == ()
    mapped.click(mapped.panel.details.pick_button)
    mapped.click(mapped.panel.details.pick_button)
    mapped.click_voxel(mapped_layer, 40, 100)
    assert mapped.panel.chosen.codes == ()
    assert mapped.panel.details.picker._press not in viewer.mouse_drag_callbacks


def test_a_runner_up_can_be_chosen(viewer, mapped, mapped_layer):
    panel = mapped.panel
    mapped.click(panel.details.pick_button)
    mapped.click_voxel(mapped_layer, 40, 100)
    second = panel.details.found.others[0][0]
    mapped.click(panel.details.card._others[0])
    mapped.settle()
    assert panel.chosen.codes == (second,)
    assert panel.details.found is not None, "the place stays, to choose the next runner-up"


def test_a_click_on_a_thumbnail_goes_there(viewer, mapped, mapped_layer, qtbot):
    panel = mapped.panel
    qtbot.mouseClick(
        panel.usage.histogram, LEFT, pos=bar_of(panel.usage.histogram, panel.usage.histogram.bars[0].code)
    )
    mapped.settle()
    gallery = panel.places.gallery
    place = gallery.places[-1]
    qtbot.mouseClick(gallery, LEFT, pos=gallery.cell_rect(len(gallery.places) - 1).center())
    z = mapped_layer.world_to_data(viewer.dims.point)[0]
    assert 32 * place.cell[0] <= z + 0.5 < 32 * (place.cell[0] + 1)
    centre = np.asarray(viewer.scene.camera.center[-2:]) / voxel_size_of(mapped_layer)[1:]
    np.testing.assert_allclose(centre, (np.array(place.cell[1:]) + 0.5) * 32 - 0.5, atol=1)


def test_the_thumbnail_is_the_projection_around_its_place(viewer, mapped, lines):
    panel = mapped.panel
    panel.chosen.choose((panel.usage.histogram.bars[0].code,))
    mapped.settle()
    cells = [place.cell for place in panel.places.gallery.places]
    assert len(cells) > 3
    # 64 voxels of the finest axis; with 2 um in z, 32 slices
    padded = np.pad(lines.astype(float), ((0, 0), (32, 32), (32, 32)), constant_values=-np.inf)
    for index, (z, y, x) in enumerate(cells[:4]):
        raw = padded[32 * z : 32 * z + 32, 32 * y + 16 : 32 * y + 80, 32 * x + 16 : 32 * x + 80].max(axis=0)
        expected = np.rint(255 * panel.shown.code_map.window.apply(np.maximum(raw, 0).astype(np.uint16)))
        picture = panel.places.gallery.picture(index)
        shown = np.array([[picture.pixelColor(x, y).value() for x in range(64)] for y in range(64)])
        np.testing.assert_array_equal(shown[np.isfinite(raw)], expected[np.isfinite(raw)])
        assert (shown[~np.isfinite(raw)] == 0).all()
