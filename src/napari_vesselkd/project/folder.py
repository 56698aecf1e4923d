"""The files of a project folder: made, found, checked.

NAME.vesselkd/
  project.json           format version, id, which image
  journal.jsonl          blocks and promotions, one event a line
  edits/000001.jsonl     everything that was done to block 1
  edits/sheet.jsonl      everything that was painted anywhere with no block open
  history.folded         all journals folded, so that opening is quick; made anew where it is missing
  queue.json             what was found in blocks (proofreading/queue_findings.py); can be deleted
  rejections.jsonl       what was rejected of the tools' proposals (proofreading/rejections.py)
  corrections.ome.zarr   0 unlabelled, 1 background, 2 vessel: the accepted blocks
  labels.ome.zarr        the prediction, corrections on top
  checkpoints/ runs/     what was trained here
  codes/                 code maps, one for each checkpoint: NAME.codes.ome.zarr
  .lock                  held by the one who may write
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import ProjectError
from napari_vesselkd.labels import Journal, LabelStore
from napari_vesselkd.labels.edits import SHEET
from napari_vesselkd.project.image import ImageReference, relative_path
from napari_vesselkd.project.state import State
from napari_vesselkd.volume import Volume, output_errors

ENDING = ".vesselkd"
VERSION = 1
KIND = "napari-vesselkd project"


@dataclass(frozen=True)
class Folder:
    """Where everything of a project lies, and what `project.json` says.

    Attributes
    ----------
    path : Path
    id : str
        Of this project, for ever; drawn when it was made.
    image : ImageReference
        Without its path.
    """

    path: Path
    id: str
    image: ImageReference

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def edits(self) -> Path:
        return self.path / "edits"

    @property
    def history(self) -> Path:
        return self.path / "history.folded"

    @property
    def corrections(self) -> Path:
        return self.path / "corrections.ome.zarr"

    @property
    def labels(self) -> Path:
        return self.path / "labels.ome.zarr"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def identity(self) -> dict[str, str]:
        """What the journals of this project begin with."""
        return {"project": self.id, "image": self.image.signature}

    def edits_of(self, number: int) -> Path:
        """Return the journal of a block; of number 0, the sheet's."""
        return self.edits / ("sheet.jsonl" if number == SHEET else f"{number:06d}.jsonl")

    def read_events(self) -> tuple[State, str | None]:
        """Return what the journal gives, and what of it was left out.

        Raises
        ------
        ProjectError
            If it is missing, damaged throughout, or of another project.
        """
        events, notice = Journal.read(self.journal)
        if not self.journal.is_file():
            raise _broken("The project's journal is missing", self.journal)
        if not events:
            raise _broken("The project's journal is empty or damaged throughout", self.journal)
        if any(one.get(key, value) != value for one in events for key, value in self.identity.items()):
            raise _broken("The journal belongs to another project, or to another image", self.journal)
        try:
            return State.folded(events), notice
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _broken("The project's journal makes no sense", f"{self.journal} ({error!r})") from error

    def journals(self) -> dict[int, Path]:
        """Return the journals of blocks and of the sheet that there are, by number."""
        found = {}
        for path in self.edits.glob("*.jsonl"):
            if path.stem.isdigit():
                found[int(path.stem)] = path
            elif path == self.edits_of(SHEET):
                found[SHEET] = path
        return dict(sorted(found.items()))

    def new_corrections(self, where: Path | None = None) -> LabelStore:
        """Create an empty store of corrections."""
        return LabelStore.create(
            where or self.corrections,
            self.image.shape,
            self.image.voxel_size_um,
            name=f"{self.image.name} corrections",
            voxel_size_known=self.image.voxel_size_known,
        )


def make_folder(path: Path, volume: Volume) -> Folder:
    """Make the folder of a new project, aside and then renamed.

    Raises
    ------
    ProjectError
        If the name does not end in .vesselkd or there is something already.
    OutputError
        If it cannot be written.
    """
    if not path.name.endswith(ENDING) or path.name == ENDING:
        raise ProjectError(
            "A project needs a name with this ending",
            value=path.name,
            limit=f"NAME{ENDING}",
            remedy=f"For example {path.stem or 'brain'}{ENDING}",
        )
    if path.exists():
        raise ProjectError(
            "There is something of this name already", value=path, remedy="Open it, or choose another name"
        )
    image = ImageReference.of(volume)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with output_errors(path):
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _fill(Folder(aside, uuid.uuid4().hex, image), path)
            aside.rename(path)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    return read_folder(path)


def read_folder(path: Path) -> Folder:
    """Read `project.json`.

    Raises
    ------
    ProjectError
        If `path` is no project, one of a newer version, or the file is broken.
    """
    file = path / "project.json"
    if not file.is_file():
        raise ProjectError(
            "There is no project here" if not path.exists() else "The folder is no project: no project.json",
            value=path,
            remedy=f"Choose a folder NAME{ENDING} that napari-vesselkd made",
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["kind"] != KIND:
            raise ValueError("of another kind")
        newer = int(values["version"]) > VERSION
        made_with = values.get("made_with", "a newer version")
        if not newer:
            return Folder(path, str(values["id"]), ImageReference.from_dict(values["image"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken("The project's description cannot be read", f"{file} ({error})") from error
    raise ProjectError(
        "The project was made by a newer version of napari-vesselkd",
        value=f"{path} (format {values['version']}, {made_with})",
        limit=f"format {VERSION}",
        remedy="Update napari-vesselkd",
    )


def _fill(folder: Folder, final: Path) -> None:
    """Write the files of a new project, which will be renamed to `final`."""
    for place in (folder.edits, folder.checkpoints, folder.runs):
        place.mkdir(parents=True)
    folder.new_corrections()
    path = folder.image.path
    begin: dict[str, Any] = {
        "event": "project",
        **folder.identity,
        "path": None if path is None else str(path),
        "relative": None if path is None else relative_path(path, final),
    }
    with Journal(folder.journal) as journal:
        journal.append(begin)
    values = {
        "kind": KIND,
        "version": VERSION,
        "id": folder.id,
        "created": now(),
        "made_with": f"napari-vesselkd {version('napari-vesselkd')}",
        "image": folder.image.to_dict(),
    }
    text = json.dumps(values, indent=2) + "\n"
    (folder.path / "project.json").write_text(text, encoding="utf-8")


def now() -> str:
    """Return the time as ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _broken(what: str, value: object) -> ProjectError:
    return ProjectError(what, value=value, remedy="Copy the file back from a backup of the project")
