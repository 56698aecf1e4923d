"""What tests of the command line share: run it in this process, and see what lies on the disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def run(capsys, *arguments):
    """Run ``vesselkd`` with these arguments; return its exit code and what it printed."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return Outcome(code, captured.out, captured.err)


def on_disk(folder):
    """Return every file and folder below `folder` with its content's hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else None
        for path in sorted(Path(folder).rglob("*"))
    }
