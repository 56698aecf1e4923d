"""Outputs: refused before anything is written, claimed by one process, and their write errors told apart."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from napari_vesselkd.errors import OutputBusyError, OutputError

ZARR_ENDINGS = (".ome.zarr", ".zarr")
LABEL_ENDINGS = (*ZARR_ENDINGS, ".ome.tif", ".ome.tiff", ".tif", ".tiff", ".nii.gz", ".nii")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if hasattr(errno, "EDQUOT") else (errno.ENOSPC, errno.EFBIG)


@contextmanager
def claim_output(
    path: str | Path,
    *,
    source: str | Path | None = None,
    endings: Sequence[str] = LABEL_ENDINGS,
    wait: float = 0.0,
) -> Iterator[Path]:
    """Hold `path` as the output of this process, after checking that it can be written.

    A lock file beside the output keeps other processes away; it is freed by the system should this one die.

    Parameters
    ----------
    path : str or Path
        The output file or folder; it may exist already (a finished or interrupted run).
    source : str or Path, optional
        The input, which must be neither the output nor inside it, nor around it where it is a zarr.
    endings : sequence of str, optional
        What the output's name may end in.
    wait : float, optional
        Seconds to wait for another process to be done with it.

    Yields
    ------
    Path
        The output.

    Raises
    ------
    OutputError
        If the ending is unknown, the output is the input, or the folder cannot be written.
    OutputBusyError
        If another process (or another claim of this one) holds it.
    """
    from filelock import FileLock, Timeout

    output = Path(path).expanduser()
    _check_ending(output, endings)
    _check_not_source(output, source)
    with ExitStack() as stack:
        with output_errors(output):
            stack.enter_context(new_folder(output.parent))
            _check_writable(output)
            lock_path = output.with_name(output.name + ".lock")
            lock = FileLock(lock_path, timeout=wait, thread_local=False)
            try:
                lock.acquire()
            except Timeout as error:
                raise OutputBusyError(
                    "Another process is writing this output",
                    value=output,
                    remedy="Wait until it is done, or give another output",
                ) from error
        try:
            yield output
        finally:
            lock_path.unlink(missing_ok=True)
            lock.release()


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make `folder` and its parents; those made here go away again at the end if they are still empty."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for place in made:
            try:
                place.rmdir()
            except OSError:
                break


def check_disk_space(path: str | Path, needed: int) -> None:
    """Raise OutputError if the disk of `path` has less than `needed` bytes free."""
    folder = Path(path).expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OutputError(
            f"The disk of {path} has too little space",
            value=f"{free / 1e9:.1f} GB free",
            limit=f"{needed / 1e9:.1f} GB needed",
            remedy="Free some space or choose an output on another disk",
        )


@contextmanager
def output_errors(path: str | Path) -> Iterator[None]:
    """Turn the system's write errors into one OutputError that says what to do."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise OutputError(
                "The disk is full",
                value=path,
                remedy="Free some space and run the same command again: it resumes",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(
                "The output cannot be written: permission denied or read-only",
                value=path,
                remedy="Choose another folder or change its permissions",
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL):
            raise OutputError(
                "The output cannot be created there",
                value=f"{path} ({error.strerror})",
                remedy="Choose another output",
            ) from error
        raise


def _check_ending(output: Path, endings: Sequence[str]) -> None:
    if not output.name.lower().endswith(tuple(endings)):
        raise OutputError(
            "The output has an unknown ending",
            value=output.name,
            limit=", ".join(endings),
            remedy=f"For example {output.with_suffix('').name or 'output'}{endings[0]}",
        )


def _check_not_source(output: Path, source: str | Path | None) -> None:
    if source is None:
        return
    mine, theirs = output.resolve(), Path(source).expanduser().resolve()
    inside_zarr = theirs in mine.parents and theirs.suffix == ".zarr"
    if mine == theirs or mine in theirs.parents or inside_zarr:
        raise OutputError(
            "The output is the input or lies inside it"
            if mine == theirs or inside_zarr
            else "The output contains the input",
            value=output,
            limit=f"not {source}",
            remedy="Choose another output",
        )


def _check_writable(output: Path) -> None:
    for place in (output, output.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable", str(place))
        if place.exists():
            return
