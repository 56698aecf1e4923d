"""Tables 1, 2 and 3 of VpbSD (arXiv 2411.09567) from rows of results, and the differences with intervals.

Rows are those of `measure.summary`; costs are dictionaries with `parameters`, `gmac` and `milliseconds` by
method, "student" for every method without its own. What was not measured is left blank.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.measure.figure import Panel, figure, write_png
from napari_vesselkd.measure.summary import (
    Difference,
    Rows,
    Score,
    differences,
    methods_of,
    summarise,
)
from napari_vesselkd.volume.output import output_errors

Costs = Mapping[str, Mapping[str, float]]
Cells = dict[str, Any]

TEACHER, BASELINE, STUDENT = "teacher", "baseline", "student"
WITHOUT_NETWORK = ("threshold",)
TITLES = {
    "threshold": "Best threshold of each image",
    "teacher": "Teacher",
    "baseline": "Light UNet (baseline)",
    "kd": "Vanilla KD",
    "fitnets": "FitNets",
    "vid": "VID",
    "ab": "AB",
    "mean-teacher": "MT",
    "ua-mt": "UA-MT",
    "entropy": "ME",
    "vpbsd": "VpbSD",
    "vpbsd-without-codes": "VpbSD w/o codes",
    "vpbsd-without-pseudo": "VpbSD w/o pseudo-labels",
    "hint-and-pseudo": "Baseline + hint + pseudo-labels",
}
HEADINGS = {
    "dice": "Dice",
    "accuracy": "Accuracy",
    "jaccard": "Jaccard",
    "hd95_voxels": "HD95 (voxels)",
    "cldice": "clDice",
    "smd_paper": "SMD (as published)",
    "parameters": "Parameters",
    "gmac": "GMAC",
    "milliseconds": "ms per 64³ block",
}
COSTS = ("parameters", "gmac", "milliseconds")
STRATEGIES = ("vpbsd-without-codes", "vpbsd-without-pseudo", "hint-and-pseudo")
VPBSD = "vpbsd"
ABLATION = ("teacher", "baseline", *STRATEGIES[:2], "fitnets", STRATEGIES[2], VPBSD)
SCORES = ("dice", "accuracy", "jaccard", "hd95_voxels", "cldice", "smd_paper")
COMPARED = ("dice", "cldice", "hd95_voxels", "smd_paper")
DRAWN = ("dice", "cldice")


@dataclass(frozen=True)
class Table:
    """One table: a row is a dictionary by column, with None where nothing was measured.

    Scores are in NAME and NAME_sd: the mean over volumes, and the SD of the means of folds and seeds.
    """

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[Cells, ...]


@dataclass(frozen=True)
class Results:
    """Everything that is said of rows of results.

    Attributes
    ----------
    tables : tuple of Table
        1, 2, 3; a table without rows is left out.
    scores, differences
        See `summarise` and `differences`, in every metric; `reference` is empty if there is one method.
    ablated : tuple of Difference
        To VpbSD, where it is there with a version of it that lacks something.
    notes : tuple of str
        What the reader should know: undefined values, few folds, failures.
    """

    tables: tuple[Table, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    ablated: tuple[Difference, ...]
    reference: str
    notes: tuple[str, ...]


def results_of(
    rows: Rows, costs: Costs | None = None, failed: Sequence[str] = (), reference: str = BASELINE
) -> Results:
    """Return the tables of rows of results; differences are to `reference`, else to the first method."""
    found, methods = summarise(rows), methods_of(rows)
    if reference not in methods:
        reference = next((name for name in methods if name not in WITHOUT_NETWORK), "")
    compared = differences(rows, reference) if len(methods) > 1 and reference else []
    ablated = differences(rows, VPBSD) if VPBSD in methods and set(STRATEGIES) & set(methods) else []
    table = _Maker(found, costs or {})
    known = [*(name for name in TITLES if name in methods), *(name for name in methods if name not in TITLES)]
    first = [name for name in known if name not in STRATEGIES]
    third = [name for name in ABLATION if name in methods] if set(STRATEGIES) & set(methods) else []
    tables = (
        table.made(1, "Methods", (*SCORES, "parameters"), first),
        table.made(
            2, "Architectures and costs", (*COMPARED, *COSTS), [n for n in known if table.costs_of(n)]
        ),
        table.made(3, "Ablations", SCORES, third),
    )
    return Results(
        tuple(one for one in tables if one.rows),
        tuple(found),
        tuple(compared),
        tuple(ablated if reference != VPBSD else ()),
        reference if compared else "",
        _notes(found, compared, failed),
    )


def as_markdown(results: Results) -> str:
    """Return the tables, the differences and the notes in Markdown."""
    parts = [_markdown(one) for one in results.tables]
    parts += [_markdown_differences(one) for one in (results.differences, results.ablated) if one]
    if results.notes:
        parts.append("\n".join(f"* {note}" for note in results.notes))
    return "\n\n".join(parts) + "\n"


def as_csv(results: Results) -> str:
    """Return the tables as one CSV: a line a table and method, blank where nothing was measured."""
    names = dict.fromkeys(name for table in results.tables for row in table.rows for name in row)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["table", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"table": table.number, **row} for table in results.tables for row in table.rows)
    return stream.getvalue()


def as_json(results: Results, rows: Rows = (), costs: Costs | None = None, failed: Sequence[str] = ()) -> str:
    """Return all there is, and what it was made from, as JSON; null for what is not known."""
    everything = {**asdict(results), "rows": list(rows), "costs": costs or {}, "failed": list(failed)}
    return json.dumps(_plain(everything), indent=1, allow_nan=False) + "\n"


def write_tables(out: Path, rows: Rows, costs: Costs, failed: Sequence[str]) -> tuple[str, list[Path]]:
    """Write table.md, table.csv, table.json and table.png in a folder; return the first's text and all paths.

    Raises
    ------
    InvalidInputError
        If two rows are of the same method, fold, seed and volume.
    OutputError
        If the files cannot be written.
    """
    results = results_of(rows, costs, failed)
    texts = {
        "table.md": as_markdown(results),
        "table.csv": as_csv(results),
        "table.json": as_json(results, rows, costs, failed),
    }
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8", newline="")
        write_png(out / "table.png", figure(panels_of(results)))
    return texts["table.md"], [out / name for name in (*texts, "table.png")]


def panels_of(results: Results) -> list[Panel]:
    """Return what the figure shows: Dice and clDice of each method, and the differences."""
    panels = []
    for metric in DRAWN:
        lines = [
            (_title(one.method), one.mean, one.mean - one.sd_parts, one.mean + one.sd_parts)
            for one in results.scores
            if one.metric == metric and one.values
        ]
        panels.append(Panel(f"{HEADINGS[metric]}: mean, SD of folds and seeds", tuple(lines)))
        over = [one for one in results.differences if one.metric == metric and one.pairs]
        title = f"{HEADINGS[metric]} less {_title(results.reference)}, 95 % interval"
        panels.append(Panel(title, tuple((_title(o.method), o.mean, o.low, o.high) for o in over), zero=True))
    return [panel for panel in panels if panel.lines]


class _Maker:
    """Puts scores and costs into tables."""

    def __init__(self, scores: Sequence[Score], costs: Costs) -> None:
        self.scores = {(one.method, one.metric): one for one in scores}
        self.costs = costs

    def costs_of(self, method: str) -> Mapping[str, float]:
        if method in self.costs or method in (*WITHOUT_NETWORK, TEACHER):
            return self.costs.get(method, {})
        return self.costs.get(STUDENT, {})

    def made(self, number: int, title: str, columns: tuple[str, ...], methods: Sequence[str]) -> Table:
        rows = []
        for method in methods:
            row: Cells = {"method": method}
            for column in columns:
                if column in COSTS:
                    row[column] = self.costs_of(method).get(column)
                else:
                    score = self.scores.get((method, column))
                    row[column] = _known(score.mean if score else None)
                    row[f"{column}_sd"] = _known(score.sd_parts if score else None)
            rows.append(row)
        return Table(number, title, columns, tuple(rows))


def _markdown(table: Table) -> str:
    lines = [[_title(row["method"]), *(_cell(row, name) for name in table.columns)] for row in table.rows]
    heads = ["Method", *(HEADINGS[name] for name in table.columns)]
    said = "Mean over volumes ± SD of the means of folds and seeds."
    return f"## Table {table.number}. {table.title}\n\n{said}\n\n{_grid(heads, lines)}"


def _markdown_differences(compared: Sequence[Difference]) -> str:
    lines = [
        [
            _title(one.method),
            HEADINGS[one.metric],
            f"{one.mean:+.4f}",
            _interval(one.low, one.high),
            _interval(one.t_low, one.t_high),
            f"{one.volumes} in {one.folds}",
        ]
        for one in compared
        if one.metric in COMPARED and one.pairs
    ]
    said = (
        "The same volumes and seeds. The interval to quote is the bootstrap over folds: volumes of a fold "
        "share a network. The t-test over volumes takes them as independent and is a cross-check."
    )
    heads = ["Method", "Metric", "Difference", "95 %, folds", "95 %, t over volumes", "Volumes in folds"]
    return f"## Differences to {_title(compared[0].reference)}\n\n{said}\n\n{_grid(heads, lines)}"


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def _cell(row: Cells, column: str) -> str:
    value, spread = row[column], row.get(f"{column}_sd")
    if value is None:
        return ""
    if column in COSTS:
        return f"{value:,}" if column == "parameters" else f"{value:.3g}" if value < 100 else f"{value:.1f}"
    return f"{value:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def _interval(low: float, high: float) -> str:
    return f"{low:+.4f} to {high:+.4f}" if math.isfinite(low) and math.isfinite(high) else ""


def _title(method: str) -> str:
    return TITLES.get(method, method)


def _notes(scores: Sequence[Score], compared: Sequence[Difference], failed: Sequence[str]) -> tuple[str, ...]:
    notes = [
        f"{HEADINGS[one.metric]} of {_title(one.method)}: {one.undefined} of {one.undefined + one.values} "
        "values are not defined and left out."
        for one in scores
        if one.undefined and one.metric in SCORES
    ]
    cautions = dict.fromkeys(one.caution for one in compared if one.caution and one.metric in COMPARED)
    notes += [f"Caution: {caution}." for caution in cautions]
    if failed:
        notes.append(f"Failed and left out: {', '.join(failed)}. The same command tries them again.")
    return tuple(notes)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
