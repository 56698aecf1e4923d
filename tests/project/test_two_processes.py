"""Promises about one project in two processes, and about a process that dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from napari_vesselkd.errors import OutputError, ProjectBusyError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.project import Project
from projects import accepted, give_labels, paint

ONE = Region((0, 0, 0), (16, 20, 30))
SECOND = """
    import sys
    from napari_vesselkd.errors import ProjectBusyError
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.project import Project

    with Project.open(sys.argv[1]) as project:
        print(project.read_only, len(project.blocks), *project.notices, flush=True)
        for call in (
            lambda: project.edit(Region((0, 0, 0), (4, 4, 4))),
            lambda: project.edit_block(1),
            lambda: project.accept(1),
            lambda: project.skip(1),
            lambda: project.reopen(1),
            lambda: project.promote("auto"),
        ):
            try:
                call()
            except ProjectBusyError as error:
                print(error)
        print(project.new_run().name, flush=True)
        input()
        print(int(project.corrected(Region((0, 0, 0), (16, 20, 30))).sum()), len(project.blocks))
"""
HOLD = """
    import sys
    from napari_vesselkd.project import Project

    project = Project.open(sys.argv[1])
    print(project.read_only, flush=True)
    input()
"""


def child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_second_process_is_told_reads_what_the_first_one_does_and_changes_nothing(project):
    accepted(project, ONE, seed=1)
    before = (project.path / "journal.jsonl").read_bytes()
    with child(SECOND, project.path) as second:
        assert second.stdout.readline().strip() == (
            "True 1 Another program has this project open: it is read-only here"
        )
        for _ in range(6):
            assert "open read-only here" in second.stdout.readline()
        assert second.stdout.readline().strip() == "finetune-001"
        assert (project.path / "journal.jsonl").read_bytes() == before
        edit = project.edit_block(1)
        paint(edit, Region((0, 0, 0), (16, 20, 30)), 2)
        project.accept(1)
        project.edit(Region((20, 0, 0), (30, 10, 10)))
        print(file=second.stdin, flush=True)
        assert second.stdout.readline().split() == [str(2 * ONE.size), "2"]
    assert second.returncode == 0


def test_the_first_process_need_not_close_it_to_be_followed(project):
    project.close()
    with child(HOLD, project.path) as first:
        assert first.stdout.readline().strip() == "False"
        with Project.open(project.path) as second:
            assert second.read_only
        first.send_signal(signal.SIGKILL)
        first.wait()
    with Project.open(project.path) as third:
        assert not third.read_only
        assert third.notices == ()


def test_two_viewers_of_one_process_are_two(project):
    with Project.open(project.path) as second:
        assert second.read_only
        assert "read-only" in second.notices[0]
        with pytest.raises(ProjectBusyError, match=r"read-only here.*Close it where else it is open"):
            second.require_writable()
    project.require_writable()


def test_one_can_ask_for_reading_only(project):
    project.close()
    with Project.open(project.path, write=False) as one, Project.open(project.path) as two:
        assert (one.read_only, two.read_only) == (True, False)
        assert one.notices == ()


def test_a_project_on_a_disk_that_cannot_be_written_is_read_only(project, monkeypatch):
    project.close()

    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_vesselkd.project.opening.FileLock.acquire", refuse)
    with Project.open(project.path) as again:
        assert again.read_only
        assert "cannot be written on this disk" in again.notices[0]


def test_a_reader_shows_what_waits_in_the_labels_it_has_written(project):
    """A segmentation from the command line, while a viewer holds the project."""
    from napari_vesselkd.volume import claim_output

    give_labels(project)
    with claim_output(project.labels_path):
        _, voxels = accepted(project, ONE)
    assert project.pending == (1,)
    with Project.open(project.path) as reader:
        assert reader.apply_pending()
        np.testing.assert_array_equal(reader.labels.read(ONE), voxels == 2)
    assert project.apply_pending()
    assert project.pending == ()


def test_the_lock_is_free_when_opening_fails(project, monkeypatch):
    project.close()

    def full(path):
        raise OutputError("The disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("napari_vesselkd.project.held.Journal", full)
        with pytest.raises(OutputError):
            Project.open(project.path)
    with Project.open(project.path) as again:
        assert not again.read_only


def test_a_project_removed_under_a_reader_is_said(project):
    accepted(project, ONE)
    with Project.open(project.path) as reader:
        (project.path / "journal.jsonl").unlink()
        with pytest.raises(ProjectError, match="journal is missing"):
            reader.corrected(ONE)
