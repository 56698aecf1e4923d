"""What ``vesselkd finetune`` does."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from napari_vesselkd.cli.console import Cancelled, Console, Failed, print_json
from napari_vesselkd.cli.outcome import how_far, outcome_lines, results
from napari_vesselkd.cli.settings import assignment
from napari_vesselkd.errors import InvalidInputError, OutputBusyError, VesselKDError
from napari_vesselkd.inference.memory import keep_freed_memory
from napari_vesselkd.jobs import JobState, RunFolder, known_runs, recorded
from napari_vesselkd.learning import check, is_project, learn
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice
from napari_vesselkd.training.finetune import FinetuneConfig

KIND = "finetune"


@dataclass(frozen=True)
class FinetuneRequest:
    """The arguments of the command, with absolute paths.

    Attributes
    ----------
    source : Path
        PROJECT.vesselkd or DATASET.csv.
    parent : str
        Checkpoint to start from: "auto", a name, or an absolute path.
    run : Path
        The run folder.
    config : FinetuneConfig
    """

    source: Path
    parent: str
    run: Path
    config: FinetuneConfig

    def settings(self) -> dict[str, Any]:
        """Return what goes into config.toml; a project is named as seen from a run inside it."""
        inside = self.source in self.run.parents
        source = os.path.relpath(self.source, self.run) if inside else str(self.source)
        return {"source": source, "from": self.parent, **asdict(self.config)}

    def command(self) -> list[str]:
        """Return the arguments of ``vesselkd`` that do the same from any folder."""
        words = [KIND, str(self.source), "--out", str(self.run)]
        words += [] if self.parent == "auto" else ["--from", self.parent]
        default = FinetuneConfig()
        for field in fields(self.config):
            value = getattr(self.config, field.name)
            if value != getattr(default, field.name):
                words += ["--set", assignment(field.name, value)]
        return words


def run_finetune(
    source: str, parent: str | None, out: str | None, config: FinetuneConfig, console: Console
) -> None:
    """Fine-tune in a run folder, or go on there, and print the outcome.

    Raises
    ------
    VesselKDError
        If an argument is wrong; then no run folder is left behind.
    Cancelled
        After Ctrl-C.
    Failed
        If something unexpected happened; the traceback is in the run folder.
    """
    request, run = _begin(source, parent, out, config, console)
    if run.status().state is JobState.FINISHED:
        console.show(Notice(f"This run is finished already: {run.path}"))
        _print_again(run, console)
        return
    keep_freed_memory()
    console.show(Notice(f"Run folder: {run.path}"))
    reports = recorded(run, lambda: learn(request.source, run.path, config, parent=request.parent))
    try:
        console.follow(reports, again=_how_to_go_on(run.path))
    except (VesselKDError, Cancelled):
        raise
    except Exception as error:
        raise Failed(_unexpected(run, error)) from error
    console.print(outcome_lines(run))


def _begin(
    source: str, parent: str | None, out: str | None, config: FinetuneConfig, console: Console
) -> tuple[FinetuneRequest, RunFolder]:
    """Check everything, then make the run folder, or open the one that is there."""
    place = Path(source).expanduser().absolute()
    start = _absolute_checkpoint(parent or "auto")
    if out is not None:
        path = Path(out).expanduser().absolute()
        request = FinetuneRequest(place, start, path, config)
        if not (path / "config.toml").exists():
            check(place, path, config, parent=start)
        return request, _made(request)
    if not is_project(source):
        raise InvalidInputError(
            "A run on a data set needs a folder", value=source, limit="--out RUN", remedy="Give --out RUN"
        )
    with Project.open(place, write=False) as project:
        for notice in _about_the_last_run(project, start, config):
            console.show(notice)
        request = FinetuneRequest(place, start, project.new_run(KIND), config)
    try:
        check(place, request.run, config, parent=start)
    except BaseException:
        request.run.rmdir()
        raise
    return request, _made(request)


def _made(request: FinetuneRequest) -> RunFolder:
    return RunFolder.create(request.run, kind=KIND, command=request.command(), config=request.settings())


def _about_the_last_run(project: Project, parent: str, config: FinetuneConfig) -> Iterator[Notice]:
    """Say that the latest run with the same settings is not finished; a running one is not doubled.

    Raises
    ------
    OutputBusyError
        If it runs.
    """
    last = next(iter(known_runs(project.runs)), None)
    if last is None or last.kind != KIND or last.state is JobState.FINISHED:
        return
    wanted = FinetuneRequest(project.path.absolute(), parent, last.path, config).settings()
    if RunFolder(last.path).config != {key: value for key, value in wanted.items() if value is not None}:
        return
    if last.state in (JobState.RUNNING, JobState.STOPPING):
        raise OutputBusyError(
            "This project is learning already",
            value=last.path,
            remedy=f"Watch it: vesselkd jobs attach {last.path} (or give --out RUN for a second run)",
        )
    yield Notice(
        f"An earlier run with these settings is not finished ({last.state}{how_far(last)}), "
        f"and this is a new one. To go on with the earlier one: vesselkd jobs resume {last.path}"
    )


def _absolute_checkpoint(name: str) -> str:
    """Return a path made absolute, so that the command works from any folder; a name stays a name."""
    is_path = name.endswith((".safetensors", ".json")) or any(
        separator in name for separator in (os.sep, os.altsep) if separator
    )
    return str(Path(name).expanduser().absolute()) if is_path else name


def _how_to_go_on(run: Path) -> str:
    return f"Nothing is lost: `vesselkd jobs resume {run}` goes on, or the same command with --out {run}."


def _unexpected(run: RunFolder, error: Exception) -> str:
    """Write the traceback into the run folder; return what to tell."""
    what = f"Unexpected error: {type(error).__name__}: {error}"
    text = "".join(traceback.format_exception(error))
    path = run.path / "traceback.txt"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        return f"{what}\n{text}"
    return f"{what}\nThe traceback is in {path}"


def _print_again(run: RunFolder, console: Console) -> None:
    """Print the outcome of a run that was finished before."""
    if console.json:
        for event in results(run).values():
            print_json(event)
    console.print(outcome_lines(run))
