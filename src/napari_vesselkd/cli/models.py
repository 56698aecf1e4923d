"""What ``vesselkd checkpoints`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.cli.console import Console, columns, plain, print_json


def list_checkpoints(console: Console) -> None:
    """Print one line per checkpoint, bundled ones first."""
    registry = CheckpointRegistry()
    rows = [("NAME", "WHERE", "Z/XY RATIO", "THRESHOLD", "DESCRIPTION")]
    for card in registry.list():
        found = registry.get(card.name)
        if console.json:
            print_json({**card.to_dict(), "path": found.path, "bundled": found.bundled})
            continue
        low, high = card.voxel_size_um["anisotropy"]
        where = "bundled" if found.bundled else "own"
        rows.append((card.name, where, f"{low:g}..{high:g}", f"{card.threshold:g}", card.description))
    console.print(columns(rows))


def show_checkpoint(name: str, console: Console) -> None:
    """Print the card of one checkpoint."""
    found = CheckpointRegistry().get(name)
    values = {**found.card.to_dict(), "path": str(found.path), "bundled": found.bundled}
    if console.json:
        print_json(values)
    else:
        console.print(columns(_rows(plain(values))))


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return a nested mapping as dotted rows."""
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{key}.")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", text))
    return rows
