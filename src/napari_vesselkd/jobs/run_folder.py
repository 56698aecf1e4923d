"""The folder of a run, and what can be read from it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import psutil
import tomli_w

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.volume import output_errors

TAIL_BYTES = 1 << 18
PACKAGES = ("napari-vesselkd", "torch", "monai", "numpy", "zarr", "scikit-image", "napari", "openvino")
ENDED = ("finished", "stopped", "failed")
BEFORE_CONFIG = ("command.txt", "environment.json", "output.log")  # what a run has before its config.toml
PROGRESS = {"done", "total", "unit"}
CRASH = {
    "what": "The job ended without a word: it was killed, or the computer ran out of memory",
    "remedy": "Resume it: it goes on from the last step that was saved",
    "where": "",
    "traceback": "",
}


class JobState(StrEnum):
    """What a job is doing."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    MISSING = "missing"

    @property
    def active(self) -> bool:
        """Whether a process works on it."""
        return self in (JobState.RUNNING, JobState.STOPPING)


@dataclass(frozen=True)
class JobStatus:
    """A job as its run folder shows it.

    Attributes
    ----------
    path : Path
        The run folder.
    kind : str
        "finetune", ...
    state : JobState
        CRASHED: its process is gone without a last word; MISSING: the folder is gone.
    command : tuple of str
        Arguments of ``vesselkd``.
    started : str
        ISO 8601, UTC, of the latest session; empty before the first.
    seconds : float
        From then to its last event, in s.
    progress : dict or None
        The last report of progress.
    error : dict or None
        what, remedy, where, traceback; of jobs that failed or crashed.
    """

    path: Path
    kind: str
    state: JobState
    command: tuple[str, ...] = ()
    started: str = ""
    seconds: float = 0.0
    progress: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunFolder:
    """The run folder at `path`."""

    path: Path

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        kind: str,
        command: Sequence[str],
        config: Mapping[str, Any],
        grows: Collection[str] = (),
    ) -> Self:
        """Make the run folder of a command, or open it again to go on with the same one.

        Parameters
        ----------
        path : str or Path
        kind : str
            What the command does, one word.
        command : sequence of str
            Arguments of ``vesselkd``.
        config : mapping
            Plain values; None is left out.
        grows : collection of str, optional
            Settings that may be more than they were in the run that is there, while nobody works on it:
            numbers larger, lists with something added. One that was finished has then been stopped.

        Raises
        ------
        InvalidInputError
            If the folder holds a run of another kind or configuration, or something else.
        OutputError
            If it cannot be written.
        """
        path = Path(path).expanduser().absolute()
        wanted = {key: value for key, value in config.items() if value is not None}
        found = read_config(path)
        run = cls(path)
        state = run.status().state
        if found is None:
            _check_empty(path)
        elif found != {kind: wanted} and (state.active or not is_more(wanted, found.get(kind), grows)):
            raise _another_run(path, kind, wanted, found)
        with output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            if found != {kind: wanted} and state is JobState.FINISHED:  # before anything says what is more
                with run.events_path.open("ab") as file:
                    file.write(json.dumps({"time": now(), "report": "stopped"}).encode() + b"\n")
            if run.command != tuple(command):  # also where the folder was moved
                write_aside(path / "command.txt", shlex.join(["vesselkd", *command]) + "\n")
            if found is None:
                write_aside(path / "environment.json", json.dumps(environment(), indent=2) + "\n")
            if found != {kind: wanted}:
                write_aside(path / "config.toml", tomli_w.dumps({kind: wanted}))
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an existing run folder.

        Raises
        ------
        InvalidInputError
            If there is none.
        """
        path = Path(path).expanduser().absolute()
        if read_config(path) is None:
            raise InvalidInputError(
                "There is no run in this folder",
                value=path,
                limit="a folder with config.toml and command.txt",
                remedy="`vesselkd jobs list` shows the runs",
            )
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """The settings in config.toml."""
        return dict((read_config(self.path) or {}).get(self.kind, {}))

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def stop_path(self) -> Path:
        return self.path / "stop"

    @property
    def kind(self) -> str:
        return next(iter(read_config(self.path) or {}), "")

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments of ``vesselkd``."""
        try:
            return tuple(shlex.split((self.path / "command.txt").read_text(encoding="utf-8"))[1:])
        except (OSError, ValueError):
            return ()

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Return the events from byte `offset` on, and the offset behind them.

        A last line that is not whole yet waits for the next call; a damaged line is left out.
        """
        try:
            with self.events_path.open("rb") as file:
                file.seek(offset)
                content = file.read()
        except OSError:
            return [], offset
        whole = content[: content.rfind(b"\n") + 1]
        found = (_event(line) for line in whole.splitlines())
        return [event for event in found if event is not None], offset + len(whole)

    def status(self) -> JobStatus:
        """Return what the job is doing; reads the end of its events only."""
        if not self.path.is_dir() or read_config(self.path) is None:
            return JobStatus(self.path, "", JobState.MISSING)
        try:
            size = self.events_path.stat().st_size
        except OSError:
            size = 0
        events, _ = self.events(max(0, size - TAIL_BYTES))
        session = self.session()
        state, last = self._state(session, events)
        began = str(session.get("started", ""))
        return JobStatus(
            path=self.path,
            kind=self.kind,
            state=state,
            command=self.command,
            started=began,
            seconds=_between(began, str(events[-1].get("time", ""))) if events else 0.0,
            progress=next((event for event in reversed(events) if event.keys() >= PROGRESS), None),
            error=CRASH if state is JobState.CRASHED else last.get("error"),
        )

    def session(self) -> dict[str, Any]:
        """Return pid, created and started of the latest session; empty before the first."""
        try:
            found = json.loads((self.path / "session.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def note_session(self, pid: int) -> None:
        """Note that the process `pid` works on this run from now on."""
        created = psutil.Process(pid).create_time()
        values = {"pid": pid, "created": created, "ticks": _ticks(pid), "started": now()}
        with output_errors(self.path):
            write_aside(self.path / "session.json", json.dumps(values) + "\n")

    def ask_to_stop(self) -> None:
        """Ask the job to stop after its next report."""
        with output_errors(self.path):
            self.stop_path.touch()

    def _state(
        self, session: Mapping[str, Any], events: Sequence[dict[str, Any]]
    ) -> tuple[JobState, dict[str, Any]]:
        """Return what the job is doing, and its last word; {} where there is none yet."""
        process, last = process_of(session), _last_word(events)
        if last and (process is None or str(last.get("time", "")) >= str(session.get("started", ""))):
            return JobState(last["report"]), last
        asked = self.stop_path.exists()
        if process is None:  # one that was asked to stop, and whose process was then ended, has stopped
            return JobState.STOPPED if asked or not session else JobState.CRASHED, {}
        return JobState.STOPPING if asked else JobState.RUNNING, {}


def _last_word(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the event with which the latest session ended; empty where it has not."""
    for event in reversed(events):
        if event.get("report") in (*ENDED, "started"):
            return event if event["report"] in ENDED else {}
    return {}


