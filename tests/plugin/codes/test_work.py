"""The Codes page in a real window: notes, meaning, comparing, projects, stopping, bad input."""

import csv
import shutil

import numpy as np
import pytest
import zarr
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QColorDialog

from exploring import CODE_MAP
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.plugin.codes.colours import rgba
from napari_vesselkd.plugin.segment_state import Phase
from napari_vesselkd.project import Project
from napari_vesselkd.volume import Volume, create_multiscale, open_volume, write_multiscale

PLUGIN = "napari-vesselkd"
LEFT = Qt.MouseButton.LeftButton


def stored(viewer):
    return np.asarray(viewer.layers["vesselkd: codes"].data)


@pytest.fixture
def one(mapped):
    """The most used code, chosen."""
    code = mapped.panel.usage.histogram.bars[0].code
    mapped.panel.chosen.choose((code,))
    mapped.settle()
    return code


def notes(mapped):
    return CodeNotes.load(CheckpointRegistry().root, mapped.panel.shown.code_map.sha256)


def test_a_name_typed_is_kept_and_shown_everywhere(viewer, mapped, one):
    panel = mapped.panel
    panel.details.card.name.setFocus()
    QTest.keyClicks(panel.details.card.name, "bright stem")
    QTest.keyClick(panel.details.card.name, Qt.Key.Key_Return)
    mapped.settle()
    assert notes(mapped).of(one).name == "bright stem"
    assert "bright stem" in panel.details.chosen_fact.text()
    assert panel.usage.histogram.bars[0].name == "bright stem"
    features = viewer.layers["vesselkd: codes"].features
    assert list(features.loc[features["index"] == one + 1, "code"]) == [f"{one} bright stem"]


def test_a_colour_chosen_is_kept_and_painted(viewer, mapped, one, qtbot):
    panel = mapped.panel
    mapped.click(panel.details.card.colour)
    dialog = panel.details.card.findChild(QColorDialog)
    dialog.setCurrentColor(QColor("#12ab34"))
    dialog.accept()
    mapped.settle()
    assert notes(mapped).of(one).colour == "#12ab34"
    colour = viewer.layers["vesselkd: codes"].colormap.color_dict[one + 1]
    np.testing.assert_allclose(colour, rgba("#12ab34"), atol=1e-6)
    assert panel.usage.histogram.bars[0].colour == "#12ab34"


def test_codes_marked_as_artefact_become_a_mask(viewer, mapped, one):
    panel = mapped.panel
    assert not panel.details.mask_button.isVisible()
    mapped.click(panel.details.card.artefact)
    mapped.settle()
    assert notes(mapped).artefacts == (one,)
    mapped.click(panel.details.mask_button)
    layer = viewer.layers["vesselkd: artefacts"]
    np.testing.assert_array_equal(np.asarray(layer.data), stored(viewer) == one + 1)
    np.testing.assert_allclose(layer.scale, viewer.layers["vesselkd: codes"].scale)
    second = panel.usage.histogram.bars[1].code
    panel.noting.say((second,), artefact=True)
    mapped.settle()
    np.testing.assert_array_equal(
        np.asarray(viewer.layers["vesselkd: artefacts"].data), np.isin(stored(viewer), [one + 1, second + 1])
    )


def test_notes_that_cannot_be_read_are_said_and_nothing_is_overwritten(
    viewer, explorer, lines_path, code_folder
):
    shutil.copytree(code_folder / CODE_MAP, lines_path.parent / CODE_MAP)
    broken = CodeNotes.load(CheckpointRegistry().root, CodeMap.open(code_folder / CODE_MAP).sha256).path
    broken.parent.mkdir(parents=True)
    broken.write_text("{", encoding="utf-8")
    viewer.open(str(lines_path), plugin=PLUGIN)
    explorer.settle()
    panel = explorer.panel
    panel.chosen.choose((panel.usage.histogram.bars[0].code,))
    assert "cannot be read" in panel.details.card.locked.text()
    assert not panel.details.card.name.isEnabled()
    assert broken.read_text(encoding="utf-8") == "{"


def test_what_the_decoder_makes_of_a_code_is_shown_when_it_is_asked_for(mapped, one):
    card = mapped.panel.details.card
    assert mapped.panel.details._decoding is None
    mapped.click(card.decoded.header)
    mapped.settle()
    first = card._pictures[0].pixmap().toImage()
    values = {first.pixelColor(x, y).value() for x in range(0, 120, 8) for y in range(0, 120, 8)}
    assert len(values) > 5


