"""The tables of a cross-validation as files."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from napari_vesselkd.measure.summary import Difference, Score, differences, metrics_of, summarise

Rows = Sequence[Mapping[str, Any]]
BASELINE = "baseline"
SHOWN = {
    "dice": "Dice",
    "cldice": "clDice",
    "hd95_voxels": "HD95 (voxels)",
    "smd": "SMD",
    "seconds": "s per volume",
}


def write_tables(
    out: Path, rows: Rows, costs: Mapping[str, Any], failed: Sequence[str]
) -> tuple[str, list[Path]]:
    """Write table.md (summary), table.csv (scores), table.json (all); return the first one's text, the paths."""
    metrics = [name for name in metrics_of(rows) if name != "seconds"]
    scores = summarise(rows)
    compared = differences(rows, BASELINE, metrics) if any(row["method"] == BASELINE for row in rows) else []
    text = _markdown(scores, compared, costs, failed)
    everything = {
        "scores": [asdict(one) for one in scores],
        "differences": [asdict(one) for one in compared],
        "costs": costs,
        "failed": list(failed),
        "rows": list(rows),
    }
    content = {
        "table.md": text,
        "table.csv": _csv(rows),
        "table.json": json.dumps(_plain(everything), indent=1, allow_nan=False) + "\n",
    }
    return text, [_written(out / name, part) for name, part in content.items()]


def _markdown(
    scores: Sequence[Score], compared: Sequence[Difference], costs: Mapping[str, Any], failed: Sequence[str]
) -> str:
    methods = list(dict.fromkeys(one.method for one in scores))
    found = {(one.method, one.metric): one for one in scores}
    gains = {(one.method, one.metric): one for one in compared}
    shown = [name for name in SHOWN if any(metric == name for _, metric in found)]
    lines = ["Mean over volumes, ± SD over folds and seeds.", ""]
    lines += _table(methods, shown, lambda method, name: _score(found.get((method, name))))
    if compared:
        rest = [method for method in methods if method != BASELINE]
        lines += ["", f"Less {BASELINE}, paired, with the 95 % interval over folds.", ""]
        lines += _table(
            rest,
            [one for one in shown if one != "seconds"],
            lambda method, name: _gain(gains.get((method, name))),
        )
        lines += [f"\n{caution}." for caution in dict.fromkeys(one.caution for one in compared) if caution]
    if costs:
        lines += ["", "| network | parameters | GMAC per 64^3 | ms per 64^3 |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {one['parameters']:,} | {one['gmac']:.3g} | {one['milliseconds']:.3g} |"
            for name, one in costs.items()
        ]
    if failed:
        lines += ["", "Left out, as their training could not go on: " + ", ".join(failed) + "."]
    return "\n".join(lines) + "\n"


def _table(methods: Sequence[str], metrics: Sequence[str], cell: Callable[[str, str], str]) -> list[str]:
    head = ["method", *(SHOWN[name] for name in metrics)]
    rows = [[method, *(cell(method, name) for name in metrics)] for method in methods]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _score(score: Score | None) -> str:
    if score is None or not math.isfinite(score.mean):
        return "-"
    spread = f" ± {score.sd_parts:.3f}" if math.isfinite(score.sd_parts) else ""
    return f"{score.mean:.3f}{spread}" + (f" ({score.undefined} undefined)" if score.undefined else "")


def _gain(gain: Difference | None) -> str:
    if gain is None or not math.isfinite(gain.mean):
        return "-"
    interval = f" ({gain.low:+.3f}..{gain.high:+.3f})" if math.isfinite(gain.low) else ""
    return f"{gain.mean:+.3f}{interval}"


def _csv(rows: Rows) -> str:
    stream = StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _written(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
    return path
