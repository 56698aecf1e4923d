"""Promises of accepting, setting aside and opening blocks again."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from napari_vesselkd.errors import OutputError, ProjectError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.project import BlockState, Project
from napari_vesselkd.volume import claim_output
from projects import accepted, check_agreement, give_labels, new_project, paint, whole, write_image

ONE, TWO = Region((0, 0, 0), (24, 30, 40)), Region((10, 20, 30), (40, 60, 70))


def test_accepted_voxels_are_in_the_corrections_with_their_pyramid_and_in_the_labels(project):
    labels = give_labels(project)
    number, voxels = accepted(project, ONE, share=0.5)
    block = project.block(number)
    assert block.state is BlockState.ACCEPTED
    assert (block.background, block.vessel) == ((voxels == 1).sum(), (voxels == 2).sum())
    np.testing.assert_array_equal(project.corrected(ONE), voxels)
    assert len(project.corrections.levels) > 1
    expected = labels.copy()
    expected[ONE.slices] = np.where(voxels > 0, voxels == 2, labels[ONE.slices])
    np.testing.assert_array_equal(project.labels.read(Region.whole(labels.shape)), expected)
    assert project.pending == ()
    check_agreement(project)


def test_a_block_begins_from_the_labels_where_they_are_done(project):
    labels = give_labels(project)
    edit = project.edit(TWO)
    np.testing.assert_array_equal(edit.voxels, labels[TWO.slices] + 1)
    project.labels_record.forget(Region((0, 0, 0), (40, 32, 70)))
    edit = project.edit(Region((0, 0, 0), (40, 40, 40)))
    assert not edit.voxels[:, :32].any()
    np.testing.assert_array_equal(edit.voxels[:, 32:], labels[:40, 32:40, :40] + 1)


def test_nothing_labelled_is_refused_and_changes_nothing(project):
    edit = project.edit(ONE)
    before = project.blocks
    with pytest.raises(ProjectError, match=r"Nothing in this block is labelled.*Paint with 1"):
        project.accept(edit.number)
    assert project.blocks == before


def test_the_block_accepted_last_lies_on_top_and_says_nothing_where_it_is_unlabelled(project):
    _, one = accepted(project, ONE, seed=1)
    _, two = accepted(project, TWO, seed=2, share=0.5)
    expected = np.zeros(project.image.shape, np.uint8)
    expected[ONE.slices] = one
    np.copyto(expected[TWO.slices], two, where=two > 0)
    np.testing.assert_array_equal(whole(project), expected)
    project.edit_block(1)
    project.accept(1)
    expected[ONE.slices] = one
    np.testing.assert_array_equal(whole(project), expected)
    check_agreement(project)


def test_skipping_an_accepted_block_withdraws_it_and_leaves_its_neighbour(project):
    labels = give_labels(project)
    accepted(project, ONE, seed=1)
    _, two = accepted(project, TWO, seed=2)
    project.skip(1)
    expected = np.zeros(project.image.shape, np.uint8)
    expected[TWO.slices] = two
    np.testing.assert_array_equal(whole(project), expected)
    labels[TWO.slices] = two == 2
    np.testing.assert_array_equal(project.labels.read(Region.whole(labels.shape)), labels)
    assert project.labels_record.missing(Region.whole(labels.shape)) is None
    check_agreement(project)


def test_where_the_prediction_beneath_a_withdrawn_block_is_not_known_it_is_to_be_computed_again(project):
    """In projects of earlier versions."""
    give_labels(project)
    accepted(project, ONE, seed=1)
    accepted(project, TWO, seed=2)
    shutil.rmtree(project.labels_record.folder / "beneath.zarr")
    project.skip(1)
    record = project.labels_record
    assert record.missing(ONE) is not None
    assert record.missing(Region((0, 64, 0), project.image.shape)) is None
    assert np.isnan(record.uncertainty).sum() == (record.done == 0).sum() > 0
    check_agreement(project)


def test_an_open_block_stays_in_the_corrections_as_it_was_accepted(project):
    number, voxels = accepted(project, ONE)
    edit = project.edit_block(number)
    paint(edit, Region((0, 0, 0), (24, 30, 40)), 0)
    np.testing.assert_array_equal(project.corrected(ONE), voxels)
    project.close()
    with Project.open(project.path) as again:
        np.testing.assert_array_equal(again.corrected(ONE), voxels)
        assert not again.edit_block(number).voxels.any()
        again.edit_block(number).undo()
        again.accept(number)
        np.testing.assert_array_equal(again.corrected(ONE), voxels)


def test_erased_voxels_are_withdrawn_when_the_block_is_accepted_again(project):
    labels = give_labels(project)
    number, voxels = accepted(project, ONE)
    paint(project.edit_block(number), Region((0, 0, 0), (10, 10, 10)), 0)
    project.accept(number)
    voxels[:10, :10, :10] = 0
    np.testing.assert_array_equal(project.corrected(ONE), voxels)
    np.testing.assert_array_equal(project.labels.read(ONE)[:10, :10, :10], labels[:10, :10, :10])
    assert project.labels_record.missing(Region.whole(project.image.shape)) is None


def test_while_the_labels_are_being_written_an_acceptance_waits_and_is_shown_later(project):
    labels = give_labels(project)
    with claim_output(project.labels_path):
        number, voxels = accepted(project, ONE)
        assert project.pending == (number,)
        assert not project.apply_pending()
        np.testing.assert_array_equal(project.corrected(ONE), voxels)
        np.testing.assert_array_equal(project.labels.read(ONE), labels[ONE.slices])
    assert project.apply_pending()
    assert project.pending == ()
    np.testing.assert_array_equal(project.labels.read(ONE), voxels == 2)
    check_agreement(project)


def test_what_still_waits_when_a_project_is_closed_is_shown_when_it_is_opened(project):
    give_labels(project)
    with claim_output(project.labels_path):
        _, voxels = accepted(project, ONE)
        project.close()
    with Project.open(project.path) as again:
        assert again.pending == ()
        np.testing.assert_array_equal(again.labels.read(ONE), voxels == 2)


def test_an_acceptance_that_a_full_disk_stopped_is_finished_when_the_project_is_opened(project, monkeypatch):
    give_labels(project)
    edit = project.edit(ONE)
    paint(edit, Region((0, 0, 0), (5, 5, 5)), 2)

    def full(store, region, voxels):
        raise OutputError("The disk is full", remedy="Free some space")

    with monkeypatch.context() as patched:
        patched.setattr(LabelStore, "write", full)
        with pytest.raises(OutputError, match="disk is full"):
            project.accept(edit.number)
    project.close()
    with Project.open(project.path) as again:
        assert "being accepted or withdrawn: that is finished now" in again.notices[0]
        assert again.block(1).state is BlockState.ACCEPTED
        assert (again.corrected(ONE)[:5, :5, :5] == 2).all()
        check_agreement(again)


def test_a_full_disk_for_the_journal_leaves_the_block_as_it_was(project, monkeypatch):
    edit = project.edit(ONE)
    paint(edit, Region((0, 0, 0), (5, 5, 5)), 2)

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("napari_vesselkd.labels.journal.os.write", full)
        for call in (lambda: project.accept(1), lambda: project.skip(1), lambda: project.promote("auto")):
            with pytest.raises(OutputError, match="disk is full"):
                call()
        with pytest.raises(OutputError, match="disk is full"):
            project.edit(TWO)
    assert [block.state for block in project.blocks] == [BlockState.OPEN]
    assert project.promotions == ()
    project.accept(1)
    check_agreement(project)


KILLED = """
    # One process imports everything and divides itself for every place: importing takes longer than acting.
    import itertools, os, shutil, signal, sys, threading
    import zarr.storage._local as local
    from napari_vesselkd.labels import journal
    from napari_vesselkd.project import Project

    prepared, what, folder = sys.argv[1:]
    write, put = os.write, local._put

    def act(path, left):
        project = Project.open(path)
        project.edit_block(1), project.edit_block(2)

        def die():
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def dying_write(file, data):
            if left == 0:
                write(file, data[: len(data) // 2])
            die()
            return write(file, data)

        def dying_put(*arguments, **options):
            die()
            return put(*arguments, **options)

        journal.os.write, local._put = dying_write, dying_put
        getattr(project, what)(2)

    assert threading.active_count() == 1
    for place in itertools.count():
        path = f"{folder}/{place}.vesselkd"
        shutil.copytree(prepared, path)
        child = os.fork()
        if not child:
            try:
                act(path, place)
            except BaseException as error:
                sys.stderr.write(repr(error))
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, flush=True)
        if code != -signal.SIGKILL:
            break
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a project with labels, an accepted block, and one that was accepted and painted on since."""
    folder = tmp_path_factory.mktemp("killed")
    image = write_image(folder / "brain.ome.zarr")
    with new_project(folder / "a.vesselkd", image) as project:
        give_labels(project)
        accepted(project, ONE, seed=1)
        accepted(project, TWO, seed=2, share=0.5)
        paint(project.edit_block(2), Region((0, 0, 0), (10, 10, 10)), 0)
    return folder / "a.vesselkd"


@pytest.mark.slow
@pytest.mark.parametrize("what", ["accept", "skip"])
def test_killed_anywhere_in_the_middle_state_and_stores_agree_when_it_is_opened(prepared, tmp_path, what):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(prepared), what, str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *killed, last = map(int, done.stdout.split())
    assert set(killed) == {-signal.SIGKILL}
    assert last == 0, done.stderr
    seen = set()
    for place in range(len(killed) + 1):
        with Project.open(tmp_path / f"{place}.vesselkd") as project:
            check_agreement(project)
            assert project.pending == ()
            seen.add(project.block(2).state)
            edit = project.edit_block(2)
            assert not edit.voxels[:10, :10, :10].any()
            assert edit.can_undo
    assert len(killed) > 5
    assert BlockState.OPEN in seen
    assert len(seen) == 2