@pytest.fixture
def labels(viewer, mapped, mapped_layer, lines):
    """Labels over the image: its lines."""
    return viewer.add_labels(
        (lines > 500).astype(np.uint8),
        scale=mapped_layer.scale,
        translate=mapped_layer.translate,
        units=mapped_layer.units,
        name="lines",
    )


def test_codes_are_described_in_a_table_that_chooses_them(viewer, mapped, labels, lines, qtbot, tmp_path):
    panel = mapped.panel
    mapped.click(panel.meaning_fold.header)
    mapped.click(panel.meaning.describe_button)
    mapped.settle()
    table, view = panel.meaning.table, panel.meaning.view
    most = panel.usage.histogram.bars[0].code
    under = np.repeat(np.repeat(np.repeat(stored(viewer), 32, 0), 32, 1), 32, 2)[:64, :160, :192] == most + 1
    assert table.vessel_fraction[most] == pytest.approx((lines > 500)[under].mean())
    assert "vessel" in panel.usage.plot.legend
    assert view.codes.rowCount() == len(panel.usage.histogram.bars)
    assert view.codes.codes[0] == most
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(view.codes.index(1, 1)).center())
    mapped.settle()
    assert panel.chosen.codes == (int(view.codes.codes[1]),)
    assert "vessel" in panel.details.card.facts.text()
    panel.chosen.choose((most,))
    assert [index.row() for index in view.selectionModel().selectedRows()] == [0]
    panel.meaning.save_csv(str(tmp_path / "codes.csv"))
    mapped.settle()
    with (tmp_path / "codes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 256
    assert float(rows[most]["vessel_fraction"]) == pytest.approx(table.vessel_fraction[most])


def test_the_table_is_sorted_by_a_click_on_its_head(mapped, labels, qtbot):
    panel = mapped.panel
    mapped.click(panel.meaning_fold.header)
    mapped.click(panel.meaning.describe_button)
    mapped.settle()
    view = panel.meaning.view
    head = view.horizontalHeader()
    at = head.sectionViewportPosition(2) + head.sectionSize(2) // 2
    qtbot.mouseClick(head.viewport(), LEFT, pos=QPoint(at, 8))
    shares = panel.meaning.table.vessel_fraction[view.codes.codes]
    shares = shares[np.isfinite(shares)]
    assert (np.diff(shares) >= 0).all() or (np.diff(shares) <= 0).all()
    assert len(set(shares)) > 2


def test_usage_of_the_vessels_and_of_the_view(viewer, mapped, mapped_layer, labels, lines):
    panel = mapped.panel
    codes = stored(viewer)
    vessel = np.add.reduceat(
        np.add.reduceat(np.add.reduceat(lines > 500, [0, 32], 0), range(0, 160, 32), 1), range(0, 192, 32), 2
    )
    mapped.click(panel.usage.where.button("Vessels"))
    mapped.settle()
    np.testing.assert_array_equal(panel.usage.usage.counts, np.bincount(codes[vessel > 0] - 1, minlength=256))
    mapped.click(panel.usage.where.button("In view"))
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (0, 16, 16)
    mapped.qtbot.wait(200)
    mapped.settle()
    view = panel.usage.usage
    assert 0 < view.cells < codes.size
    seen = panel._view_cells()
    assert view.cells == seen.size


def test_usage_kept_is_compared_with_the_next(viewer, mapped, labels):
    panel = mapped.panel
    mapped.click(panel.compare_fold.header)
    mapped.click(panel.compare.keep_button)
    assert "everywhere" in panel.compare.usage_fact.text()
    mapped.click(panel.usage.where.button("Vessels"))
    mapped.settle()
    text = panel.compare.usage_fact.text()
    assert "bits from brain, everywhere" in text
    difference = panel.compare.difference
    used = panel.compare.kept.usage.counts + panel.usage.usage.counts
    assert all(used[code] for code in difference.certain)


def test_a_map_of_another_checkpoint_is_compared_and_shown(viewer, mapped, lines_path):
    panel = mapped.panel
    other = lines_path.parent / "brain-other.codes.ome.zarr"
    shutil.copytree(lines_path.parent / CODE_MAP, other)
    codes = CodeMap.open(other)
    array = zarr.open_array(other / codes.levels[0].path.strip("/"), mode="r+")
    changed = np.asarray(array[:])
    changed[0, :2] = changed[0, :2] % 256 + 1
    array[:] = changed
    panel.compare.list_maps()
    mapped.settle()
    mapped.click(panel.compare_fold.header)
    mapped.click(panel.compare.compare_button)
    mapped.settle()
    layer = viewer.layers["vesselkd: codes changed"]
    np.testing.assert_array_equal(np.asarray(layer.data), changed != stored(viewer))
    assert f"{(changed != stored(viewer)).mean():.1%} of" in panel.compare.map_fact.text()


def test_the_histogram_and_the_plane_are_saved_as_png(mapped, tmp_path):
    mapped.panel.save_png(str(tmp_path / "codes.png"))
    with Image.open(tmp_path / "codes.png") as picture:
        assert picture.width == 3 * mapped.panel.usage.histogram.width()
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert len(colours) > 20
    mapped.panel.save_png(str(tmp_path / "nowhere" / "codes.png"))
    assert "cannot be written" in mapped.panel.details.pick_fact.text()


# Maps: kept, continued, in a project, refused


def test_what_is_not_chosen_is_all_of_the_form(viewer, explorer):
    explorer.settle()
    assert not explorer.form.run.isEnabled()
    assert "Open a volume first" in explorer.form.volume_fact.text()
    assert "256 codes" in explorer.form.teacher_fact.text()
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="retina")
    explorer.settle()
    assert "Split RGB" in explorer.form.volume_fact.text()
    assert not explorer.form.run.isEnabled()


