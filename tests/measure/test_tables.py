"""The paper's tables from rows of results: layouts, blanks, and files."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from napari_vesselkd.measure.figure import Panel, figure, ticks
from napari_vesselkd.measure.tables import as_csv, as_json, as_markdown, panels_of, results_of, write_tables

COSTS = {
    "student": {"parameters": 117_953, "gmac": 0.11, "milliseconds": 2.49},
    "teacher": {"parameters": 63_980_000, "gmac": 98.63, "milliseconds": 22.63},
}


def rows_of(*methods, folds=5, **more):
    """Return rows where method n has Dice 0.5 + 0.1 n + 0.01 fold."""
    return [
        {
            "method": method,
            "fold": fold,
            "seed": 0,
            "volume": f"{fold}.tif",
            "dice": 0.5 + 0.1 * number + 0.01 * fold,
            "cldice": 0.9 - 0.1 * number,
            **more,
        }
        for number, method in enumerate(methods)
        for fold in range(1, folds + 1)
    ]


def methods(table):
    return [row["method"] for row in table.rows]


def test_tables_have_the_layouts_of_the_paper():
    rows = rows_of("vpbsd", "threshold", "vpbsd-without-codes", "kd", "teacher", "fitnets", "baseline")
    first, second, third = results_of(rows, COSTS).tables
    assert methods(first) == ["threshold", "teacher", "baseline", "kd", "fitnets", "vpbsd"]
    assert first.columns == (
        "dice",
        "accuracy",
        "jaccard",
        "hd95_voxels",
        "cldice",
        "smd_paper",
        "parameters",
    )
    assert "threshold" not in methods(second)
    assert second.columns[-3:] == ("parameters", "gmac", "milliseconds")
    assert methods(third) == ["teacher", "baseline", "vpbsd-without-codes", "fitnets", "vpbsd"]


def test_figures_are_where_they_belong():
    text = as_markdown(results_of(rows_of("baseline", "teacher"), COSTS))
    lines = [line for line in text.splitlines() if line.startswith("| Teacher |")]
    assert lines[0] == "| Teacher | 0.630 ± 0.016 |  |  |  | 0.800 ± 0.000 |  | 63,980,000 |"
    assert lines[1] == "| Teacher | 0.630 ± 0.016 | 0.800 ± 0.000 |  |  | 63,980,000 | 98.6 | 22.6 |"
    assert lines[2] == "| Teacher | Dice | +0.1000 | +0.1000 to +0.1000 | +0.1000 to +0.1000 | 5 in 5 |"


def test_a_method_with_its_own_costs_does_not_take_the_students():
    costs = {**COSTS, "vid": {"parameters": 590_000}}
    second = results_of(rows_of("baseline", "vid"), costs).tables[1]
    assert [row["parameters"] for row in second.rows] == [117_953, 590_000]
    assert second.rows[1]["gmac"] is None


def test_what_was_not_measured_is_blank_in_every_form():
    rows = rows_of("baseline", "vpbsd")
    results = results_of(rows)
    (line, _) = csv.DictReader(io.StringIO(as_csv(results)))
    assert (line["table"], line["method"], line["accuracy"], line["parameters"]) == ("1", "baseline", "", "")
    assert float(line["dice"]) == pytest.approx(0.53)
    found = json.loads(as_json(results, rows))
    assert found["tables"][0]["rows"][0]["accuracy"] is None
    assert len(found["rows"]) == 10
    assert [table["number"] for table in found["tables"]] == [1]


def test_values_not_defined_and_failures_are_said():
    rows = rows_of("baseline", "vpbsd", folds=3, hd95_voxels=2.0)
    rows[0]["hd95_voxels"] = None
    text = as_markdown(results_of(rows, failed=["fold-1-seed-0-kd"]))
    assert "HD95 (voxels) of Light UNet (baseline): 1 of 3 values are not defined and left out." in text
    assert "only 3 folds" in text
    assert "fold-1-seed-0-kd" in text


def test_differences_are_to_the_baseline_else_to_the_first_network():
    assert results_of(rows_of("vpbsd", "baseline")).reference == "baseline"
    assert results_of(rows_of("threshold", "kd", "vid")).reference == "kd"


def test_one_method_one_fold_has_a_table_and_a_figure(tmp_path):
    text, paths = write_tables(tmp_path, rows_of("mine", folds=1), {}, [])
    assert "| mine | 0.510 |" in text
    assert "Differences" not in text
    assert all(path.exists() for path in paths)


def test_no_results_at_all_are_no_error(tmp_path):
    text, paths = write_tables(tmp_path, [], {}, ["fold-1-seed-0-kd"])
    assert "Failed and left out: fold-1-seed-0-kd. The same command tries them again." in text
    assert all(path.exists() for path in paths)


def test_files_are_written_and_nothing_else(tmp_path):
    _, paths = write_tables(tmp_path, rows_of("baseline", "vpbsd"), COSTS, [])
    names = ["table.md", "table.csv", "table.json", "table.png"]
    assert [path.name for path in paths] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    with Image.open(paths[-1]) as picture:
        assert picture.format == "PNG"


def test_versions_of_vpbsd_are_compared_with_it_as_well():
    names = ("baseline", "vpbsd-without-codes", "vpbsd")
    results = results_of(rows_of(*names))
    found = {(one.method, one.metric): one.mean for one in results.ablated}
    assert found[("baseline", "dice")] == pytest.approx(-0.2)
    assert found[("vpbsd-without-codes", "dice")] == pytest.approx(-0.1)
    assert found[("vpbsd-without-codes", "cldice")] == pytest.approx(0.1) and len(found) == 4
    text = as_markdown(results)
    assert "| VpbSD w/o codes | Dice | -0.1000 |" in text.split("## Differences to VpbSD")[1]
    assert len(json.loads(as_json(results, [], {}, []))["ablated"]) == 4


@pytest.mark.parametrize("names", [("baseline", "vpbsd"), ("baseline", "hint-and-pseudo"), ("vpbsd", "kd")])
def test_without_a_version_there_is_no_second_comparison(names):
    assert results_of(rows_of(*names)).ablated == ()


def test_differences_to_vpbsd_are_said_once():
    text = as_markdown(results_of(rows_of("vpbsd", "vpbsd-without-codes")))
    assert text.count("## Differences to") == 1


def test_figure_shows_dice_and_cldice_and_their_differences():
    titles = [panel.title for panel in panels_of(results_of(rows_of("baseline", "vpbsd")))]
    assert [title.split()[0] for title in titles] == ["Dice:", "Dice", "clDice:", "clDice"]


def test_a_dot_lies_farther_right_for_a_larger_value_and_its_interval_is_drawn():
    lines = (("a", 0.2, 0.1, 0.3), ("b", 0.8, float("nan"), float("nan")))
    picture = figure([Panel("", lines)]).astype(int)
    dots = (picture[..., 0] > 150) & (picture[..., 2] < 60)
    y, x = np.nonzero(dots)
    low, high = x[y < y.mean()], x[y > y.mean()]
    assert high.mean() - low.mean() > 300
    dark = (picture.max(axis=2) < 60)[:, 340:]
    level = round(y[y < y.mean()].mean())
    assert dark[level].sum() > 100  # the interval of the first
    assert dark[round(y[y > y.mean()].mean())].sum() == 0  # the second has none


def test_ticks_are_round_and_inside():
    assert ticks(0.0, 1.0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-0.013, 0.052) == [0, 0.02, 0.04]
