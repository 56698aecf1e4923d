"""A real viewer with the dock, and small volumes of every kind."""

import copy
import functools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from napari.settings import NapariSettings
from npe2.manifest import _bases as manifests
from qtpy.QtCore import Qt

import tooling
from correcting import Corrector, give_labels
from exploring import CODE_MAP, CodesDock, Explorer
from fake_learning import use_fake_job
from learner import Learner
from napari_vesselkd import jobs
from napari_vesselkd.plugin.segment_state import Phase, Where
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale


@pytest.fixture(scope="session", autouse=True)
def quick_windows():
    """Every new window reads the manifests of all plugins: once is enough. None writes napari's settings."""
    read = functools.cache(manifests._load_yaml_no_duplicates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "_load_yaml_no_duplicates", lambda file: copy.deepcopy(read(file.read())))
        patch.setattr(NapariSettings, "save", lambda *_, **__: None)
        yield


@pytest.fixture
def small_image():
    """(z, y, x) uint16 with a bright line along x."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (24, 48, 64)).astype(np.uint16)
    image[10:14, 20:24, :] = 900
    return image


@pytest.fixture
def viewer(make_napari_viewer):
    """A shown viewer of 1280 x 800."""
    shown = make_napari_viewer(show=True)
    shown.window._qt_window.resize(1280, 800)
    return shown


@pytest.fixture
def dock(viewer, qtbot, tmp_path, monkeypatch):
    """The VesselKD dock of `viewer`; what it writes by default goes to `tmp_path`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    _, widget = viewer.window.add_plugin_dock_widget("napari-vesselkd", "VesselKD")
    qtbot.wait(50)
    yield widget
    for task in (
        widget.segment._task,
        widget.segment._estimating,
        widget.segment._loading,
        widget.look.projections.latest.task,
        widget.look.projections._short,
        *(widget.look.codes.tasks if widget.look.codes else ()),
    ):
        if task is not None:
            task.cancel()
            qtbot.waitUntil(lambda task=task: not task.running, timeout=60_000)


@pytest.fixture
def drive(dock, qtbot):
    """Drives `dock` as a person would."""
    return Driver(dock, qtbot)


@pytest.fixture
def driver_of(qtbot):
    """Return the driver of any dock."""
    return lambda dock: Driver(dock, qtbot)


class Driver:
    """Drives one VesselKD dock as a person would: choose, click, wait, read."""

    def __init__(self, dock, qtbot):
        self.dock, self.qtbot = dock, qtbot
        self.tab = dock.segment
        self.blocks = []

    @property
    def panel(self):
        return self.tab.panel

    @property
    def form(self):
        return self.tab.form

    def choose(self, *, output=None, where=Where.WHOLE, block=32):
        """Fill in the form and wait for the pre-flight."""
        self.form.region.choice.button(where.value).click()
        if output is not None:
            self.form.output.setText(str(output))
        if block:
            self.form.block.setValue(block)
        self.settle()

    def settle(self):
        """Wait until the pre-flight of the form as it is now is shown."""
        tab = self.tab

        def settled():
            idle = not tab._estimate_timer.isActive() and not (tab._estimating and tab._estimating.running)
            return idle and not tab._estimate.busy

        self.qtbot.waitUntil(settled, timeout=60_000)

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self):
        """Press Run; reports are kept in `blocks` from here on."""
        self.blocks.clear()
        self.click(self.panel.run)
        self.tab._task.reported.connect(
            lambda report: self.blocks.append(report) if hasattr(report, "done") else None
        )

    def wait_for_blocks(self, count):
        self.qtbot.waitUntil(
            lambda: len(self.blocks) >= count or not self.tab.state.phase.active, timeout=120_000
        )
        assert len(self.blocks) >= count, self.tab.state

    def wait_for(self, phase):
        self.qtbot.waitUntil(lambda: not self.tab.state.phase.active, timeout=120_000)
        assert self.tab.state.phase is phase, self.tab.state
        self.settle()

    def finish(self):
        self.run()
        self.wait_for(Phase.FINISHED)


@pytest.fixture
def brain(tmp_path, small_image):
    """An OME-Zarr file of `small_image`, 2 x 1 x 1 um."""
    path = tmp_path / "brain.ome.zarr"
    write_multiscale(path, small_image, voxel_size_um=(2, 1, 1), chunk=(16, 32, 32))
    return path


