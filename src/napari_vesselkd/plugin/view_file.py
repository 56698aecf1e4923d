"""``view.json`` of a project: where the user was. No Qt.

It is a convenience: a broken one is ignored with a notice, a newer one silently, and it is never worth an
error. Written aside and renamed.
"""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NAME = "view.json"
VERSION = 1
BROKEN = "view.json could not be read: the view, the tab and the block are not restored; nothing else is lost"


@dataclass(frozen=True)
class View:
    """Where the user was.

    Attributes
    ----------
    tab : str
        Of the dock.
    block : int or None
        The number of the block that was being edited.
    ndisplay : int
        2 or 3.
    point : tuple of float
        Position of the sliders in the world, one per axis.
    centre : tuple of float
        Of the camera, (z, y, x) in the world.
    zoom : float
    angles : tuple of float
    """

    tab: str = "Segment"
    block: int | None = None
    ndisplay: int = 2
    point: tuple[float, ...] = ()
    centre: tuple[float, ...] = ()
    zoom: float = 0.0
    angles: tuple[float, ...] = ()


def save_view(project: Path, view: View) -> bool:
    """Write `view` into the project; False where the disk would not have it."""
    path = project / NAME
    aside = path.with_name(f".{NAME}.{os.getpid()}.part")
    try:
        aside.write_text(json.dumps({"version": VERSION, **asdict(view)}, indent=1) + "\n", encoding="utf-8")
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        return False
    return True


def load_view(project: Path) -> tuple[View | None, str | None]:
    """Return the view of a project, and what to say where its file is broken."""
    path = project / NAME
    if not path.is_file():
        return None, None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] != VERSION:
            return None, None
        return _view(values), None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, BROKEN


def _view(values: dict[str, Any]) -> View:
    block = values["block"]
    zoom = float(values["zoom"])
    view = View(
        tab=str(values["tab"]),
        block=None if block is None else int(block),
        ndisplay=int(values["ndisplay"]),
        point=_numbers(values["point"]),
        centre=_numbers(values["centre"]),
        zoom=zoom,
        angles=_numbers(values["angles"]),
    )
    if view.ndisplay not in (2, 3) or not math.isfinite(zoom) or zoom <= 0 or len(view.centre) != 3:
        raise ValueError(f"not a view: {values}")
    return view


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"not numbers: {values}")
    return numbers
