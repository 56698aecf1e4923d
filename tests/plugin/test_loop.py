"""The whole loop in one real window, on a real volume, with a real job; as the README tells it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from correcting import Corrector
from napari_vesselkd.plugin.segment_state import Where
from napari_vesselkd.project import BlockState, Project

SIDE = 40
STEPS = 10
SHOTS = os.environ.get("VESSELKD_SHOTS")


@pytest.fixture
def image(tmp_path, monkeypatch):
    """The light-sheet crop, copied; jobs keep what they cache and know in a folder of the test."""
    if "VESSELKD_DATA" not in os.environ:
        pytest.skip("VESSELKD_DATA is not set: no real volumes")
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    source = Path(os.environ["VESSELKD_DATA"]) / "vesselexpress_lightsheet" / "image.tif"
    return shutil.copy(source, tmp_path / "crop.tif")


def shot(viewer, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(Path(SHOTS) / f"{name}.png"), canvas_only=False, flash=False)


@pytest.mark.slow
@pytest.mark.window
@pytest.mark.timeout(900)
def test_the_loop(image, viewer, dock, drive, qtbot, tmp_path):
    path = tmp_path / "crop.vesselkd"
    viewer.open(str(image), plugin="napari-vesselkd")
    session, learn = dock.session, dock.learn

    # A project for the layer, and a first segmentation into it
    session.create(viewer.layers[0], path)
    qtbot.waitUntil(lambda: session.project is not None and not session.busy, timeout=60_000)
    shot(viewer, "1-project")
    dock.show_tab("Segment")
    drive.choose(where=Where.WHOLE, block=None)
    drive.finish()
    before = np.asarray(session.project.labels.levels[0][...])
    assert before.any() and "vesselkd: student" in viewer.layers
    shot(viewer, "2-segmented")

    # Three blocks corrected with the mouse and accepted
    person = Corrector(viewer, dock, qtbot, path)
    person.panel.side.setValue(SIDE)
    person.settle()
    person.click(person.panel.next)
    for _ in range(3):  # each Accept goes on to the next
        painted = person.layer.data.copy()
        person.stroke((5, 5), (5, 30))
        assert (person.layer.data != painted).any()
        shot(viewer, "3-block")
        person.click(person.panel.accept)
    person.settle()
    project = session.project
    assert [block.state for block in project.blocks if block.state is BlockState.ACCEPTED] != []
    accepted = [block for block in project.blocks if block.state is BlockState.ACCEPTED]
    assert len(accepted) == 3 and len(project.held_out_blocks) == 1
    corrected = {block.number: project.corrected(block.region) for block in accepted}
    shot(viewer, "4-accepted")

    # Learned from, in a child process, and judged
    dock.show_tab("Learn")
    learn.panel.goal.steps.setValue(STEPS)
    learn.panel.goal.phantoms.setValue(0)
    qtbot.mouseClick(learn.panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(
        lambda: learn.job is not None and any(stage.losses for stage in learn.job.stages), timeout=180_000
    )
    shot(viewer, "5-learning")
    qtbot.waitUntil(lambda: learn.job.state != "running", timeout=300_000)
    assert learn.job.state == "finished", learn.job.failure
    qtbot.waitUntil(lambda: not learn.busy, timeout=60_000)
    assert learn.job.judged is not None
    shot(viewer, "6-judged")

    # Promoted, and segmented again with it
    name = learn.job.name
    while session.project.current != name:
        qtbot.mouseClick(learn.panel.gate.promote, Qt.MouseButton.LeftButton)
    shot(viewer, "7-promoted")
    qtbot.mouseClick(learn.panel.gate.again, Qt.MouseButton.LeftButton)
    drive.choose(where=Where.WHOLE, block=None)
    drive.finish()
    assert session.project.labels_record.values["fingerprint"]["checkpoint"] == (
        session.project.registry.get(name).card.sha256
    )
    after = np.asarray(session.project.labels.levels[0][...])
    assert (after != before).any()
    for block in accepted:
        labels = after[block.region.slices]
        assert (labels[corrected[block.number] == 2] == 1).all()
        assert (labels[corrected[block.number] == 1] == 0).all()
    shot(viewer, "8-again")

    # Closed and opened again: all is back
    session.close()
    qtbot.waitUntil(lambda: session.project is None, timeout=60_000)
    assert not any(layer.visible for layer in viewer.layers if layer.name.startswith("vesselkd: "))
    session.open(path)
    qtbot.waitUntil(lambda: session.project is not None and not session.busy, timeout=60_000)
    person.settle()
    assert session.project.current == name
    assert {"vesselkd: student", "vesselkd: corrections"} <= {layer.name for layer in viewer.layers}
    assert len([block for block in session.project.blocks if block.state is BlockState.ACCEPTED]) == 3
    np.testing.assert_array_equal(np.asarray(session.project.labels.levels[0][...]), after)
    qtbot.waitUntil(lambda: learn.job is not None and learn.job.judged is not None, timeout=60_000)
    shot(viewer, "9-reopened")
    session.close()
    with Project.open(path) as kept:
        assert not kept.notices and kept.current == name
