"""What ``vesselkd journal`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_vesselkd.cli.console import Console, columns
from napari_vesselkd.errors import ProjectError
from napari_vesselkd.project import Project
from napari_vesselkd.project.exchange import Conflict, Merged, import_journal
from napari_vesselkd.project.exported import read_export
from napari_vesselkd.reports import Report

LISTED = 20


@dataclass(frozen=True)
class ExportFinished(Report):
    """What was exported.

    Attributes
    ----------
    file : str
    blocks : int
        Accepted ones.
    left_out : int
        Blocks that are open or skipped, and MIP annotations.
    people : dict of str to int
        Strokes of each user.
    """

    file: str
    blocks: int
    left_out: int
    people: dict[str, int]


def export_corrections(project: str, file: str, console: Console) -> None:
    """Export the corrections of a project and say what is in the file."""
    with Project.open(project) as opened:
        path = opened.export_journal(file)
    found = read_export(path)
    report = ExportFinished(str(path), len(found.blocks), found.left_out, found.people)
    text = f"{path}: {len(found.blocks)} accepted blocks, {_people(found.people)}"
    left = f"; {found.left_out} blocks that are not accepted are not in it" if found.left_out else ""
    console.result(report, [text + left])


def import_corrections(
    project: str, file: str, take: Literal["mine", "theirs"] | None, console: Console
) -> None:
    """Merge corrections into a project; where a decision is needed list the conflicts, raise ProjectError."""
    with Project.open(project) as opened:
        merged = console.follow(
            import_journal(opened, file, take=take),
            again="What was merged by then is one step of undo; run it again to go on.",
            only_last=True,
        )
    assert isinstance(merged, Merged)  # noqa: S101  (importing ends with it)
    console.print(conflict_lines(merged.conflicts))
    if merged.conflicts and take is None:
        differ = sum(one.voxels for one in merged.conflicts)
        raise ProjectError(
            "The two have corrected voxels differently: nothing was changed",
            value=f"{differ:,} voxels in {len(merged.conflicts)} places",
            remedy="Give --take mine or --take theirs",
        )
    won = f"; where they differed, {take} won" if merged.conflicts else ""
    agreed = f"{merged.agreed:,} were alike already"
    console.print([f"{merged.taken:,} voxels were taken, {agreed}{won} ({_people(merged.people)})"])


def conflict_lines(conflicts: Sequence[Conflict]) -> list[str]:
    """Return the places where two people differ, as a table."""
    if not conflicts:
        return []
    rows = [("WHERE", "BOX z,y,x", "VOXELS", "MINE VESSEL, THEIRS BACKGROUND", "THE OPPOSITE")]
    for one in conflicts[:LISTED]:
        where = f"block {one.number}" if one.number else "anywhere"
        other = one.voxels - one.mine_vessel
        rows.append((where, str(one.box), f"{one.voxels:,}", f"{one.mine_vessel:,}", f"{other:,}"))
    more = len(conflicts) - LISTED
    return [*columns(rows), *([f"... and {more} places more"] if more > 0 else [])]


def _people(people: dict[str, int]) -> str:
    named = [f"{who or 'somebody'}: {count} strokes" for who, count in sorted(people.items())]
    return ", ".join(named) or "no strokes"
