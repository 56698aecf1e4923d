"""The checkpoints of a project as the dock lists them: where each came from, which one is in use. No Qt.

Notation: scores are 0..1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vesselkd.geometry import VoxelSize

if TYPE_CHECKING:
    from napari_vesselkd.checkpoints import CheckpointCard

AUTO, TEACHER = "auto", "teacher"


@dataclass(frozen=True)
class Entry:
    """One line of the list.

    Attributes
    ----------
    name : str
        What a promotion is called with: a name, or "auto".
    title : str
        The name as it is shown.
    detail : str
        Parent, training blocks, scores, date; empty where nothing is known.
    current : bool
        Whether the project uses it.
    teacher : bool
        Whether it is a teacher: students begin from it, it does not take their place.
    """

    name: str
    title: str
    detail: str
    current: bool
    teacher: bool = False


def read_entries(
    root: Path, current: str, scores: Mapping[str, Mapping[str, Any]], voxel_size_um: VoxelSize
) -> tuple[Entry, ...]:
    """Read the cards of a project's checkpoints; slow, for a worker.

    Parameters
    ----------
    root : Path
        The project's folder of checkpoints.
    current : str
        Name of the one in use, or "auto".
    scores : mapping
        What the gate said of each name that was promoted.
    voxel_size_um : (z, y, x)
        Of the project's image: it decides what "auto" is.
    """
    from napari_vesselkd.checkpoints import CheckpointRegistry

    registry = CheckpointRegistry(root)
    bundled = registry.choose(voxel_size_um).card
    own = [card for card in registry.list() if (root / f"{card.name}.safetensors").is_file()]
    return entries(own, bundled.name, current, scores)


def entries(
    cards: Sequence["CheckpointCard"], bundled: str, current: str, scores: Mapping[str, Mapping[str, Any]]
) -> tuple[Entry, ...]:
    """Return the list, newest first, the one that comes with the package last."""
    own = sorted(cards, key=lambda card: card.created, reverse=True)
    first = Entry(AUTO, bundled, "comes with the package", current == AUTO)
    listed = [
        Entry(
            name=card.name,
            title=card.name,
            detail=describe(card, scores.get(card.name, {})),
            current=current == card.name,
            teacher=card.architecture == TEACHER,
        )
        for card in own
    ]
    return (*listed, first)


def describe(card: "CheckpointCard", scores: Mapping[str, Any]) -> str:
    """Return ``from student-isotropic · 5 blocks`` and, on the next line, ``clDice 0.872 · 21 Nov 08:12``.

    What was learned from has a line of its own where it is of several kinds.
    """
    lineage = card.lineage
    parent, teacher = lineage.get("parent"), lineage.get("teacher")
    learned = learned_from(lineage)
    several = "," in learned
    origin = (
        "teacher" if card.architecture == TEACHER else "",
        f"taught by {_name(teacher)}" if teacher else f"from {_name(parent)}" if parent else "",
        "" if several else learned,
    )
    result = (f"clDice {scores['cldice'][1]:.3f}" if "cldice" in scores else "", _date(card.created))
    lines = (" · ".join(filter(None, parts)) for parts in (origin, (learned if several else "",), result))
    return "\n".join(filter(None, lines))


def learned_from(lineage: Mapping[str, Any]) -> str:
    """Return what a checkpoint learned from, ``5 blocks, 2 places``; "" where its card does not say."""
    counts = lineage.get("learned_from")
    found = counts.items() if isinstance(counts, Mapping) else ()
    return ", ".join(f"{n} {str(kind).rpartition(' ')[2]}{'s' if n != 1 else ''}" for kind, n in found)


def _name(parent: Any) -> str:
    if isinstance(parent, Mapping):
        parent = parent.get("name", "?")
    text = str(parent)
    return Path(text).name.removesuffix(".safetensors") if "/" in text else text


def _date(created: str) -> str:
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return ""
    local = when.astimezone() if when.tzinfo else when
    return f"{local.day} {local:%b %H:%M}"
