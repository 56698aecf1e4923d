"""The project: one folder with everything that belongs to working on one image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.project.folder import make_folder, now
from napari_vesselkd.project.image import ImageReference, find_image, relative_path
from napari_vesselkd.project.opening import Found, find_project
from napari_vesselkd.project.state import Promotion
from napari_vesselkd.project.undoing import Undoing
from napari_vesselkd.volume import Volume


class Project(Undoing):
    """An open project; a context manager that closes it. Calls from several threads take turns.

    Made by `create` and `open`.

    Attributes
    ----------
    path : Path
        The folder.
    read_only : bool
        True where another process holds the project, or the disk or the caller wants it so.
    notices : tuple of str
        What to tell the user about the state in which the project was found.
    registry : CheckpointRegistry
        Bundled checkpoints and those of this project.
    """

    def __init__(self, found: Found) -> None:
        super().__init__(found)
        self.registry = CheckpointRegistry(found.folder.checkpoints)

    @classmethod
    def create(cls, path: str | Path, volume: Volume) -> Self:
        """Make a project for `volume` and open it.

        Parameters
        ----------
        path : str or Path
            NAME.vesselkd, which must not exist.
        volume : Volume
            At the level to work on.

        Raises
        ------
        ProjectError
            If the name has another ending, or exists.
        OutputError
            If the folder cannot be written.
        """
        return cls.open(make_folder(Path(path).expanduser(), volume).path)

    @classmethod
    def open(cls, path: str | Path, *, write: bool = True) -> Self:
        """Open a project; read-only, with a notice, where another process holds it.

        Raises
        ------
        ProjectError
            If it is no project, of a newer version, or a file without which it cannot be used is missing or
            broken; the message names it.
        """
        found = find_project(Path(path).expanduser(), write=write)
        try:
            return cls(found)
        except BaseException:
            if found.lock is not None:
                found.lock.release()
            raise

    @property
    def image(self) -> ImageReference:
        """The image that the project is of; its path is where it was found last."""
        path = self._state.path
        return replace(self._folder.image, path=None if path is None else Path(path))

    def open_image(self, path: str | Path | None = None) -> Volume:
        """Open the image, at the level, with the channel and voxel size of the project.

        Parameters
        ----------
        path : str or Path, optional
            Where it has moved to; remembered if it is the image. By default it is looked for where it was
            found last, then at the same place as seen from the project.

        Raises
        ------
        SourceNotFoundError
            If it is not there: ask for its place, then call again with it.
        ProjectError
            If there is another image; the message says what differs.
        """
        places = [Path(path).expanduser()] if path is not None else self._places()
        volume, place = find_image(self._folder.image, places)
        known = self._state.path
        if not self.read_only and (known is None or place.absolute() != Path(known)):
            place = place.absolute()
            self._note({"event": "moved", "path": str(place), "relative": relative_path(place, self.path)})
        return volume

    @contextmanager
    def image_or(self, volume: Volume | None) -> Iterator[Volume]:
        """Give the image at the project's level: `volume`, checked, or where there is none the opened image.

        An image that is opened here is closed at the end.

        Raises
        ------
        SourceNotFoundError, ProjectError
            As `open_image` and `check`.
        """
        if volume is None:
            with self.open_image() as opened:
                yield opened
            return
        image = self.image
        if volume.shape != image.shape and image.level < len(volume.levels):
            volume = volume.at_level(image.level)
        image.check(volume)
        yield volume

    def check_level(self, level: int) -> None:
        """Raise InvalidInputError if `level` of the image is neither 0, the default, nor the project's."""
        if level not in (0, self.image.level):
            raise InvalidInputError(
                "The project works at another level of its image",
                value=level,
                limit=str(self.image.level),
                remedy="Make a project of its own for that level",
            )

    def check(self, volume: Volume) -> None:
        """Raise ProjectError, saying what differs, if `volume` is not the image of this project."""
        self._folder.image.check(volume)

    def _places(self) -> list[Path]:
        state = self._state
        beside = [self.path.absolute().parent / state.relative] if state.relative is not None else []
        return [*([Path(state.path)] if state.path is not None else []), *beside]

    @property
    def current(self) -> str:
        """Name of the checkpoint in use; "auto", the bundled one for the voxel size, before any promotion."""
        return self._state.current

    @property
    def promotions(self) -> tuple[Promotion, ...]:
        """Every change of the checkpoint in use, oldest first."""
        return tuple(self._state.promotions)

    def promote(self, name: str, scores: Mapping[str, Any] | None = None) -> Promotion:
        """Take another checkpoint into use; with "auto" or an earlier name this is also the way back.

        Parameters
        ----------
        name : str
            In `registry`, or "auto".
        scores : mapping, optional
            What the gate said, of plain values; kept with the promotion.

        Raises
        ------
        CheckpointNotFoundError, CheckpointError
            If there is no such checkpoint or its card is broken.
        """
        with self._writing():
            if name != "auto":
                self.registry.get(name)
            plain = json.loads(json.dumps(dict(scores or {}), default=_plain), parse_constant=lambda _: None)
            done = Promotion(name, self.current, now(), plain)
            self._note(
                {
                    "event": "promoted",
                    "name": name,
                    "previous": done.previous,
                    "time": done.time,
                    "scores": plain,
                }
            )
            return done

    @property
    def runs(self) -> Path:
        """The folder of this project's jobs."""
        return self._folder.runs

    def new_run(self, kind: str = "finetune") -> Path:
        """Make and return the next free run folder, for example runs/finetune-001."""
        self.runs.mkdir(exist_ok=True)
        number = 1
        while True:
            path = self.runs / f"{kind}-{number:03d}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return path


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value: a numpy number as a number, anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
