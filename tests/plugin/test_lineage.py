"""The list of a project's checkpoints."""

import json
import shutil

import pytest

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry
from napari_vesselkd.plugin.lineage import describe, entries, learned_from, read_entries


def card(name, created, **lineage):
    return CheckpointCard(name, "", {}, created=created, lineage=lineage)


def test_the_newest_comes_first_and_the_one_of_the_package_last_with_the_current_one_marked():
    found = entries([card("a", "2026-11-20"), card("b", "2026-11-21")], "student-coarse-z", "a", {})
    assert [one.name for one in found] == ["b", "a", "auto"]
    assert [one.current for one in found] == [False, True, False]
    assert found[-1].title == "student-coarse-z"


def test_before_any_promotion_the_one_of_the_package_is_current():
    assert [one.current for one in entries([card("a", "")], "student-isotropic", "auto", {})] == [False, True]


def test_a_line_names_parent_blocks_score_and_date():
    made = card("b", "2026-11-21T08:12:00", parent="student-isotropic", learned_from={"corrected block": 3})
    text = describe(made, {"cldice": [0.85, 0.881]})
    assert text == "from student-isotropic · 3 blocks\nclDice 0.881 · 21 Nov 08:12"


def test_several_kinds_have_a_line_of_their_own():
    kinds = {"corrected block": 12, "painted place": 34, "painted projection": 3}
    text = describe(card("b", "2026-11-21T08:12:00", parent="student-isotropic", learned_from=kinds), {})
    assert text == "from student-isotropic\n12 blocks, 34 places, 3 projections\n21 Nov 08:12"


def test_a_card_that_says_little_gives_a_short_line():
    assert describe(card("b", "not a date"), {}) == ""


@pytest.mark.parametrize(
    ("lineage", "text"),
    [
        ({}, ""),
        ({"learned_from": 3}, ""),
        ({"learned_from": {"corrected block": 1}}, "1 block"),
        ({"learned_from": {"corrected block": 5, "painted place": 2}}, "5 blocks, 2 places"),
        ({"learned_from": {"painted projection": 1, "labelled volume": 3}}, "1 projection, 3 volumes"),
    ],
)
def test_what_it_learned_from_is_counted(lineage, text):
    assert learned_from(lineage) == text


def test_the_cards_of_a_project_are_read_from_its_folder(tmp_path):
    good = CheckpointRegistry().choose((5, 1, 1))
    shutil.copy(good.path, tmp_path / "mine.safetensors")
    values = json.loads(good.path.with_suffix(".json").read_text())
    values |= {"name": "mine", "lineage": {"parent": good.card.name, "learned_from": {"corrected block": 2}}}
    (tmp_path / "mine.json").write_text(json.dumps(values))
    found = read_entries(tmp_path, "mine", {}, (5.0, 1.0, 1.0))
    assert [one.name for one in found] == ["mine", "auto"]
    assert found[0].current
    assert f"from {good.card.name} · 2 blocks" in found[0].detail
    assert found[1].title == good.card.name
