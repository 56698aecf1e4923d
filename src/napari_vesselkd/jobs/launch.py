"""Starting a command as a job that outlives who started it, stopping it, following it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from napari_vesselkd.errors import InvalidInputError, OutputBusyError, OutputError
from napari_vesselkd.jobs.run_folder import JobState, JobStatus, RunFolder, process_of, read_config
from napari_vesselkd.volume import output_errors

# glibc gives large blocks back to the system and faults them in again at every step, half of a step's time.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
END_LIMIT = 5.0
POLL = 0.1
NICENESS = 5


def start(arguments: Sequence[str], run: str | Path) -> JobStatus:
    """Start ``vesselkd ARGUMENTS`` in a process of its own, which goes on when this one ends or is killed.

    Returns as soon as the process has taken the run over (or has ended).

    Parameters
    ----------
    arguments : sequence of str
        They make the command work in `run`.
    run : str or Path
        Its run folder.

    Raises
    ------
    OutputBusyError
        If the job runs already.
    OutputError
        If the folder cannot be written.
    InvalidInputError
        If the command refuses to run; the message is its own.
    """
    path = Path(run).expanduser().absolute()
    before = RunFolder(path).session()
    if process_of(before) is not None:
        raise OutputBusyError(
            "The job is running already", value=path, remedy="Attach to it, or stop it and start it again"
        )
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".output-", suffix=".part", dir=path)
    with os.fdopen(handle, "wb") as log:
        child = _launched([sys.executable, "-m", "napari_vesselkd.cli", *arguments], log)
    threading.Thread(target=child.wait, daemon=True).start()  # else it stays a zombie when it has ended
    _lower_priority(child.pid)
    _wait_for_session(child, path, Path(name))
    return RunFolder(path).status()


def resume(run: str | Path) -> JobStatus:
    """Start the command of a run again: it goes on where it was, also where its folder was moved.

    Raises
    ------
    InvalidInputError
        If there is no run in the folder, its command is not known, or it is finished.
    OutputBusyError
        If the job runs already.
    """
    folder = RunFolder.open(run)
    if folder.status().state is JobState.FINISHED:
        raise InvalidInputError("The run is finished", value=folder.path, remedy="Start a new one")
    if not folder.command:
        raise InvalidInputError(
            "The command of this run is not known",
            value=folder.path / "command.txt",
            remedy="Give the command it was started with again",
        )
    return start(moved_here(folder.command, folder.path), folder.path)


def moved_here(command: Sequence[str], path: Path) -> list[str]:
    """Return the command of a run whose folder is now at `path`, with the project around it moved along."""
    words = list(command)
    if "--out" not in words[:-1]:
        return words
    before = Path(words[words.index("--out") + 1])
    moved = {str(before): str(path)}
    for old, new, name, now in zip(
        before.parents, path.parents, before.parts[::-1], path.parts[::-1], strict=False
    ):
        if name != now:
            break
        moved[str(old)] = str(new)
    return [moved.get(word, word) for word in words]


def stop(run: str | Path, *, wait: float = 30.0) -> JobStatus:
    """Ask a job to stop and wait until it has; after `wait` seconds its process is ended.

    Nothing is lost: `resume` goes on from its last saved state.
    """
    folder = RunFolder.open(run)
    process = process_of(folder.session())
    if not folder.status().state.active or process is None:
        return folder.status()
    family = _family(process)
    folder.ask_to_stop()
    for seconds, end in ((wait, psutil.Process.terminate), (END_LIMIT, psutil.Process.kill)):
        if _ended_within(process, seconds):
            break
        _for_each(family, end)
    _ended_within(process, END_LIMIT)
    return folder.status()


def follow(run: str | Path, *, poll: float = 0.2) -> Iterator[dict[str, Any]]:
    """Yield the events of a job, from its first one on and as they come, until it has ended."""
    folder, offset = RunFolder.open(run), 0
    while True:
        active = folder.status().state.active
        events, offset = folder.events(offset)
        yield from events
        if not active:
            return
        time.sleep(poll)


def _launched(command: Sequence[str], log: Any) -> subprocess.Popen[bytes]:
    """Start a process that does not belong to this one's terminal, group or session."""
    apart: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": 0x00000008 | 0x00000200}  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(  # noqa: S603  (our own command line)
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **MALLOC, "PYTHONUNBUFFERED": "1"},
        **apart,
    )


def _lower_priority(pid: int) -> None:
    """Let the viewer come first; Linux groups processes by session, where only the group's value counts."""
    with suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(NICENESS if os.name != "nt" else 0x00004000)
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS))


def _wait_for_session(child: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    """Wait until the child has taken the run over; raise what it said where it ended before.

    On a busy machine its imports alone may take minutes.
    """
    while child.poll() is None and not _took_over(child, path):
        time.sleep(POLL)
    if child.poll() in (None, 0) or _took_over(child, path):
        with suppress(OSError):  # the folder may be gone already
            log.replace(path / "output.log")
        return
    said = log.read_text(errors="replace").strip() if log.exists() else ""
    log.unlink(missing_ok=True)
    if read_config(path) is None:
        with suppress(OSError):
            path.rmdir()
    last = said.splitlines()[-1].removeprefix("Error: ") if said else "the command said nothing"
    kind = OutputError if child.poll() == 1 else InvalidInputError
    raise kind("The job did not start", value=last.rstrip("."))


def _took_over(child: subprocess.Popen[bytes], path: Path) -> bool:
    """Whether the run's session is that of the child, or of a process it has started (Windows)."""
    with suppress(psutil.Error):
        return RunFolder(path).session().get("pid") in [one.pid for one in _family(psutil.Process(child.pid))]
    return RunFolder(path).session().get("pid") == child.pid


def _family(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and those that it has started."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return [process]


def _for_each(processes: Sequence[psutil.Process], end: Callable[[psutil.Process], object]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            end(process)


def _ended_within(process: psutil.Process, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while _runs(process):
        if time.monotonic() > until:
            return False
        time.sleep(POLL)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
