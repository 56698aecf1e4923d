"""What ``vesselkd checkpoints`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_vesselkd.checkpoints import CheckpointCard, CheckpointRegistry
from napari_vesselkd.checkpoints.registry import BUNDLED
from napari_vesselkd.cli.console import Console, columns, plain, print_json
from napari_vesselkd.cli.outcome import NO_VERDICT, results
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.jobs import RunFolder
from napari_vesselkd.project import Project


def registry_of(project: str | None) -> CheckpointRegistry:
    """Return the checkpoints of a project, or the user's own."""
    if project is None:
        return CheckpointRegistry()
    with Project.open(project, write=False) as opened:
        return opened.registry


def list_checkpoints(console: Console, project: str | None = None) -> None:
    """Print one line per checkpoint, bundled ones first."""
    registry, used = registry_of(project), _used(project)
    rows = [("USED", "NAME", "WHERE", "Z/XY RATIO", "THRESHOLD", "DESCRIPTION")]
    for card in registry.list():
        found = registry.get(card.name)
        if console.json:
            more = {} if project is None else {"used": card.name == used}
            print_json({**card.to_dict(), "path": found.path, "bundled": found.bundled, **more})
            continue
        low, high = card.voxel_size_um["anisotropy"]
        where = "bundled" if found.bundled else "own" if project is None else "project"
        mark = "*" if card.name == used else ""
        rows.append((mark, card.name, where, f"{low:g}..{high:g}", f"{card.threshold:g}", card.description))
    console.print(columns(rows if project is not None else [row[1:] for row in rows]))


def show_checkpoint(name: str, console: Console, project: str | None = None) -> None:
    """Print the card of one checkpoint."""
    found = registry_of(project).get(name)
    values = {**found.card.to_dict(), "path": str(found.path), "bundled": found.bundled}
    if console.json:
        print_json(values)
    else:
        console.print(columns(_rows(plain(values))))


def promote_checkpoint(name: str, project: str, console: Console) -> None:
    """Take a checkpoint into use in a project, with what the gate said about it.

    Raises
    ------
    ProjectBusyError
        If another process holds the project.
    CheckpointNotFoundError, InvalidInputError
        If the project has no such checkpoint, or it is made for other voxels.
    """
    with Project.open(project) as opened:
        opened.require_writable()
        scores: dict[str, Any] = {}
        if name != "auto":
            from napari_vesselkd.learning import check_voxel_size

            card = _own_card(opened, name)
            check_voxel_size(card, opened.image.voxel_size_um)
            scores = _gate_scores(card.lineage)
        done = opened.promote(name, scores)
    if console.json:
        print_json(asdict(done))
    console.print(
        [
            f"{opened.path} uses {done.name} from now on, before: {done.previous}.",
            f"The labels stay until they are made again: vesselkd segment SOURCE {opened.path}",
        ]
    )


def _own_card(project: Project, name: str) -> CheckpointCard:
    """Return the card of a checkpoint of a project; a file elsewhere could be gone tomorrow."""
    found = project.registry.get(name)
    if found.path.absolute().parent not in (BUNDLED, project.registry.root.absolute()):
        raise InvalidInputError(
            "The checkpoint is not in the project",
            value=name,
            limit=", ".join(card.name for card in project.registry.list()),
            remedy=f"Import it first: vesselkd checkpoints import {name} --project {project.path}",
        )
    return found.card


def _used(project: str | None) -> str:
    """Return the name of the checkpoint that a project uses; empty without a project."""
    if project is None:
        return ""
    with Project.open(project, write=False) as opened:
        if opened.current != "auto":
            return opened.current
        return opened.registry.choose(opened.image.voxel_size_um).card.name


def _gate_scores(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the gate said in the run that a checkpoint comes from; empty where that is not known."""
    run = lineage.get("run")
    found = results(RunFolder(Path(run))).get("Judgement") if isinstance(run, str) and run else None
    if found is None or found["verdict"] == NO_VERDICT:
        return {}
    return {
        "verdict": found["verdict"],
        "held_out_blocks": len(found["blocks"]),
        "dice": [found["dice_old"], found["dice_new"]],
        "cldice": [found["cldice_old"], found["cldice_new"]],
        "dice_gain": found["dice_gain"],
        "cldice_gain": found["cldice_gain"],
    }


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
