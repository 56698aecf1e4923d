"""The bridge to the window: checked before Qt is loaded, because Qt ends the process without a display."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from napari_vesselkd.errors import DependencyError, DeviceError, InvalidInputError

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def display_available() -> bool:
    """Tell whether a window can be opened here."""
    if sys.platform in ("darwin", "win32") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_window(paths: Sequence[str], *, run_demo: bool = False) -> None:
    """Open napari with the dock and these volumes; returns when the window is closed.

    One of the paths may be a project, which is looked at before the window opens.

    Raises
    ------
    InvalidInputError
        If there is more than one project.
    ProjectError
        If it cannot be opened.
    DeviceError
        If there is no display.
    DependencyError
        If no Qt binding is installed.
    VesselKDError
        If a volume cannot be opened.
    """
    if not display_available():
        raise DeviceError(
            "There is no display to open a window on",
            remedy="Set DISPLAY, or work without a window: `vesselkd segment`, `vesselkd mip`",
        )
    if not any(find_spec(name) for name in BINDINGS):
        raise DependencyError(
            "No Qt binding is installed",
            limit=", ".join(BINDINGS),
            remedy='Install one: pip install "napari-vesselkd[qt]"',
        )
    project = _the_project(paths)
    from napari_vesselkd.plugin.launch import open_viewer

    if project is None:
        open_viewer(paths, run_demo=run_demo)
    else:
        open_viewer([path for path in paths if path != project], project=project)


def _the_project(paths: Sequence[str]) -> str | None:
    """Return the project among the paths, after a look whether it can be opened."""
    projects = [path for path in paths if path.rstrip("/\\").endswith(".vesselkd")]
    if len(projects) > 1:
        raise InvalidInputError(
            "A viewer shows one project", value=", ".join(projects), remedy="Open the others one by one"
        )
    if not projects:
        return None
    from napari_vesselkd.project import Project

    Project.open(projects[0], write=False).close()
    return projects[0]
