"""Errors as the docks show them: what failed, the way out, and the traceback folded away. No Qt."""

import traceback
from dataclasses import dataclass

from napari_vesselkd.errors import VesselKDError

CONTROLS = {
    "--restart": "“Start over”",
    "--voxel-size z,y,x": "the layer's scale",
    "--voxel-size": "the layer's scale",
    "--threshold": "Threshold",
    "--precision": "Precision",
    "--device": "Device",
    "--block": "Block",
    "--halo": "Halo",
    "--region": "Region",
    "--checkpoint": "Checkpoint",
    "`vesselkd info` prints its shape": "its shape is shown under Volume",
    "`vesselkd checkpoints list` shows them": "the list under Checkpoint shows them",
}
ADVANCED = ("--restart", "--threshold", "--precision", "--device", "--block", "--halo")


@dataclass(frozen=True)
class Failure:
    """An error as the dock shows it.

    Attributes
    ----------
    headline : str
        What failed.
    remedy : str
        The way out; empty where none is known.
    details : str
        The traceback, for the expandable part and the copy button.
    expected : bool
        True for an error the package raises on purpose; the traceback then starts folded.
    """

    headline: str
    remedy: str
    details: str
    expected: bool


def describe_failure(error: BaseException) -> Failure:
    """Turn an exception into what the dock shows."""
    details = "".join(traceback.format_exception(error))
    if isinstance(error, VesselKDError):
        headline = error.what
        if error.value is not None:
            headline += f": {error.value}"
        if error.limit is not None:
            headline += f" (allowed: {error.limit})"
        return Failure(headline + ".", in_the_dock(error.remedy or ""), details, expected=True)
    if isinstance(error, MemoryError):
        remedy = "Choose a smaller block under Advanced, or a smaller region, and run again"
        return Failure("The computer ran out of memory.", remedy, details, expected=False)
    text = str(error) or type(error).__name__
    remedy = "Copy the details and report them; what was finished before is kept"
    return Failure(f"{type(error).__name__}: {text}", remedy, details, expected=False)


def in_the_dock(remedy: str) -> str:
    """Return a remedy that names options of the command line in the words of the dock."""
    advanced = any(option in remedy for option in ADVANCED)
    for option, control in CONTROLS.items():
        remedy = remedy.replace(option, control)
    return f"{remedy} (under Advanced)" if advanced else remedy
