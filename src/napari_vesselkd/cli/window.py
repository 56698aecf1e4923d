"""The bridge to the window: checked before Qt is loaded, because Qt ends the process without a display."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from napari_vesselkd.errors import DependencyError, DeviceError

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def display_available() -> bool:
    """Tell whether a window can be opened here."""
    if sys.platform in ("darwin", "win32") or os.environ.get("QT_QPA_PLATFORM"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_window(paths: Sequence[str], *, run_demo: bool = False) -> None:
    """Open napari with the dock and these volumes; returns when the window is closed.

    Raises
    ------
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
    from napari_vesselkd.plugin.launch import open_viewer

    open_viewer(paths, run_demo=run_demo)
