"""What ``vesselkd jobs`` does. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_vesselkd.cli.console import Cancelled, Console, Failed, clock, columns, print_json
from napari_vesselkd.cli.outcome import how_far, outcome_lines, report_of
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.jobs import JobState, JobStatus, RunFolder, follow, known_runs, resume, stop


def list_jobs(place: str | None, console: Console) -> None:
    """Print one line per run.

    Raises
    ------
    InvalidInputError
        If there is no such folder.
    """
    if place is not None and not Path(place).expanduser().is_dir():
        raise InvalidInputError(
            "There is no such folder", value=place, limit="a project, a folder of runs, or a run folder"
        )
    found = known_runs(place)
    if console.json:
        for status in found:
            print_json(described(status))
        return
    rows = [("STATE", "KIND", "PROGRESS", "STARTED", "TIME", "RUN")]
    rows += [
        (str(one.state), one.kind, _progress(one), _time(one.started), clock(one.seconds), str(one.path))
        for one in found
    ]
    console.print(columns(rows) if found else ["There is no run here."])


def attach_to(run: str, console: Console) -> None:
    """Show what a run reports until it ends, then what it has come to.

    Raises
    ------
    InvalidInputError
        If there is no run in the folder.
    Cancelled
        After Ctrl-C, which leaves it running; or if it was stopped.
    Failed
        If it failed or crashed.
    """
    folder = RunFolder.open(run)
    try:
        with console.showing():
            for event in follow(folder.path):
                _show(event, console)
    except KeyboardInterrupt as error:
        raise Cancelled(f"Not watching any more; the run goes on: vesselkd jobs attach {run}") from error
    status = folder.status()
    _raise_if_not_finished(status)
    console.print(outcome_lines(folder))


def stop_job(run: str, wait: float, console: Console) -> None:
    """Stop a run and print its state."""
    if not wait >= 0:
        raise InvalidInputError("The time to wait is negative", value=wait, limit="0 or more seconds")
    before = RunFolder.open(run).status()
    status = stop(run, wait=wait)
    said = [] if before.state.active else ["It was not running."]
    if status.state is not JobState.FINISHED:
        said.append(f"To go on: vesselkd jobs resume {shlex.quote(str(status.path))}")
    _print_status(status, said, console)


def resume_job(run: str, console: Console) -> None:
    """Start a run again in the background; say so where it is finished."""
    folder = RunFolder.open(run)
    status = folder.status()
    if status.state is JobState.FINISHED:
        _print_status(status, ["Nothing is left to do.", "", *outcome_lines(folder)], console)
        return
    status = resume(folder.path)
    _raise_if_not_finished(status)
    _print_status(status, [f"Watch it: vesselkd jobs attach {shlex.quote(str(status.path))}"], console)


def described(status: JobStatus) -> dict[str, Any]:
    """Return a status as plain values."""
    return {
        **asdict(status),
        "path": str(status.path),
        "state": str(status.state),
        "command": list(status.command),
    }


def _print_status(status: JobStatus, more: list[str], console: Console) -> None:
    if console.json:
        print_json(described(status))
    console.print([f"{status.path}: {status.state}{how_far(status)}", *more])


def _show(event: Mapping[str, Any], console: Console) -> None:
    report = report_of(event)
    if console.json:
        print_json(event)
    elif report is not None:
        console.show(report)


def _raise_if_not_finished(status: JobStatus) -> None:
    """Raise what a command that has watched an unfinished run ends with; nothing while it runs."""
    path = shlex.quote(str(status.path))
    if status.state is JobState.STOPPED:
        raise Cancelled(f"The run was stopped{how_far(status)}. To go on: vesselkd jobs resume {path}")
    if status.state is JobState.MISSING:
        raise Failed(f"The run folder is gone: {status.path}")
    if status.state is JobState.CRASHED:
        raise Failed(
            f"The run ended without a word{how_far(status)}: it was killed, or memory ran out. "
            f"What it printed: {status.path / 'output.log'}. To go on: vesselkd jobs resume {path}"
        )
    if status.state is JobState.FAILED:
        error = status.error or {}
        where = f" ({error['where']})" if error.get("where") else ""
        remedy = f" {error['remedy'].rstrip('.')}." if error.get("remedy") else ""
        raise Failed(
            f"The run failed{where}: {error.get('what', 'unknown')}.{remedy} "
            f"The traceback is in {status.path / 'events.jsonl'}"
        )


def _progress(status: JobStatus) -> str:
    progress = status.progress
    if progress is None:
        return "-"
    return f"{progress['done']}/{progress['total']} {progress['unit']}"


def _time(text: str) -> str:
    """Return an ISO 8601 time as "2026-11-21 08:46"."""
    return text[:16].replace("T", " ") or "-"
