"""Every exception the package raises on purpose.

Each one is also a builtin exception, so that a script can catch either. The message always says what is
wrong, with the value, the limit and the way out; the command line prints it as it is and exits with 2.
"""

from __future__ import annotations


class VesselKDError(Exception):
    """Base of all deliberate errors.

    Parameters
    ----------
    what : str
        What is wrong, as a sentence without a final stop.
    value : object, optional
        The offending value, as it was given.
    limit : str, optional
        What would have been accepted.
    remedy : str, optional
        The way out, as an instruction.
    """

    def __init__(
        self, what: str, *, value: object = None, limit: str | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.value = value
        self.limit = limit
        self.remedy = remedy
        super().__init__(_sentence(what, value, limit, remedy))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.value, self.limit, self.remedy)


def _sentence(what: str, value: object, limit: str | None, remedy: str | None) -> str:
    text = what
    if value is not None:
        text += f": {value}"
    if limit is not None:
        text += f" (allowed: {limit})"
    text += "."
    if remedy is not None:
        text += f" {remedy.rstrip('.')}."
    return text


def _rebuild(
    kind: type[VesselKDError], what: str, value: object, limit: str | None, remedy: str | None
) -> VesselKDError:
    return kind(what, value=value, limit=limit, remedy=remedy)


class InvalidInputError(VesselKDError, ValueError):
    """An argument has a value that cannot be used (threshold outside 0..1, unknown axis, ...)."""


class RegionError(InvalidInputError):
    """A region is reversed, empty, outside its volume, or not made of whole numbers."""


class VoxelSizeError(InvalidInputError):
    """A voxel size is zero, negative, not finite, or unknown where it is needed."""


class SourceNotFoundError(VesselKDError, FileNotFoundError):
    """The file or folder to read does not exist."""

    __str__ = VesselKDError.__str__


class UnsupportedSourceError(VesselKDError, ValueError):
    """The source exists but its format, axes or voxel type cannot be read as a 3D volume."""


class CorruptSourceError(VesselKDError, OSError):
    """The source is of a known format but broken: truncated, bad header, damaged chunk."""

    __str__ = VesselKDError.__str__


class CheckpointError(VesselKDError, ValueError):
    """A checkpoint file is broken, of another model, or not a checkpoint at all."""


class CheckpointNotFoundError(VesselKDError, LookupError):
    """No checkpoint of that name or path."""


class OutputError(VesselKDError, OSError):
    """The output cannot be written: unknown ending, equal to the input, read-only, or the disk is full."""

    __str__ = VesselKDError.__str__


class OutputBusyError(OutputError):
    """Another process is writing the same output."""


class ProjectError(VesselKDError, ValueError):
    """A project folder is broken, of a newer version or of another image, or cannot do what was asked."""


class ProjectBusyError(ProjectError):
    """Another process holds the project; it is open read-only here."""


class TrainingError(VesselKDError, RuntimeError):
    """Training cannot go on: the loss is not a number, or there is nothing to learn from."""


class DeviceError(VesselKDError, RuntimeError):
    """The device or precision asked for does not exist on this machine."""


class DependencyError(VesselKDError, ImportError):
    """An optional package is needed and not installed."""
