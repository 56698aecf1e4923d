"""What the project bar shows, computed without Qt."""

from dataclasses import dataclass
from pathlib import Path

from napari_vesselkd.plugin.chosen_volume import SOURCE_ENDINGS
from napari_vesselkd.plugin.failure import Failure
from napari_vesselkd.plugin.segment_state import Button

ENDING = ".vesselkd"
MEMORY_FOLDER = "vesselkd"


@dataclass(frozen=True)
class ProjectView:
    """What is known about the project of a viewer.

    Attributes
    ----------
    path : Path or None
        The project; None without one.
    image : str
        The name of its image, or the file where it was.
    image_missing : bool
    read_only : bool
    accepted, open_blocks : int
    checkpoint : str
        The one in use; "auto" before any promotion.
    reviewer : str
        Under whose name strokes are kept.
    busy : str
    notices : tuple of str
    failure : Failure or None
    layer_name : str
        The image layer that a new project would be for; empty without one.
    """

    path: Path | None = None
    image: str = ""
    image_missing: bool = False
    read_only: bool = False
    accepted: int = 0
    open_blocks: int = 0
    checkpoint: str = "auto"
    reviewer: str = ""
    busy: str = ""
    notices: tuple[str, ...] = ()
    failure: Failure | None = None
    layer_name: str = ""


@dataclass(frozen=True)
class BarPicture:
    """Everything the bar paints."""

    title: str
    title_tooltip: str
    fact: str
    fact_is_problem: bool
    new: Button
    open: Button
    close: Button
    reviewer: Button | None
    has_project: bool
    find_visible: bool
    notices: tuple[str, ...]
    failure: Failure | None
    dismiss_visible: bool


def draw_bar(view: ProjectView) -> BarPicture:
    """Return what the bar shows."""
    wait = view.busy
    new_reason = wait or ("" if view.layer_name else "Open the image first: File > Open")
    return BarPicture(
        title="No project" if view.path is None else view.path.name.removesuffix(ENDING),
        title_tooltip="" if view.path is None else str(view.path),
        fact=_fact(view),
        fact_is_problem=view.read_only and not view.busy,
        new=Button("New…", not new_reason, new_reason or f"Make a project for '{view.layer_name}'"),
        open=Button("Open…", not wait, wait or f"Open a project: a folder NAME{ENDING}"),
        close=Button("Close", not wait, wait or "Close the project; everything in it is saved"),
        reviewer=_reviewer(view),
        has_project=view.path is not None,
        find_visible=view.image_missing,
        notices=view.notices,
        failure=view.failure,
        dismiss_visible=bool(view.notices) or (view.failure is not None and not view.image_missing),
    )


def _reviewer(view: ProjectView) -> Button | None:
    if view.path is None or not view.reviewer:
        return None
    why = view.busy or ("The project is read-only here" if view.read_only else "")
    tip = "Your name in the history, by which reviewers are told apart: the account's unless you set another"
    return Button(f"as {view.reviewer}", not why, why or tip)


def _fact(view: ProjectView) -> str:
    if view.busy:
        return view.busy
    if view.path is None:
        return "Corrections and learning are kept in one."
    if view.image_missing:
        return f"Its image was not found: {view.image}"
    parts = [view.image]
    if view.read_only:
        parts.append("read-only")
    parts.append(f"{view.accepted} accepted" + (f", {view.open_blocks} open" if view.open_blocks else ""))
    if view.checkpoint != "auto":
        parts.append(f"model {view.checkpoint}")
    return " · ".join(parts)


def proposed_path(name: str, path: Path | None) -> Path:
    """Return where a new project goes: IMAGE.vesselkd beside the image, else in the home folder."""
    stem = path.name if path is not None else name.strip() or "volume"
    ending = next((end for end in SOURCE_ENDINGS if stem.lower().endswith(end)), "")
    stem = "".join(one if one.isalnum() or one in " ._-" else "-" for one in stem[: len(stem) - len(ending)])
    folder = Path.home() / MEMORY_FOLDER if path is None else path.absolute().parent
    return folder / f"{stem.strip() or 'volume'}{ENDING}"


def with_ending(path: str) -> Path:
    """Return the path of a project as typed, with its ending."""
    return Path(path if path.endswith(ENDING) else f"{path.rstrip('.')}{ENDING}")
