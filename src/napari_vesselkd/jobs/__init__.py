"""A command in a child process: its run folder, its events, starting, stopping, finding again. No torch.

A run folder holds what a command was asked for (``command.txt``, ``config.toml``, ``environment.json``), what
it reports (``events.jsonl``, one JSON object per line), what it printed (``output.log``) and what it made
(``checkpoints/``). Everything that a dock or another command knows about a job it reads there, so a job does
not depend on who started it.
"""

from napari_vesselkd.jobs.known import known_runs
from napari_vesselkd.jobs.launch import follow, resume, start, stop
from napari_vesselkd.jobs.recording import Stopped, recorded
from napari_vesselkd.jobs.run_folder import JobState, JobStatus, RunFolder

__all__ = [
    "JobState",
    "JobStatus",
    "RunFolder",
    "Stopped",
    "follow",
    "known_runs",
    "recorded",
    "resume",
    "start",
    "stop",
]
