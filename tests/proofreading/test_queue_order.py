"""Promises of the order of the queue, of the reasons, and of the file that keeps them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_vesselkd.errors import OutputError
from napari_vesselkd.geometry import Region
from napari_vesselkd.proofreading.calibration import Reliability
from napari_vesselkd.proofreading.queue_findings import FILE, Findings, QueueFile
from napari_vesselkd.proofreading.queue_order import in_order, likeness, look_of
from napari_vesselkd.proofreading.queue_topology import Topology
from napari_vesselkd.proofreading.queue_worth import reasons, worths

SIDE = 32


def block(index, **values):
    """Return findings of the block with that index along x."""
    region = Region((0, 0, index * SIDE), (SIDE, SIDE, (index + 1) * SIDE))
    return Findings(region, **{"look": (0.0,), "topology": Topology(), **values})


def test_ten_blocks_are_not_ten_neighbours():
    # ten very doubtful neighbours that look alike, and ten others elsewhere, three quarters as doubtful
    near = [block(i, look=(0.0, 0.0), doubt=1.0) for i in range(10)]
    far = [block(100 + 9 * i, look=(2.0 * i, 5.0), doubt=0.75) for i in range(10)]
    found = [*near, *far]
    placed = in_order(found, worths(found), count=10)
    assert sum(one.index < 10 for one in placed) <= 4
    assert sorted({one.index for one in placed}) == sorted(one.index for one in placed)


def test_what_is_corrected_already_stands_for_blocks_like_it():
    one, other = block(0, look=(0.0,)), block(50, look=(9.0,))
    twin = block(1, look=(0.0,))
    assert in_order([one, other], [1.0, 0.9])[0].index == 0
    assert in_order([one, other], [1.0, 0.9], known=[twin])[0].index == 1


def test_of_blocks_alike_the_one_that_stands_for_most_is_first_and_worth_decides_between_others():
    crowd = [block(10 * i, look=(1.0,)) for i in range(6)]
    lonely = block(900, look=(-9.0,))
    assert in_order([lonely, *crowd], [1.0] * 7)[0].index != 0
    assert in_order([lonely, *crowd], [40.0] + [1.0] * 6)[0].index == 0


def test_every_block_comes_once_and_shares_add_up_to_no_more_than_all():
    rng = np.random.default_rng(0)
    found = [block(int(i), look=tuple(rng.normal(size=3))) for i in range(30)]
    placed = in_order(found, rng.random(30), count=100)
    assert sorted(one.index for one in placed) == list(range(30))
    assert sum(one.stands_for for one in placed) == pytest.approx(1.0)
    assert all(a >= 0 for a in (one.stands_for for one in placed))


def test_nothing_to_order_is_an_empty_order():
    assert in_order([], []) == ()


def test_likeness_is_one_with_itself_and_the_same_both_ways():
    found = [block(i, look=(float(i % 3), 1.0)) for i in range(7)]
    alike = likeness(found)
    assert np.allclose(np.diag(alike), 1) and np.allclose(alike, alike.T)
    assert alike.min() >= 0 and alike[0, 3] > alike[0, 1] - 0.3
    assert alike[0, 3] > alike[0, 4]  # 3 looks the same


def test_a_look_tells_dense_bright_blocks_from_dark_empty_ones():
    dark = np.zeros((4, 8, 8), np.float32)
    bright = dark + np.float32(0.9)
    assert look_of(dark, dark > 1) != look_of(bright, bright > 0.5)
    assert np.isfinite(look_of(bright, bright > 0.5)).all()


def test_the_worth_is_one_for_a_block_like_the_others_and_rises_with_each_finding():
    plain = [block(i, doubt=10.0, topology=Topology(ends=2)) for i in range(5)]
    assert worths(plain) == pytest.approx(np.ones(5))
    for change in ({"doubt": 20.0}, {"topology": Topology(ends=6)}):
        changed = worths([replace(plain[0], **change), *plain[1:]])
        assert changed[0] > 1 > changed[1]


def test_one_outlier_does_not_drown_the_rest():
    found = [block(0, doubt=1e6), *(block(i, doubt=1.0 + i) for i in range(1, 9))]
    assert worths(found)[0] <= 5


def test_a_block_that_was_not_looked_at_counts_by_its_entropy():
    fresh = [Findings(block(i).region, uncertainty=bits) for i, bits in enumerate((0.1, 0.3))]
    assert worths(fresh) == pytest.approx([0.5, 1.5])
    assert worths([Findings(block(0).region)]) == pytest.approx([1.0])


def test_reasons_are_what_strikes_the_strongest_first_in_words():
    plain = [block(i, doubt=10.0, artefact=0.0, topology=Topology(ends=2, gaps=1)) for i in range(8)]
    striking = replace(plain[0], topology=Topology(ends=9, gaps=2), artefact=0.4)
    found = reasons([striking, *plain[1:]])
    assert [one.words for one in found[0]] == ["40% of it has artefact codes", "9 open ends", "2 likely gaps"]
    assert [one.short for one in found[0]] == ["40% artefact", "9 ends", "2 gaps"]
    assert found[1] == ()
    assert reasons([block(0, topology=Topology(ends=1)), block(1)])[0][0].words == "1 open end"


def test_the_file_gives_back_what_was_saved_and_replaces_blocks_by_their_place(tmp_path):
    curve = Reliability(1.5, 0.2, 2, 900, (0.1, None), (0.2, None), (900, 0), 0.2, 0.1, "abc")
    kept = QueueFile("p", SIDE, (block(0, doubt=1.0),), curve)
    kept.save(tmp_path)
    assert QueueFile.load(tmp_path, "p", SIDE) == kept
    changed = kept.with_findings([block(0, doubt=2.0, state="b"), block(1)])
    assert [one.doubt for one in changed.findings] == [2.0, None]
    assert not list(tmp_path.glob("*.part"))


def test_blocks_of_another_size_are_forgotten_and_the_curve_is_kept(tmp_path):
    curve = Reliability(1.5, 0.2, 2, 900, (0.1,), (0.2,), (900,), 0.2, 0.1)
    QueueFile("p", SIDE, (block(0),), curve).save(tmp_path)
    assert QueueFile.load(tmp_path, "p", 64) == QueueFile("p", 64, (), curve)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": "x"}', "null"])
def test_a_broken_file_counts_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert QueueFile.load(tmp_path, "p", SIDE) == QueueFile("p", SIDE)


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"project": "q"}, {"findings": [{"region": [[0], [1]]}]}, {"findings": 3}]
)
def test_a_file_of_another_project_or_version_or_edited_by_hand_counts_as_none(tmp_path, change):
    QueueFile("p", SIDE, (block(0),)).save(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**values, **change}))
    assert QueueFile.load(tmp_path, "p", SIDE).findings == ()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / f"{FILE}.part").mkdir()
    with pytest.raises(OutputError):
        QueueFile("p", SIDE).save(tmp_path)
