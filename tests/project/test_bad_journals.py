"""Bad journals, full disks, crashes amid anything: one sentence each, nothing that was done is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histories import ONE, SMALL, TWO, act, actions, fill, snapshot
from napari_vesselkd.errors import OutputError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.labels import journal as journal_module
from napari_vesselkd.labels.journal import Journal, encoded
from napari_vesselkd.project import Project
from projects import check_agreement, give_labels, new_project, whole

CORNER = Region((36, 290, 60), (40, 300, 70))


@pytest.fixture
def path(project):
    """Return a closed project with strokes in a block and anywhere."""
    fill(project.edit(ONE), SMALL, 2)
    fill(project.edit_anywhere(), CORNER, 1)
    project.close()
    return project.path


def rewritten(path, name, change):
    """Edit a journal by hand, with checksums that fit."""
    file = path / "edits" / name
    file.write_bytes(b"".join(encoded(one) for one in change(Journal.read(file)[0])))


def test_a_block_at_the_border_and_paint_in_the_last_corner(project):
    edit = project.edit(Region((30, 280, 50), (60, 340, 90)))
    assert edit.region == Region((30, 280, 50), (40, 300, 70))
    values = np.full(CORNER.shape, 2, np.uint8)
    done = project.apply(CORNER, values, values > 0, tool="fill", number=edit.number)
    assert done.parts == ((1, CORNER),)
    fill(project.edit_anywhere(), CORNER, 1)
    assert sum(box.size for box in project.flush()) == CORNER.size
    project.accept(1)
    assert (project.corrected(CORNER) == 2).all()
    check_agreement(project)


@pytest.mark.parametrize("name", ["000001.jsonl", "sheet.jsonl"])
def test_a_torn_last_record_is_dropped_and_said(path, name):
    file = path / "edits" / name
    file.write_bytes(file.read_bytes()[:-20])
    with Project.open(path) as again:
        edit = again.edit_block(1) if name != "sheet.jsonl" else again.edit_anywhere()
        assert "its last record was cut off and is left out" in edit.notice
        assert not edit.read(SMALL if name != "sheet.jsonl" else CORNER).any()


@pytest.mark.parametrize("name", ["000001.jsonl", "sheet.jsonl"])
def test_a_journal_edited_by_hand_is_named_with_its_record_and_the_project_opens(path, name):
    bad = {"changes": [{"box": "0:9,9:1,0:5", "old": "", "new": ""}]}
    rewritten(path, name, lambda lines: [{**one, **bad} if one["kind"] == "stroke" else one for one in lines])
    with Project.open(path) as again:
        assert "has a record that makes no sense: it is not in the history" in again.notices[-1]
        with pytest.raises(ProjectError, match=r"makes no sense: was it edited by hand.*record 2"):
            again._edit_of(1 if name != "sheet.jsonl" else 0)


@pytest.mark.parametrize("name", ["000001.jsonl", "sheet.jsonl"])
def test_a_journal_from_a_newer_version_is_refused(path, name):
    rewritten(path, name, lambda lines: [{**lines[0], "format": 7}, *lines[1:]])
    with Project.open(path) as again, pytest.raises(ProjectError, match=r"newer version.*format 7.*Update"):
        again._edit_of(1 if name != "sheet.jsonl" else 0)


@pytest.mark.parametrize("name", ["000001.jsonl", "sheet.jsonl"])
def test_a_journal_of_another_volume_is_refused(path, tmp_path, image_path, name):
    with new_project(tmp_path / "b.vesselkd", image_path) as other:
        fill(other.edit(ONE), SMALL, 1)
        fill(other.edit_anywhere(), SMALL, 1)
    shutil.copyfile(other.path / "edits" / name, path / "edits" / name)
    with Project.open(path) as again, pytest.raises(ProjectError, match="of another project"):
        again._edit_of(1 if name != "sheet.jsonl" else 0) if name == "sheet.jsonl" else again.accept(1)


def test_what_was_painted_anywhere_survives_a_damaged_beginning(path):
    file = path / "edits" / "sheet.jsonl"
    file.write_bytes(file.read_bytes().replace(b"begin", b"began", 1))
    with Project.open(path) as again:
        assert (again.edit_anywhere().read(CORNER) == 1).all()
        assert (again.corrected(CORNER) == 1).all()
        assert file.with_name("sheet.jsonl.broken").is_file()


def test_corrections_made_again_from_the_journals_equal_the_store(project):
    for number, region in enumerate((ONE, TWO), start=1):
        fill(project.edit(region), SMALL, number)
        project.accept(number)
    fill(project.edit_anywhere(), Region((2, 2, 2), (30, 40, 50)), 2)
    project.flush()
    fill(project.edit_block(1), Region((0, 0, 0), (9, 9, 9)), 1)
    project.accept(1)
    kept = [np.asarray(level[...]) for level in project.corrections.levels]
    project.close()
    shutil.rmtree(project.path / "corrections.ome.zarr")
    with Project.open(project.path) as again:
        assert "made again from the journals" in again.notices[0]
        for level, before in zip(again.corrections.levels, kept, strict=True):
            np.testing.assert_array_equal(level[...], before)


FULL = """
    import resource, signal, sys
    from napari_vesselkd.errors import OutputError
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.project import Project
    import numpy as np

    project = Project.open(sys.argv[1])
    edit, sheet, rng = project.edit_block(1), project.edit_anywhere(), np.random.default_rng(0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    box, saved = Region((0, 0, 0), (4, 20, 20)), 0
    try:
        while True:
            new = rng.integers(0, 3, box.shape).astype(np.uint8)
            where = np.ones(box.shape, bool)
            project.apply(box.shifted((22, 0, 0)), new, where, tool="fill", number=1)
            saved += 1
    except OutputError as error:
        print(error)
    print(saved, int(edit.voxels.astype(int).sum()), int(sheet.read(Region((24, 0, 0), (26, 20, 20))).sum()))
"""


def test_a_disk_that_fills_while_painting_keeps_what_was_painted_and_says_so(path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(path)], capture_output=True, text=True, check=False
    )
    said, counts = done.stdout.splitlines()
    assert "The disk is full: this change is not saved, everything before it is" in said
    saved, block, sheet = map(int, counts.split())
    assert saved > 5
    with Project.open(path) as again:
        assert again.notices == ()
        tools = [one.tool for one in again.history.operations]
        assert tools.count("fill") == saved
        assert int(again.edit_block(1).voxels.astype(int).sum()) == block
        assert int(again.edit_anywhere().read(Region((24, 0, 0), (26, 20, 20))).sum()) == sheet
        check_agreement(again)


class Recorded:
    """The writes to the journals of a project, so that any moment of it can be made again."""

    def __init__(self, folder):
        self.folder, self.moments = folder, []

    def now(self):
        files = [self.folder / "journal.jsonl", *sorted((self.folder / "edits").glob("*.jsonl"))]
        return {str(one.relative_to(self.folder)): one.read_bytes() for one in files}

    def write(self, file, line):
        journal_module.os.write(file, line)
        self.moments.append(self.now())

    def made_again(self, moment, torn, target):
        """Copy the project as it was at a moment, the next write torn after a share of it; no stores."""
        shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("*.ome.zarr", ".lock", "edits"))
        (target / "edits").mkdir()
        now, following = self.moments[moment], self.moments[min(moment + 1, len(self.moments) - 1)]
        for name, content in following.items():
            before = now.get(name, b"")
            more = content[len(before) :] if content.startswith(before) else b""
            kept = before + more[: int(torn * len(more))]
            if kept:
                (target / name).write_bytes(kept)


@pytest.mark.slow
@given(st.lists(actions, min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 0.99))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_replay_from_any_crash_point_equals_the_state(tmp_path_factory, image_path, sequence, where, torn):
    folder = tmp_path_factory.mktemp("crash")
    with new_project(folder / "a.vesselkd", image_path) as project:
        for region in (ONE, TWO):
            project.edit(region)
        project.edit_anywhere()
        recorded = Recorded(project.path)
        recorded.moments.append(recorded.now())
        states = [(0, snapshot(project)[1:])]
        write, journal_module._write = journal_module._write, recorded.write
        try:
            for kind, *values in sequence:
                if kind not in ("reopen", "mip"):
                    act(project, kind, *values)
                    states.append((len(recorded.moments) - 1, snapshot(project)[1:]))
        finally:
            journal_module._write = write
    moment = round(where * (len(recorded.moments) - 1))
    recorded.made_again(moment, torn, folder / "b.vesselkd")
    before = [state for at, state in states if at <= moment][-1]
    following = [state for at, state in states if at > moment][:1]
    with Project.open(folder / "b.vesselkd") as again:
        assert snapshot(again)[1:] in [before, *following]
    shutil.rmtree(folder)


def test_every_operation_says_who_when_and_on_what(path):
    records = Journal.read(path / "edits" / "000001.jsonl")[0]
    assert records[1].keys() >= {"seq", "who", "at", "tool", "box", "old", "new"}
    assert json.loads(json.dumps(records[1]))["tool"] == "brush"
    with Project.open(path) as again:
        assert whole(again).any()


def test_a_flush_that_was_stopped_between_two_levels_is_finished(project, monkeypatch):
    give_labels(project)
    edit = project.edit_anywhere()
    fill(edit, Region((2, 3, 4), (20, 60, 40)), 2)
    write = LabelStore.write

    def stopped(store, region, voxels):
        store.levels[0][region.slices] = voxels
        raise OutputError("The disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(LabelStore, "write", stopped)
        with pytest.raises(OutputError):
            project.flush()
    assert LabelStore.write is write
    project._journal.close()
    project._lock.release()
    with Project.open(project.path) as again:
        check_agreement(again)