def test_only_checkpoints_with_a_codebook_are_listed(explorer):
    explorer.settle()
    names = [explorer.form.teacher.itemText(i) for i in range(explorer.form.teacher.count())]
    assert names == ["teacher-small"]


def test_a_map_of_another_image_is_refused(viewer, explorer, lines_path, code_folder, lines):
    other = lines_path.parent / "other.ome.zarr"
    write_multiscale(other, lines[::-1], voxel_size_um=(2, 1, 1), chunk=(32, 64, 64))
    shutil.copytree(code_folder / CODE_MAP, lines_path.parent / CODE_MAP.replace("brain", "other"))
    viewer.open(str(other), plugin=PLUGIN)
    explorer.settle()
    assert "another image" in explorer.form.error.headline.text()
    assert explorer.panel.shown is None
    assert "vesselkd: codes" not in viewer.layers


def test_stop_keeps_what_is_done_and_the_next_run_goes_on(viewer, explorer, opened_lines, lines_path):
    form, run = explorer.form, explorer.run
    explorer.settle()
    explorer.click(form.region.choice.button("Whole"))
    explorer.settle()
    explorer.click(form.run)
    explorer.qtbot.waitUntil(lambda: run.state.progress is not None, timeout=120_000)
    explorer.click(form.stop)
    explorer.qtbot.waitUntil(lambda: not run.state.phase.active, timeout=120_000)
    explorer.settle()
    assert run.state.phase is Phase.CANCELLED
    done = np.asarray(CodeMap.open(lines_path.parent / CODE_MAP).codes[:])
    assert 0 < np.count_nonzero(done) < done.size
    np.testing.assert_array_equal(stored(viewer), done)
    assert "Stopped; Map codes goes on" in form.bar_text.text()
    explorer.click(form.run)
    explorer.qtbot.waitUntil(lambda: not run.state.phase.active, timeout=120_000)
    explorer.settle()
    assert run.state.progress.resumed > 0
    assert stored(viewer).all()
    np.testing.assert_array_equal(stored(viewer)[done > 0], done[done > 0])


def test_in_a_project_the_map_is_kept_in_it_and_hidden_when_it_is_closed(
    viewer, explorer, lines_path, code_folder, tmp_path
):
    with open_volume(lines_path) as volume:
        Project.create(tmp_path / "brain.vesselkd", volume).close()
    kept = tmp_path / "brain.vesselkd" / "codes" / "teacher-small.codes.ome.zarr"
    shutil.copytree(code_folder / CODE_MAP, kept)
    session = explorer.dock.session
    session.open(tmp_path / "brain.vesselkd")
    explorer.qtbot.waitUntil(lambda: session.project is not None and not session.busy, timeout=60_000)
    explorer.settle()
    explorer.qtbot.wait(100)
    explorer.settle()
    assert explorer.panel.shown.code_map.path == kept
    assert "in brain.vesselkd" in explorer.form.kept.text()
    assert viewer.layers["vesselkd: codes"].visible
    session.close()
    explorer.settle()
    assert not viewer.layers["vesselkd: codes"].visible