@pytest.fixture
def project_path(tmp_path, brain):
    """A project of `brain`, closed, with labels: the bright line is vessel."""
    path = tmp_path / "brain.vesselkd"
    with Project.create(path, open_volume(brain)) as project:
        give_labels(project)
    return path


@pytest.fixture
def corrector(viewer, dock, qtbot, project_path):
    """Corrects blocks of `project_path` as a person would."""
    person = Corrector(viewer, dock, qtbot, project_path)
    yield person
    person.settle()


@pytest.fixture
def learner(dock, qtbot, tmp_path, monkeypatch):
    use_fake_job(monkeypatch)
    found = Learner(dock, qtbot)
    yield found
    for status in jobs.known_runs(tmp_path / "brain.vesselkd"):
        jobs.stop(status.path, wait=0)
    found.tab.release()
    found.settle()
    dock.session.close()


# A volume with its code map, on the Codes page


@pytest.fixture(scope="session")
def lines():
    """(z, y, x) uint16: noise with lines of other widths, so that places have different codes."""
    rng = np.random.default_rng(0)
    image = rng.integers(90, 110, (64, 160, 192)).astype(np.uint16)
    for index, y in enumerate(range(12, 150, 24)):
        image[20 : 22 + index, y : y + 2 + index, 16 * index :] = 900
    return image


@pytest.fixture(scope="session")
def code_folder(tmp_path_factory, lines):
    """A folder with the image and its code map, made once."""
    from napari_vesselkd.patterns.codes import map_codes  # torch, which most tests here do not need
    from napari_vesselkd.patterns.config import CodesConfig

    folder = tmp_path_factory.mktemp("codes")
    write_multiscale(folder / "brain.ome.zarr", lines, voxel_size_um=(2, 1, 1), chunk=(32, 64, 64))
    with open_volume(folder / "brain.ome.zarr") as volume:
        for _ in map_codes(volume, folder / CODE_MAP, CodesConfig("teacher-small")):
            pass
    return folder


@pytest.fixture
def lines_path(tmp_path, code_folder):
    """The image, without its code map."""
    return Path(shutil.copytree(code_folder / "brain.ome.zarr", tmp_path / "brain.ome.zarr"))


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
def opened_lines(viewer, explorer, lines_path):
    (layer,) = viewer.open(str(lines_path), plugin="napari-vesselkd")
    explorer.settle()
    return layer


@pytest.fixture
def mapped(explorer, lines_path, code_folder, viewer):
    """The image with its code map, as they are found on disk."""
    shutil.copytree(code_folder / CODE_MAP, lines_path.parent / CODE_MAP)
    viewer.open(str(lines_path), plugin="napari-vesselkd")
    explorer.settle()
    viewer.dims.set_current_step(0, 10)
    assert explorer.panel.shown is not None, explorer.form.error.headline.text()
    return explorer


@pytest.fixture
def mapped_layer(viewer, mapped):
    """The image layer of `mapped`."""
    return viewer.layers["brain"]


# A project with one planted error for each tool


@pytest.fixture
def planted_path(tmp_path):
    """A project, closed, whose labels have one error for each tool."""
    image, labels = tooling.planted()
    write_multiscale(tmp_path / "planted.ome.zarr", image, voxel_size_um=tooling.SIZE, chunk=(16, 32, 32))
    path = tmp_path / "planted.vesselkd"
    with open_volume(tmp_path / "planted.ome.zarr") as volume, Project.create(path, volume) as project:
        tooling.give_labels(project, labels)
    return path


@pytest.fixture
def proofreader(viewer, dock, qtbot, planted_path):
    """Uses the tools on blocks of `planted_path` as a person would."""
    person = tooling.Proofreader(viewer, dock, qtbot, planted_path)
    person.open_project()
    yield person
    person.settle()


@pytest.fixture
def shot(viewer, qtbot):
    """Saves pictures of the window in the folder VESSELKD_SHOTS, where that is set."""

    def save(name):
        if folder := os.environ.get("VESSELKD_SHOTS"):
            qtbot.wait(100)
            viewer.window.screenshot(str(Path(folder) / f"{name}.png"), flash=False, canvas_only=False)

    return save
