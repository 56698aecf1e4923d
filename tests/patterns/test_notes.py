import json
import threading

import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import CorruptSourceError, InvalidInputError, OutputError, RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.notes import CodeNotes, artefact_mask, stable_colour

HASH = "0123456789abcdef" * 4


def test_what_is_said_about_a_code_is_there_the_next_time(tmp_path):
    notes = CodeNotes.load(tmp_path / "checkpoints", HASH)
    notes.set(17, name="  large vein ", colour="#12aB00")
    notes.set(3, artefact=True)
    again = CodeNotes.load(tmp_path / "checkpoints", HASH)
    assert (again.name(17), again.colour(17), again.artefact(17)) == ("large vein", "#12aB00", False)
    assert again.artefacts == (3,)
    assert sorted(again.codes) == [3, 17]
    assert not list((tmp_path / "checkpoints").glob("*.part"))


def test_a_code_that_nothing_is_said_about_has_its_number_and_a_stable_colour(tmp_path):
    notes = CodeNotes.load(tmp_path, HASH)
    assert notes.name(17) == "code 17"
    assert notes.colour(17) == stable_colour(17) == stable_colour(np.uint16(17))
    assert not (tmp_path / "codes").exists()


def test_256_codes_have_256_colours_and_neighbours_differ_clearly():
    colours = [stable_colour(code) for code in range(256)]
    assert len(set(colours)) == 256
    rgb = np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in colours], float)
    assert np.linalg.norm(np.diff(rgb, axis=0), axis=1).min() > 60
    assert rgb.max(axis=1).min() > 150  # visible on black


def test_a_note_is_taken_back_and_leaves_nothing(tmp_path):
    notes = CodeNotes.load(tmp_path, HASH)
    notes.set(4, name="x", colour="#ffffff", artefact=True)
    notes.set(4, name="", artefact=False)
    assert notes.of(4).colour == "#ffffff"
    notes.set(4, colour="")
    assert not CodeNotes.load(tmp_path, HASH).codes


def test_checkpoints_have_notes_of_their_own(tmp_path):
    CodeNotes.load(tmp_path, HASH).set(1, name="mine")
    assert CodeNotes.load(tmp_path, HASH[::-1]).name(1) == "code 1"


def test_two_who_write_do_not_undo_each_other(tmp_path):
    both = [CodeNotes.load(tmp_path, HASH) for _ in range(2)]
    threads = [
        threading.Thread(target=lambda n=n, one=one: [one.set(2 * i + n, name=f"{n}") for i in range(20)])
        for n, one in enumerate(both)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(CodeNotes.load(tmp_path, HASH).codes) == 40


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"kind": "other"}', '{"codes": {"1": {"colour": "red"}}}', "[" * 100_000],
)
def test_a_broken_file_is_said_to_be_broken_and_not_written_over(tmp_path, text):
    path = CodeNotes.load(tmp_path, HASH).path
    notes = CodeNotes.load(tmp_path, HASH)
    path.write_text(text)
    with pytest.raises(CorruptSourceError, match="cannot be read"):
        CodeNotes.load(tmp_path, HASH)
    with pytest.raises(CorruptSourceError):
        notes.set(1, name="x")
    assert path.read_text() == text


def test_notes_of_a_newer_version_or_on_another_checkpoint_are_not_read(tmp_path):
    notes = CodeNotes.load(tmp_path, HASH)
    notes.set(1, name="x")
    for change in ({"version": 2}, {"sha256": HASH[::-1]}):
        values = {**json.loads(notes.path.read_text()), **change}
        notes.path.write_text(json.dumps(values))
        with pytest.raises(CorruptSourceError):
            CodeNotes.load(tmp_path, HASH)
        notes.path.write_text(json.dumps({**values, "version": 1, "sha256": HASH}))


def test_names_colours_and_codes_that_cannot_be_are_refused_and_nothing_is_kept(tmp_path):
    notes = CodeNotes.load(tmp_path, HASH)
    for wrong in ({"name": "x" * 81}, {"name": "a\nb"}, {"colour": "red"}, {"colour": "#12345"}):
        with pytest.raises(InvalidInputError):
            notes.set(1, **wrong)
    for code in (-1, 2**16):
        with pytest.raises(InvalidInputError, match="no such code"):
            notes.set(code, name="x")
    with pytest.raises(InvalidInputError, match="hash"):
        CodeNotes.load(tmp_path, "../../etc")
    assert not notes.codes
    assert not notes.path.exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        CodeNotes.load(tmp_path / "file" / "checkpoints", HASH).set(1, name="x")


def test_the_mask_is_every_voxel_of_cells_with_a_marked_code_and_no_other(tmp_path):
    codes = np.random.default_rng(0).integers(-1, 6, (5, 6, 7))
    shape = (5 * 3 - 1, 6 * 4 - 2, 7 * 2)
    fake = FakeCodes(tmp_path, codes, stride=(3, 4, 2), volume_shape=shape, code_count=6, sha256=HASH)
    notes = CodeNotes.load(tmp_path / "notes", HASH)
    notes.set(0, artefact=True)
    notes.set(4, artefact=True)
    whole = np.isin(codes, [0, 4]).repeat(3, 0).repeat(4, 1).repeat(2, 2)
    whole = whole[: shape[0], : shape[1], : shape[2]]
    for region in (Region.whole(shape), Region((2, 3, 1), (14, 9, 2)), Region((7, 7, 7), (8, 8, 8))):
        found = artefact_mask(fake, notes, region)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, whole[region.slices])


def test_a_mask_reads_only_the_chunks_it_needs(tmp_path):
    fake = FakeCodes(tmp_path, np.zeros((8, 8, 8)), sha256=HASH)  # chunks of 4 cells of 4 voxels
    artefact_mask(fake, CodeNotes.load(tmp_path, HASH), Region((0, 0, 0), (16, 16, 16)))
    assert fake.chunks_read == 1


def test_a_mask_of_notes_on_another_checkpoint_or_outside_is_refused(tmp_path):
    fake = FakeCodes(tmp_path, np.zeros((2, 2, 2)), sha256=HASH)
    with pytest.raises(InvalidInputError, match="another checkpoint"):
        artefact_mask(fake, CodeNotes.load(tmp_path, HASH[::-1]), Region((0, 0, 0), (1, 1, 1)))
    with pytest.raises(RegionError):
        artefact_mask(fake, CodeNotes.load(tmp_path, HASH), Region((0, 0, 0), (9, 1, 1)))