def process_of(session: Mapping[str, Any]) -> psutil.Process | None:
    """Return the process of a session if it still runs: by its number and, as these are reused, its start.

    On Linux that is counted from the start of the machine: the time of day may be set meanwhile.
    """
    try:
        process = psutil.Process(int(session["pid"]))
        if session.get("ticks") is not None:
            same = _ticks(process.pid) == session["ticks"]
        else:
            same = abs(process.create_time() - float(session["created"])) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError, OverflowError):
        return None


def _ticks(pid: int) -> int | None:
    """Return when a process was started, in ticks since the machine was; None where that is not known."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def read_config(path: Path) -> dict[str, Any] | None:
    """Return what config.toml of a run folder holds, {kind: settings}; None where there is no such file."""
    try:
        found = tomllib.loads((path / "config.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if len(found) == 1 and all(isinstance(part, dict) for part in found.values()) else None


def write_aside(path: Path, text: str) -> None:
    """Write a small text file aside, then rename it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def environment() -> dict[str, Any]:
    """Return what this process runs on: python, platform, processors, versions of packages."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "executable": Path(sys.executable).name,
        "platform": platform.platform(),
        "cpus": psutil.cpu_count(logical=False) or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "packages": versions,
    }


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _between(first: str, last: str) -> float:
    try:
        return max(0.0, (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())
    except ValueError:
        return 0.0


def is_more(wanted: Mapping[str, Any], there: Mapping[str, Any] | None, grows: Collection[str]) -> bool:
    """Return whether `wanted` is what is there but for settings that may grow and have grown."""
    if there is None or wanted.keys() != there.keys():
        return False
    changed = {key for key, before in there.items() if wanted[key] != before}
    return bool(changed) and changed <= set(grows) and all(_more(wanted[key], there[key]) for key in changed)


def _more(value: Any, before: Any) -> bool:
    return set(value) >= set(before) if isinstance(value, list) else bool(value > before)


def _another_run(
    path: Path, kind: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> InvalidInputError:
    """Return the error that says what differs from the run that is in the folder."""
    there = found.get(kind)
    if there is None:
        limit = f"a run of {', '.join(found)}"
    else:
        other = sorted(key for key in {*wanted, *there} if there.get(key) != wanted.get(key))
        limit = ", ".join(f"{key} {there.get(key, 'not given')}" for key in other)
    return InvalidInputError(
        "The run folder belongs to a run with other settings",
        value=path,
        limit=limit,
        remedy="Give another folder, or the settings in its config.toml",
    )


def _check_empty(path: Path) -> None:
    """Raise InvalidInputError if something that is no run lies in the folder."""
    if not path.exists():
        return
    if not path.is_dir() or any(
        not entry.name.startswith(".") and entry.name not in BEFORE_CONFIG for entry in path.iterdir()
    ):
        raise InvalidInputError(
            "The folder for the run holds something else",
            value=path,
            limit="a new or empty folder, or one of an earlier run",
            remedy="Give another folder",
        )
