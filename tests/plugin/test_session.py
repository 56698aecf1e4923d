"""Projects in the dock: made, opened, refused, moved, remembered, read-only; the launcher and the reader."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from napari.layers import Labels

from napari_vesselkd.plugin.block_layer import BRUSH
from napari_vesselkd.plugin.launch import make_viewer
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale

PLUGIN = "napari-vesselkd"


@pytest.fixture
def bar(dock):
    return dock.bar


def test_new_proposes_a_place_beside_the_image_and_opens_the_project(
    viewer, dock, bar, corrector, brain, monkeypatch
):
    assert not bar.new.isEnabled()
    viewer.open(str(brain), plugin=PLUGIN)
    asked = []
    target = brain.with_name("mine")
    monkeypatch.setattr(
        "napari_vesselkd.plugin.project_bar.QFileDialog.getSaveFileName",
        lambda _parent, _title, start, _kinds: (asked.append(start), (str(target), ""))[1],
    )
    corrector.qtbot.waitUntil(bar.new.isEnabled, timeout=5000)
    corrector.click(bar.new)
    assert asked == [str(brain.with_name("brain.vesselkd"))]
    assert dock.session.project.path == target.with_name("mine.vesselkd")
    assert dock.session.layer is viewer.layers["brain"]
    assert bar.title.text() == "mine"
    assert "vesselkd: corrections" in viewer.layers
    corrector.close_project()
    assert bar.title.text() == "No project"
    assert not viewer.layers["vesselkd: corrections"].visible


def test_opening_restores_layers_block_view_and_tab(viewer, dock, corrector):
    corrector.open_project()
    corrector.edit_here()
    number = corrector.tab.block.number
    viewer.dims.set_point(0, 6)
    viewer.scene.camera.center = (0, 11, 22)
    viewer.scene.camera.zoom = 7
    dock.show_tab("Correct")
    corrector.close_project()
    dock.show_tab("Segment")
    viewer.scene.camera.zoom = 1
    viewer.dims.set_point(0, 0)
    corrector.open_project()
    assert {"brain", "vesselkd: student", "vesselkd: corrections", "vesselkd: block"} == {
        layer.name for layer in viewer.layers
    }
    assert corrector.tab.block.number == number
    assert dock.current_tab() == "Correct"
    assert viewer.scene.camera.zoom == pytest.approx(7)
    assert viewer.dims.point[0] == 6
    np.testing.assert_allclose(viewer.scene.camera.center, (0, 11, 22))


def test_a_broken_view_file_is_said_and_nothing_else(viewer, dock, bar, corrector):
    (corrector.path / "view.json").write_text("{")
    corrector.open_project()
    assert "view.json" in bar.notices.text.text()
    corrector.click(bar.dismiss)
    assert not bar.notices.isVisible()


def test_a_moved_image_is_asked_for_once(viewer, dock, bar, corrector, brain, monkeypatch):
    moved = brain.with_name("elsewhere").joinpath("brain.ome.zarr")
    moved.parent.mkdir()
    brain.rename(moved)
    corrector.open_project()
    assert dock.session.image_missing
    assert bar.error.isVisible()
    assert str(brain) in bar.fact.text()
    assert not corrector.panel.edit.isEnabled()
    other = brain.with_name("other.ome.zarr")
    write_multiscale(other, np.zeros((8, 16, 16), np.uint16), voxel_size_um=(1, 1, 1))
    for path, missing in ((other, True), (moved, False)):
        monkeypatch.setattr(
            "napari_vesselkd.plugin.project_bar.QFileDialog.getExistingDirectory",
            lambda *_args, path=path: str(path),
        )
        corrector.click(bar.find_folder)
        assert dock.session.image_missing is missing
        assert bar.error.isVisible() is missing
    corrector.edit_here()
    corrector.close_project()
    corrector.open_project()
    assert not dock.session.image_missing


def test_an_image_without_a_file_is_found_among_the_layers(viewer, dock, corrector, small_image, tmp_path):
    layer = viewer.add_image(small_image, name="in memory", scale=(2, 1, 1))
    dock.session.create(layer, tmp_path / "memory.vesselkd")
    corrector.settle()
    corrector.close_project()
    corrector.open_project(tmp_path / "memory.vesselkd")
    assert dock.session.layer is layer


def _newer(path):
    values = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps({**values, "version": 99}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "no project here"),
        (lambda path: (path / "project.json").unlink(), "project.json"),
        (lambda path: (path / "project.json").write_text("{"), "cannot be read"),
        (_newer, "newer version"),
        (lambda path: (path / "journal.jsonl").unlink(), "journal is missing"),
    ],
)
def test_a_bad_project_is_refused_in_place(viewer, dock, bar, corrector, spoil, said):
    spoil(corrector.path)
    dock.session.open(corrector.path)
    corrector.settle()
    assert dock.session.project is None
    assert bar.error.isVisible()
    assert said in bar.error.headline.text()
    corrector.click(bar.dismiss)
    assert not bar.error.isVisible()


def test_a_project_held_elsewhere_is_read_only_and_every_control_says_why(viewer, dock, bar, corrector):
    with Project.open(corrector.path):
        corrector.open_project()
        assert dock.session.project.read_only
        assert "read-only" in bar.fact.text()
        assert "read-only" in bar.notices.text.text()
        panel = corrector.panel
        for button in (panel.edit, panel.next, panel.previous, panel.open, panel.accept, panel.skip):
            assert not button.isEnabled()
            assert "read-only" in button.toolTip()
        assert not (corrector.path / "view.json").exists()
    corrector.open_project()
    assert not dock.session.project.read_only


def test_file_open_opens_a_project_in_the_dock(viewer, dock, corrector, qtbot):
    viewer.open(str(corrector.path), plugin=PLUGIN)
    qtbot.waitUntil(lambda: dock.session.layer is not None, timeout=30_000)
    corrector.settle()
    assert "vesselkd: student" in viewer.layers


def test_the_launcher_opens_a_project(make_napari_viewer, monkeypatch, tmp_path, project_path, qtbot):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("napari.Viewer", lambda **_: make_napari_viewer(show=True))
    viewer, dock = make_viewer(project=project_path)
    qtbot.waitUntil(lambda: dock.session.layer is not None, timeout=30_000)
    assert "vesselkd: student" in viewer.layers
    qtbot.waitUntil(lambda: not dock.correct.busy, timeout=30_000)
    for task in (dock.segment._loading, dock.segment._estimating):
        qtbot.waitUntil(lambda task=task: task is None or not task.running, timeout=60_000)


def test_closing_the_viewer_with_a_block_open_saves_it_and_frees_the_project(
    make_napari_viewer, qtbot, project_path, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, "VesselKD")
    dock.session.open(project_path)
    qtbot.waitUntil(lambda: dock.session.layer is not None, timeout=30_000)
    dock.correct.edit_here()
    qtbot.waitUntil(lambda: dock.correct.block is not None and not dock.correct.busy, timeout=30_000)
    layer, number = dock.correct.block.layer, dock.correct.block.number
    layer.data[0, 0, 0] = 2
    for task in (dock.segment._loading, dock.segment._estimating):
        qtbot.waitUntil(lambda task=task: task is None or not task.running, timeout=60_000)
    viewer.close()
    qtbot.waitUntil(lambda: not _held(project_path), timeout=30_000)
    with Project.open(project_path) as project:
        assert project.edit_block(number).voxels[0, 0, 0] == 2


def _held(path):
    with Project.open(path) as project:
        return project.read_only


PAINTER = """
    import sys
    import napari
    import numpy as np
    from qtpy.QtTest import QTest
    from napari_vesselkd.plugin.launch import make_viewer

    viewer, dock = make_viewer(project=sys.argv[1])
    while dock.session.layer is None:
        QTest.qWait(20)
    dock.correct.panel.side.setValue(32)
    dock.correct.edit_here()
    while dock.correct.block is None:
        QTest.qWait(20)
    layer = dock.correct.block.layer
    print("block", dock.correct.block.number, flush=True)
    for step in range(10_000):
        with layer.block_history():  # as napari's mouse drag does it
            layer.paint((step % layer.data.shape[0], 4 + step % 9, 4 + step % 7), 1 + step % 2)
        print(step, flush=True)
        QTest.qWait(5)
