"""The tables of a cross-validation as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def write_tables(
    out: Path, rows: Rows, costs: Mapping[str, Any], failed: Sequence[str]
) -> tuple[str, list[Path]]:
    """Write table.md, table.csv, table.json; return the first one's text and all paths."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    paths = [out / name for name in ("table.md", "table.csv", "table.json")]
    text = "\n".join(sorted({str(row["method"]) for row in rows})) + "\n"
    paths[0].write_text(text)
    with paths[1].open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    paths[2].write_text(json.dumps({"rows": list(rows), "costs": costs, "failed": list(failed)}))
    return text, paths