@pytest.mark.parametrize("kind", ["numpy", "2d", "4d"])
def test_layers_from_elsewhere_are_mapped_where_they_lie(viewer, explorer, lines, kind):
    data = {
        "numpy": lines[:40, :40, :40],
        "2d": lines[20, :64, :64],
        "4d": np.stack([lines[:20, :40, :64]] * 2),
    }
    layer = viewer.add_image(
        data[kind], scale=(1, 2, 1, 1)[-data[kind].ndim :], translate=(0, 50, 60, 70)[-data[kind].ndim :]
    )
    explorer.map_codes()
    codes = viewer.layers["vesselkd: codes"]
    assert np.asarray(codes.data).all()
    corner = np.asarray(codes.data_to_world((-0.5,) * codes.ndim))
    wanted = np.asarray(layer.data_to_world((-0.5,) * layer.ndim))[-codes.ndim :]
    np.testing.assert_allclose(corner, wanted)


def test_a_layer_of_codes_that_is_removed_comes_back_with_the_next_map(viewer, mapped):
    viewer.layers.remove("vesselkd: codes")
    mapped.settle()
    mapped.panel.chosen.choose((mapped.panel.usage.histogram.bars[0].code,))
    mapped.settle()
    assert mapped.panel.places.gallery.places
    mapped.click(mapped.panel.map_fold.header)
    mapped.map_codes()
    assert "vesselkd: codes" in viewer.layers


def test_of_a_virtual_volume_of_400_gb_only_the_view_is_mapped(viewer, explorer, tmp_path, monkeypatch):
    shape = (4096, 10_000, 10_000)
    path = tmp_path / "huge.ome.zarr"
    levels = create_multiscale(path, shape, "uint8", voxel_size_um=(1, 1, 1), chunk=(128, 128, 128))
    rng = np.random.default_rng(0)
    levels[0][2048:2112, 5000:5100, 5000:5100] = rng.integers(0, 255, (64, 100, 100), dtype=np.uint8)
    del levels
    viewer.open(str(path), plugin=PLUGIN)
    viewer.dims.set_current_step(0, 2080)
    viewer.scene.camera.center = (0, 5050, 5050)
    viewer.scene.camera.zoom = 10
    explorer.settle()
    read = []
    original = Volume.read
    monkeypatch.setattr(
        Volume, "read", lambda self, region, level=0: (read.append(region), original(self, region, level))[1]
    )
    explorer.map_codes("View")
    panel = explorer.panel
    codes = viewer.layers["vesselkd: codes"]
    assert codes.data.shape == (128, 313, 313)
    wanted = panel._view_cells()
    stored = np.asarray(panel.shown.code_map.read(wanted))
    assert stored.all()
    assert 0 < panel.usage.usage.cells <= 4 * wanted.size
    # a sample for the intensity window, one for the signature at each opening; the windows of the cells
    assert sum(region.size for region in read) < 60e6 + 8 * wanted.size * 128**3
    panel.chosen.choose((panel.usage.histogram.bars[0].code,))
    read.clear()
    explorer.settle()
    places = panel.places.gallery.places
    assert places
    assert panel.places.gallery.missing() == []
    assert sum(region.size for region in read) <= len(places) * 64**3


def test_the_page_fits_a_dock_350_pixels_wide(viewer, mapped, mapped_layer, labels):
    panel = mapped.panel
    for fold in (panel.map_fold, panel.meaning_fold, panel.compare_fold):
        fold.header.setChecked(True)
    mapped.click(panel.meaning.describe_button)
    mapped.click(panel.details.pick_button)
    mapped.settle()
    mapped.click_voxel(mapped_layer, 40, 100)
    panel.details.card.decoded.header.setChecked(True)
    panel.noting.say(panel.chosen.codes, name="a name that is rather long for a code", artefact=True)
    mapped.settle()
    area = mapped.dock.area
    assert area.widget().minimumSizeHint().width() <= area.viewport().width()
    assert panel.width() <= area.viewport().width()


def test_the_page_is_the_second_one_of_look(viewer, dock, qtbot, lines_path):
    dock.show_tab("Look")
    qtbot.mouseClick(dock.look.page.button("Codes"), LEFT)
    panel = dock.look.codes
    assert panel.isVisible()
    viewer.open(str(lines_path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: panel.idle and panel.run.form.run.isEnabled(), timeout=60_000)
    assert "cells in" in panel.run.form.estimate.text()
