"""The command line: ``vesselkd``; the same engine as the docks, for scripts and clusters.

Exit codes: 0 done; 2 the input or an argument is wrong (one message on stderr); 130 cancelled; 1 anything
else (the traceback goes to a log file, its path to stderr).
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError

from napari_vesselkd.cli.commands import app
from napari_vesselkd.cli.console import Cancelled, Failed
from napari_vesselkd.errors import VesselKDError

__all__ = ["app", "main"]

DONE, FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of this process by default.
    """
    if arguments is None:
        _silence_libraries()
        arguments = sys.argv[1:]
    try:
        app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt) as error:
        code, message = _outcome(error, arguments)
        print(message, file=sys.stderr)
        return code
    return DONE


def _outcome(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Return the exit code for an error, and what to tell."""
    if isinstance(error, VesselKDError):
        return BAD_INPUT, f"Error: {error}"
    if isinstance(error, CycloptsError):
        return BAD_INPUT, f"Error: {_parse_message(error, arguments)}"
    if isinstance(error, Cancelled | KeyboardInterrupt):
        return CANCELLED, str(error) or "Cancelled."
    if isinstance(error, Failed):
        return FAILED, str(error)
    return FAILED, _failure(error, arguments)


def _silence_libraries() -> None:
    """Keep warnings and log lines of libraries off the terminal, unless Python is told to show them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())


def _parse_message(error: CycloptsError, arguments: Sequence[str]) -> str:
    command = next((word for word in arguments if word in app), "")
    message = str(error).strip().replace("Unused Tokens", "Too many arguments")
    return f"{message} `{' '.join(filter(None, ('vesselkd', command)))} --help` shows what is possible."


def _failure(error: BaseException, arguments: Sequence[str]) -> str:
    """Write the traceback into the user's log folder; return what to tell."""
    import platformdirs

    what = f"Unexpected error: {type(error).__name__}: {error}"
    text = f"vesselkd {' '.join(arguments)}\n\n{traceback.format_exc()}"
    path = Path(platformdirs.user_log_dir("napari-vesselkd"))
    path /= f"vesselkd-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        return f"{what}\n{text}"
    return f"{what}\nThe traceback is in {path}"
