"""What the commands that train have in common: a request, its run folder, going on there, the outcome."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from napari_vesselkd.cli.console import Cancelled, Console, Failed, print_json
from napari_vesselkd.cli.outcome import how_far, outcome_lines, results
from napari_vesselkd.errors import InvalidInputError, OutputBusyError, VesselKDError
from napari_vesselkd.inference.memory import keep_freed_memory
from napari_vesselkd.jobs import JobState, RunFolder, known_runs, recorded
from napari_vesselkd.jobs.run_folder import is_more
from napari_vesselkd.learning import is_project
from napari_vesselkd.models import ranks
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Report


class Request(Protocol):
    """The arguments of a command that trains, with absolute paths."""

    @property
    def run(self) -> Path:
        """The run folder."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what goes into config.toml."""
        ...

    def command(self) -> list[str]:
        """Return the arguments of ``vesselkd`` that do the same from any folder."""
        ...

    def check(self) -> None:
        """Raise at once what `task` would raise after a while."""
        ...

    def task(self) -> Iterator[Report]:
        """Return the reports of the work."""
        ...


Make = Callable[[Path], Request]


def run_job(
    kind: str,
    source: str,
    out: str | None,
    make: Make,
    console: Console,
    *,
    shared: bool = False,
    grows: Collection[str] = (),
    is_left: Callable[[Path], bool] = lambda _run: False,
) -> None:
    """Do what a request asks in a run folder, or go on there, and print the outcome.

    Parameters
    ----------
    kind : str
        The command.
    source : str
        PROJECT.vesselkd or DATASET.csv.
    out : str, optional
        The run folder; by default a new one in the project.
    make : callable
        Run folder to request.
    console : Console
    shared : bool, optional
        Whether processes that torchrun started can share the work.
    grows : collection of str, optional
        Settings that may be more than before where a run goes on, see `RunFolder.create`.
    is_left : callable, optional
        Whether there is something left to do in a finished run's folder.

    Raises
    ------
    VesselKDError
        If an argument is wrong; then no run folder is left behind.
    Cancelled
        After Ctrl-C.
    Failed
        If something unexpected happened; the traceback is in the run folder.
    """
    ranks.join()
    try:
        if ranks.count() > 1:
            _check_shared(kind, source, out, shared)
        if ranks.is_first():
            _lead(kind, source, out, make, console, grows=grows, is_left=is_left)
        else:
            _help(make(absolute(str(out))))
    finally:
        ranks.leave()


def _lead(
    kind: str,
    source: str,
    out: str | None,
    make: Make,
    console: Console,
    *,
    grows: Collection[str],
    is_left: Callable[[Path], bool],
) -> None:
    request, run = _begin(kind, source, out, make, console, grows=grows)
    ranks.meet()
    if run.status().state is JobState.FINISHED and not is_left(run.path):
        console.show(Notice(f"This run is finished already: {run.path}"))
        _print_again(run, console)
        return
    keep_freed_memory()
    console.show(Notice(f"Run folder: {run.path}"))
    follow(run, recorded(run, request.task), console)
    console.print(outcome_lines(run))


def _help(request: Request) -> None:
    """Take part in the work of the first process, which has made the run folder, and alone reports."""
    ranks.meet()
    keep_freed_memory()
    for _ in request.task():
        pass


def _check_shared(kind: str, source: str, out: str | None, shared: bool) -> None:
    if not shared or is_project(source):
        raise InvalidInputError(
            "This command works in one process",
            value=f"{ranks.count()} processes, started by torchrun",
            limit="pretrain, and finetune of a teacher, on a DATASET.csv are shared",
            remedy=f"Run vesselkd {kind} without torchrun",
        )
    if out is None:
        raise InvalidInputError(
            "Several processes need one run folder", value="none", remedy="Give --out RUN"
        )


def follow(run: RunFolder, reports: Iterator[Report], console: Console) -> None:
    """Show the reports of a run to their end; see `run_job` for what is raised."""
    try:
        console.follow(reports, again=_how_to_go_on(run.path))
    except (VesselKDError, Cancelled):
        raise
    except Exception as error:
        raise Failed(_unexpected(run, error)) from error


def absolute(path: str | Path) -> Path:
    """Return a path as a command needs it that is to work from any folder."""
    return Path(path).expanduser().absolute()


def absolute_checkpoint(name: str) -> str:
    """Return a path made absolute; a name stays a name."""
    is_path = name.endswith((".safetensors", ".json")) or any(
        separator in name for separator in (os.sep, os.altsep) if separator
    )
    return str(absolute(name)) if is_path else name


def source_of(source: Path, run: Path) -> str:
    """Return how config.toml names a source: a project as seen from a run inside it."""
    return os.path.relpath(source, run) if source in run.parents else str(source)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as TOML gives them back: lists for tuples, and nothing for None."""
    return {str(key): _plain(value) for key, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _begin(
    kind: str, source: str, out: str | None, make: Make, console: Console, *, grows: Collection[str]
) -> tuple[Request, RunFolder]:
    """Check everything, then make the run folder, or open the one that is there."""
    if out is not None:
        request = make(absolute(out))
        grown = is_more(request.settings(), RunFolder(request.run).config, grows)
        if grown or not (request.run / "config.toml").exists():
            request.check()
        return request, _made(kind, request, grows)
    if not is_project(source):
        raise InvalidInputError(
            "A run on a data set needs a folder", value=source, limit="--out RUN", remedy="Give --out RUN"
        )
    with Project.open(absolute(source), write=False) as project:
        for notice in _about_the_last_run(kind, project, make):
            console.show(notice)
        request = make(project.new_run(kind))
    try:
        request.check()
    except BaseException:
        request.run.rmdir()
        raise
    return request, _made(kind, request)


def _made(kind: str, request: Request, grows: Collection[str] = ()) -> RunFolder:
    return RunFolder.create(
        request.run, kind=kind, command=request.command(), config=request.settings(), grows=grows
    )


def _about_the_last_run(kind: str, project: Project, make: Make) -> Iterator[Notice]:
    """Say that the latest run with the same settings is not finished; a running one is not doubled.

    Raises
    ------
    OutputBusyError
        If it runs.
    """
    last = next((run for run in known_runs(project.runs) if run.kind == kind), None)
    if last is None or last.state is JobState.FINISHED:
        return
    wanted = make(last.path).settings()
    if RunFolder(last.path).config != {key: value for key, value in wanted.items() if value is not None}:
        return
    if last.state.active:
        raise OutputBusyError(
            "This project is learning already",
            value=last.path,
            remedy=f"Watch it: vesselkd jobs attach {last.path} (or give --out RUN for a second run)",
        )
    yield Notice(
        f"An earlier run with these settings is not finished ({last.state}{how_far(last)}), "
        f"and this is a new one. To go on with the earlier one: vesselkd jobs resume {last.path}"
    )


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
