"""What ``vesselkd crossval`` does: one process leads and keeps the run folder, others help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.outcome import comparison_lines
from napari_vesselkd.cli.settings import assignment, differences
from napari_vesselkd.cli.staging import PUBLISHED, Given
from napari_vesselkd.cli.training_jobs import absolute, plain, run_job
from napari_vesselkd.errors import InvalidInputError, OutputBusyError
from napari_vesselkd.learning.cell_folder import CellFolder
from napari_vesselkd.learning.cells import CrossvalConfig
from napari_vesselkd.learning.choosing import preset_of
from napari_vesselkd.learning.crossval import check_crossval, crossval
from napari_vesselkd.reports import Notice, Report

KIND = "crossval"
GROWS = ("methods", "seeds")  # a finished comparison can get more of them
NAMED = ("folds", "seeds", "labelled", "teacher", "student")  # settings with options of their own
LEADER = "VESSELKD_LEADER"  # environment variable: the process that started a helper
END_LIMIT = 10.0  # s for a helper to end by itself


@dataclass(frozen=True)
class CrossvalRequest:
    """Compare methods.

    Attributes
    ----------
    source : Path
        DATASET.csv.
    run : Path
        Folder of the cross-validation, and of the run.
    preset : str
        What the settings started from.
    config : CrossvalConfig
    processes : int
        That share the work.
    """

    source: Path
    run: Path
    preset: str
    config: CrossvalConfig
    processes: int

    def settings(self) -> dict[str, Any]:
        return {"source": str(self.source), "preset": self.preset, **plain(asdict(self.config))}

    def command(self) -> list[str]:
        words = [KIND, str(self.source), "--out", str(self.run), "--preset", self.preset]
        words += ["--methods", ",".join(self.config.methods)]
        base = based_on(self.preset)
        for name, value in differences(self.config, base):
            if name in NAMED:
                words += [f"--{name}", str(value)]
            elif name != "methods":
                words += ["--set", assignment(name, value)]
        return words if self.processes == 1 else [*words, "--processes", str(self.processes)]

    def check(self) -> None:
        check_crossval(self.source, self.config)

    def task(self) -> Iterator[Report]:
        with _helpers(self):
            yield from crossval(self.source, self.run, self.config)


def based_on(preset: str) -> CrossvalConfig:
    """Return the settings of a preset."""
    chosen = preset_of(preset)
    return CrossvalConfig(pretrain=chosen.pretrain, teach=chosen.teach, distill=chosen.distill)


def run_crossval(
    source: str, out: str, asked: Mapping[str, Any], given: Given, console: Console, *, processes: int
) -> None:
    """Compare methods in a run folder, go on there, or help there; print the tables.

    Parameters
    ----------
    source, out : str
    asked : mapping
        Fields of `CrossvalConfig` that have options of their own.
    given : Given
    console : Console
    processes : int

    Raises
    ------
    See `run_job`.
    """
    if processes < 1:
        raise InvalidInputError("--processes is too small", value=processes, limit="1 or more")
    preset = given.preset or PUBLISHED
    config = given.config(CrossvalConfig, KIND, based_on(preset), **asked)
    place, folder = absolute(source), absolute(out)
    reports = crossval(place, folder, config)
    if LEADER in os.environ:
        _help(_while_led(reports), folder, console)
        return
    try:
        run_job(
            KIND,
            source,
            out,
            lambda run: CrossvalRequest(place, run, preset, config, processes),
            console,
            grows=GROWS,
            is_left=lambda run: bool(CellFolder(run).failed()),
        )
    except OutputBusyError:
        _help(reports, folder, console)


def _help(reports: Iterator[Report], folder: Path, console: Console) -> None:
    """Help the process that leads."""
    console.show(Notice(f"Another process leads this cross-validation; helping it: {folder}"))
    again = "Nothing is lost: the other process goes on, and so does the same command."
    last = console.follow(reports, again=again)
    console.print(comparison_lines(last.to_dict()))


def _while_led(reports: Iterator[Report]) -> Iterator[Report]:
    """Pass reports on while the process that started this one is there.

    Raises
    ------
    OutputBusyError
        If it was killed: nobody would know that work goes on here.
    """
    leader = int(os.environ[LEADER])
    for report in reports:
        if os.getppid() != leader or not psutil.pid_exists(leader):
            raise OutputBusyError(
                "The process that led this cross-validation is gone, so its helper ends too",
                value=f"process {leader}",
                remedy="Run the same command again: what is finished stays",
            )
        yield report


@contextmanager
def _helpers(request: CrossvalRequest) -> Iterator[None]:
    """Start the other processes; end them at the end."""
    count, cards = request.processes, torch.cuda.device_count()
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(1, count):
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": str(_threads(count)),
                LEADER: str(os.getpid()),
            }
            if cards > 1 and request.config.device in ("auto", "cuda"):
                environment["CUDA_VISIBLE_DEVICES"] = str(number % cards)
            started.append(_started(request, number, environment))
        if count > 1 and request.config.threads is None:
            torch.set_num_threads(_threads(count))
        yield
    finally:
        for child in started:
            with suppress(OSError):
                child.send_signal(signal.SIGINT)
        for child in started:
            with suppress(subprocess.TimeoutExpired):
                child.wait(END_LIMIT)
            child.kill()
            child.wait()


def _started(
    request: CrossvalRequest, number: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with (request.run / f"helper-{number}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (our own command line)
            [sys.executable, "-m", "napari_vesselkd.cli", *request.command()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)
