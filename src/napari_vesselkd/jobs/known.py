"""The jobs that this user has started, wherever their run folders are."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import platformdirs

from napari_vesselkd.jobs.run_folder import JobState, JobStatus, RunFolder, read_config, write_aside


def known_runs(place: str | Path | None = None) -> list[JobStatus]:
    """Return the jobs of a place, the newest first.

    Parameters
    ----------
    place : str or Path, optional
        A project, a folder of run folders, or a run folder; by default all that this user has started. Of
        those, runs whose folder is gone are reported once as missing and then forgotten.
    """
    statuses = [RunFolder(path).status() for path in (_known() if place is None else _runs_in(Path(place)))]
    if place is None:
        for status in statuses:
            if status.state is JobState.MISSING:
                _entry(status.path).unlink(missing_ok=True)
    return sorted(statuses, key=lambda status: status.started, reverse=True)


def remember(path: Path) -> None:
    """Note that a job works in the run folder `path`; a job does not fail because it cannot be noted."""
    entry = _entry(path)
    with suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_aside(entry, f"{path}\n")


def _folder() -> Path:
    return platformdirs.user_state_path("napari-vesselkd") / "runs"


def _entry(path: Path) -> Path:
    return _folder() / hashlib.sha256(str(path).encode()).hexdigest()[:24]


def _known() -> list[Path]:
    found, folder = [], _folder()
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(OSError, UnicodeDecodeError):
            if entry.suffix != ".part":
                found.append(Path(entry.read_text(encoding="utf-8").removesuffix("\n")))
    return found


def _runs_in(place: Path) -> list[Path]:
    place = place.expanduser().absolute()
    if read_config(place) is not None:
        return [place]
    folder = place / "runs" if place.name.endswith(".vesselkd") else place
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in inside if read_config(path) is not None]
