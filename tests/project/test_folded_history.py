"""Promises of the history that is kept folded: quick to open, never anything else than the journals say."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from histories import ONE, SMALL, TWO, act, chosen, fill, seen
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import Journal
from napari_vesselkd.labels.journal import decoded, encoded
from napari_vesselkd.project import Project, folded, operations
from projects import whole

PLACE = Region((0, 200, 0), (4, 240, 9))


@pytest.fixture(autouse=True)
def always_kept(monkeypatch):
    monkeypatch.setattr(folded, "WORTH_RECORDS", 0)


@pytest.fixture
def kept(project):
    """The path of a closed project of some operations whose history is kept."""
    one, two, sheet = project.edit(ONE), project.edit(TWO), project.edit_anywhere()
    for value, edit in ((2, one), (1, two), (2, sheet), (1, one)):
        fill(edit, PLACE if edit is sheet else SMALL, value)
    project.flush()
    project.accept(one.number)
    project.history.undo()
    project.close()
    Project.open(project.path).close()
    assert (project.path / "history.folded").is_file()
    return project.path


def told(path, **options):
    with Project.open(path, **options) as found:
        return found.history.operations, found.history.last, found.notices


def told_anew(path):
    """Return what the journals say with nothing kept."""
    copy = path.with_name("copy.vesselkd")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("history.folded", ".lock"))
    return told(copy)


def read_from_the_beginning(monkeypatch):
    """Return a list that journals read from their first byte are added to."""
    found, read_on = [], Journal.read_on

    def listed(path, offset=0, crc32=0):
        if not offset:
            found.append(path.name)
        return read_on(path, offset, crc32)

    monkeypatch.setattr(Journal, "read_on", staticmethod(listed))
    return found


def test_opening_reads_only_what_the_journals_have_gained(kept, monkeypatch):
    expected, found = told_anew(kept), read_from_the_beginning(monkeypatch)
    assert told(kept) == told(kept, write=False) == expected
    with Project.open(kept) as project:
        fill(project.edit_block(1), SMALL.shifted((8, 8, 8)), 2)
        third = project.edit(Region((0, 100, 0), (8, 120, 20)))
        fill(third, SMALL, 2)
        project.history.undo()
    assert found == []
    assert told(kept)[0][-2:] == told_anew(kept)[0][-2:]
    assert found[0] == "000003.jsonl"  # the new block; `told_anew` reads all


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_between_openings_the_journals_say_the_same_anew(project, monkeypatch, seed):
    monkeypatch.setattr(operations, "RECALLED", 2)
    monkeypatch.setattr(folded, "WORTH_RECORDS", 2 * seed)  # of some openings nothing is kept
    rng, path = random.Random(seed), project.path
    project.edit(ONE), project.edit(TWO)
    project.close()
    for _ in range(8):
        with Project.open(path) as again:
            for _ in range(rng.randrange(1, 5)):
                act(again, *chosen(rng, again))
            expected = again.history.operations
        assert told(path) == told_anew(path)
        assert told(path)[0] == expected
    with Project.open(path) as again:
        before = seen(again)
        count = sum(not one.undone for one in again.history.operations)
    with Project.open(path) as again:
        for _ in range(count):
            again.history.undo()
        assert not again.history.can_undo
        assert not whole(again).any()
    with Project.open(path) as again:
        for _ in range(count):
            again.history.redo()
        assert seen(again) == before


def edited_by_hand(path):
    """Let a stroke in the middle of a journal be somebody else's."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = encoded({**decoded(lines[1][:-1]), "who": "somebody else"})
    path.write_bytes(b"".join(lines))


def cut_off(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def gone(path):
    path.unlink()


@pytest.mark.parametrize("name", ["edits/000001.jsonl", "edits/sheet.jsonl"])
@pytest.mark.parametrize("change", [edited_by_hand, cut_off, gone])
def test_what_is_kept_gives_way_to_a_journal_that_is_another(kept, name, change):
    before = told(kept)[0]
    change(kept / name)
    expected = told_anew(kept)[0]
    assert told(kept)[0] == expected != before


def test_a_journal_copied_back_from_a_backup_is_believed(kept):
    backup = (kept / "edits" / "000002.jsonl").read_bytes()
    with Project.open(kept) as project:
        fill(project.edit_block(2), SMALL.shifted((8, 8, 8)), 2)
    Project.open(kept).close()
    (kept / "edits" / "000002.jsonl").write_bytes(backup)
    expected = told_anew(kept)[0]
    assert told(kept)[0] == expected
    assert len(expected) == 5


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def of_format(data, **values):
    first, _, body = data.partition(b"\n")
    return encoded({**decoded(first), **values}) + body


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data[: data.index(b"\n") // 2],
        flipped,
        lambda data: flipped(data[: data.index(b"\n")]) + data[data.index(b"\n") :],
        lambda data: of_format(data, format=2),
        lambda data: of_format(data, project="another"),
        lambda data: of_format(data, seen=[]),
    ],
    ids=["empty", "cut off", "cut head", "body", "head", "newer", "another project", "no journals"],
)
def test_a_damaged_or_foreign_file_is_not_used_and_made_anew(kept, damage, monkeypatch):
    expected, file = told(kept), kept / "history.folded"
    file.write_bytes(damage(file.read_bytes()))
    found = read_from_the_beginning(monkeypatch)
    assert told(kept) == expected
    assert "000001.jsonl" in found
    found.clear()
    assert told(kept) == expected
    assert found == []


def test_killed_while_the_history_is_kept_the_one_before_stays(kept, monkeypatch):
    file = kept / "history.folded"
    before = file.read_bytes()
    with Project.open(kept) as project:
        fill(project.edit_block(2), SMALL.shifted((8, 8, 8)), 2)
    original = type(file).write_bytes

    def killed(path, data):
        original(path, data[: len(data) // 2])
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(type(file), "write_bytes", killed)
        Project.open(kept)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert file.read_bytes() == before
    assert told(kept) == told_anew(kept)
    assert file.read_bytes() != before
    assert not file.with_name("history.folded.part").exists()


def test_a_full_disk_keeps_nothing_and_opens_all_the_same(kept, monkeypatch):
    (kept / "history.folded").unlink()
    expected = told_anew(kept)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(kept), "write_bytes", full)
    assert told(kept) == expected
    assert [one.name for one in kept.iterdir() if "history" in one.name] == []


def test_damage_that_the_file_system_does_not_tell_of_undoes_nothing_else(kept):
    path = kept / "edits" / "000002.jsonl"
    with Project.open(kept) as project:
        fill(project.edit_block(2), SMALL.shifted((8, 8, 8)), 2)
        fill(project.edit_block(2), SMALL.shifted((16, 8, 8)), 2)
    Project.open(kept).close()
    times = path.stat()
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1][:-9] + b"damaged}\n"
    path.write_bytes(b"".join(lines))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with Project.open(kept) as project:
        assert project.history.undo().within(2) == SMALL.shifted((8, 8, 8)).shifted(TWO.start)
        assert project.history.operations[-1].undone
    assert told(kept)[0] == told_anew(kept)[0]


def test_nothing_is_kept_of_journals_that_disagree_or_make_no_sense(kept, monkeypatch):
    (kept / "history.folded").unlink()
    path = kept / "edits" / "000001.jsonl"
    line = path.read_bytes().splitlines(keepends=True)[-1]
    odd = {**decoded(line[:-1]), "kind": "stroke", "step": "one", "seq": 900}
    with path.open("ab") as file:
        file.write(encoded(odd))
    for _ in range(2):
        assert "makes no sense" in told(kept)[2][0]
    assert not (kept / "history.folded").exists()
