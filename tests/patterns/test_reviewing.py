import numpy as np
import pytest

from fake_codes import FakeCodes
from napari_vesselkd.errors import RegionError
from napari_vesselkd.geometry import Region
from napari_vesselkd.patterns.notes import CodeNotes
from napari_vesselkd.patterns.reviewing import CodeScores, code_scores
from napari_vesselkd.patterns.usage import usage

SHAPE = (8, 8, 8)
HASH = "ab" * 32


@pytest.fixture
def codes():
    """Return 512 cells: code 0 nearly everywhere, 1 in a corner, 2 once (rare: 512 / 4 / 10 = 12.8)."""
    codes = np.zeros(SHAPE, int)
    codes[:4, :4, :2] = 1
    codes[7, 7, 7] = 2
    return codes


def test_a_block_has_the_shares_of_the_cells_it_touches(tmp_path, codes):
    distance = np.full(SHAPE, 0.25)
    distance[:4] = 0.5
    fake = FakeCodes(tmp_path / "m", codes, distance, code_count=4, sha256=HASH)
    notes = CodeNotes.load(tmp_path, HASH)
    notes.set(1, artefact=True)
    notes.set(200, artefact=True)
    counted = usage(fake)
    assert counted.rare == (2,)
    corner = Region((0, 0, 0), (16, 16, 13))  # 4 x 4 x 4 cells, the last ones touched by one voxel
    assert code_scores(fake, counted, notes, corner) == CodeScores(1.0, 0.5, 0.0, 0.5)
    end = Region((24, 24, 24), (32, 32, 32))  # 2 x 2 x 2 cells
    assert code_scores(fake, counted, notes, end) == CodeScores(1.0, 0.0, 0.125, 0.25)
    assert code_scores(fake, counted, None, corner).artefact == 0


def test_cells_that_are_not_computed_do_not_count(tmp_path, codes):
    codes[:, :, 4:] = -1
    fake = FakeCodes(tmp_path, codes, np.full(SHAPE, 0.5), code_count=4, sha256=HASH)
    counted = usage(fake)
    whole = Region.whole(fake.volume_shape)
    found = code_scores(fake, counted, None, whole)
    assert (found.computed, found.distance) == (0.5, 0.5)
    nothing = code_scores(fake, counted, None, Region((0, 0, 16), (32, 32, 32)))
    assert nothing == CodeScores(0.0, 0.0, 0.0, 0.0)


def test_a_code_that_came_after_the_count_is_rare(tmp_path, codes):
    fake = FakeCodes(tmp_path, codes, code_count=4, sha256=HASH)
    counted = usage(fake)
    fake.write(Region((0, 0, 6), (1, 1, 8)), [[[3, 0]]])
    assert code_scores(fake, counted, None, Region((0, 0, 24), (4, 4, 32))).rare == 0.5


def test_only_the_chunks_of_the_block_are_read(tmp_path, codes):
    fake = FakeCodes(tmp_path, codes, code_count=4, sha256=HASH)
    counted = usage(fake)
    fake.store.chunks.clear()
    code_scores(fake, counted, None, Region((0, 0, 0), (16, 16, 16)))
    assert fake.chunks_read == 2


def test_a_block_outside_the_volume_is_refused(tmp_path, codes):
    fake = FakeCodes(tmp_path, codes, code_count=4, sha256=HASH)
    with pytest.raises(RegionError):
        code_scores(fake, usage(fake), None, Region((0, 0, 0), (33, 4, 4)))