"""


def painted(start, strokes):
    """Return what the strokes of PAINTER make of `start`."""
    layer = Labels(start.copy())
    layer.brush_size = BRUSH
    for step in range(strokes):
        layer.paint((step % start.shape[0], 4 + step % 9, 4 + step % 7), 1 + step % 2)
    return layer.data


@pytest.mark.slow
@pytest.mark.parametrize("strokes", [1, 7, 40])
def test_a_viewer_killed_while_painting_loses_no_finished_stroke(project_path, tmp_path, strokes):
    command = [sys.executable, "-c", textwrap.dedent(PAINTER), str(project_path)]
    env = {**os.environ, "HOME": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        number = next(int(line.split()[1]) for line in process.stdout if line.startswith("block"))
        finished = next(int(line) for line in process.stdout if int(line) >= strokes) + 1
        os.kill(process.pid, signal.SIGKILL)
        finished += len(process.stdout.readlines())
    with Project.open(project_path) as project:
        assert not project.read_only
        edit = project.edit_block(number)
        start = project.labels.read(edit.region) + 1
        amid = 1  # the stroke it was at may be there or not
        expected = [painted(start, count) for count in range(finished, finished + amid + 1)]
        assert any(np.array_equal(edit.voxels, one) for one in expected)
        assert edit.can_undo
        while edit.undo() is not None:
            pass
        np.testing.assert_array_equal(edit.voxels, start)


def test_the_image_of_the_project_keeps_its_own_layer(viewer, dock, corrector, brain):
    (layer,) = viewer.open(str(brain), plugin=PLUGIN)
    corrector.open_project()
    assert dock.session.layer is layer
    assert dock.session.volume.signature() == open_volume(brain).signature()
