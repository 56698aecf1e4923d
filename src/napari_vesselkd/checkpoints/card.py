"""The card beside a checkpoint's weights: what the model is, how to feed it, where it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError
from napari_vesselkd.geometry import Shape, as_shape

PADDINGS = ("reflect", "edge")
NORMALISATIONS = {"student": ("volume", "frozen"), "teacher": ("windows",)}


@dataclass(frozen=True)
class CheckpointCard:
    """Everything about a checkpoint except its weights; stored as NAME.json.

    Attributes
    ----------
    name : str
        Equal to the file name without its ending.
    description : str
        One sentence for people.
    architecture : str
        Which network: "student" or "teacher".
    config : dict
        The network's configuration.
    voxel_size_um : dict
        ``anisotropy``: [lowest, highest] ratio of the z to the in-plane voxel size it is meant for;
        ``in_plane``: [smallest, largest] in-plane voxel size in um seen in training.
    intensity : dict
        ``lower`` and ``upper`` percentile of the intensity window per volume.
    padding : str
        How a block that leaves the volume is filled: "reflect" or "edge", the way the weights were trained.
    calibration : dict
        ``threshold``: probability from which a voxel is vessel; ``temperature`` divides the logits.
    halo : tuple of int
        Context (z, y, x) in voxels with which blocks equal one pass over the whole volume.
    normalisation : str
        Where the statistics come from: "volume" (measured once per volume, see `calibration`) or "frozen"
        (those stored with the weights), or "windows" (of each window, which a teacher is applied to).
    statistics_depth : int
        Slices of the patches that "volume" measures them on; a thinner volume is continued by `padding`. 0:
        as many as it has, up to 64. Borders along z weigh in the statistics, so a student that learned from
        deep patches needs deep ones.
    volumes : dict
        What is known of volumes that it was trained on, by the volume's signature: ``statistics`` of the
        normalisation, which take the place of measured ones there, and the ``threshold``.
    lineage : dict
        What it was trained from: command, seed, data, commit, seconds, parent.
    metrics : dict
        Scores and what they were measured on.
    licence : str
    created : str
        Time of training, ISO 8601, UTC.
    sha256 : str
        Of the weights file; empty until it is written.
    """

    name: str
    description: str
    config: dict[str, Any]
    architecture: str = "student"
    voxel_size_um: dict[str, Any] = field(default_factory=lambda: {"anisotropy": [0.0, 1e9]})
    intensity: dict[str, float] = field(default_factory=lambda: {"lower": 0.0, "upper": 95.0})
    padding: str = "reflect"
    calibration: dict[str, float] = field(default_factory=lambda: {"threshold": 0.5, "temperature": 1.0})
    halo: Shape = (32, 32, 32)
    normalisation: str = "frozen"
    statistics_depth: int = 0
    volumes: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    licence: str = "BSD-3-Clause"
    created: str = ""
    sha256: str = ""

    @property
    def threshold(self) -> float:
        """Probability from which a voxel is vessel."""
        return float(self.calibration["threshold"])

    def threshold_on(self, signature: Callable[[], str]) -> float:
        """Return the threshold for the volume with this signature, which is asked for only if it matters."""
        known = self.volumes.get(signature(), {}) if self.volumes else {}
        return float(known.get("threshold", self.threshold))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> CheckpointCard:
        """Build a card from JSON's values; `source` names it in errors.

        Raises
        ------
        CheckpointError
            If a field is missing, of the wrong kind or outside its range.
        """
        known = {one.name for one in fields(cls)}
        try:
            card = cls(**{key: value for key, value in values.items() if key in known})
            object.__setattr__(card, "halo", as_shape(card.halo))
            _check(card)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(
                "The checkpoint's card is not complete",
                value=f"{source} ({error})",
                remedy="Get the checkpoint again, both of its files",
            ) from error
        return card

    @classmethod
    def read(cls, path: Path) -> CheckpointCard:
        """Read the card of the checkpoint at `path` (either of its two files).

        Raises
        ------
        CheckpointNotFoundError
            If there is no such checkpoint.
        CheckpointError
            If the card is missing or broken.
        """
        card_path = path.with_suffix(".json")
        try:
            values = json.loads(card_path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            if not path.with_suffix(".safetensors").exists():
                raise CheckpointNotFoundError("There is no checkpoint at this path", value=path) from error
            raise CheckpointError(
                "The checkpoint has no card",
                value=card_path,
                remedy="Keep NAME.safetensors and NAME.json together",
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                "The checkpoint's card cannot be read", value=card_path, remedy="Get the checkpoint again"
            ) from error
        if not isinstance(values, dict):
            raise CheckpointError("The checkpoint's card is not a JSON object", value=card_path)
        return cls.from_dict(values, str(card_path))


def _check(card: CheckpointCard) -> None:
    for key in ("name", "description", "architecture", "licence", "created", "sha256"):
        if not isinstance(getattr(card, key), str):
            raise TypeError(f"{key} is not text")
    for key in ("config", "lineage", "metrics", "volumes"):
        if not isinstance(getattr(card, key), dict):
            raise TypeError(f"{key} is not an object")
    if not 0 < float(card.calibration["threshold"]) < 1 or not float(card.calibration["temperature"]) > 0:
        raise ValueError("calibration out of range")
    if not 0 <= float(card.intensity["lower"]) < float(card.intensity["upper"]) <= 100:
        raise ValueError("intensity percentiles out of range")
    for known in card.volumes.values():
        if not 0 < float(known["threshold"]) < 1 or not isinstance(known["statistics"], list):
            raise ValueError("what is known of a volume is not complete")
    low, high = (float(bound) for bound in card.voxel_size_um["anisotropy"])
    if not low < high:
        raise ValueError("anisotropy range is empty")
    known_ones = NORMALISATIONS.get(card.architecture, (card.normalisation,))
    if card.normalisation not in known_ones:
        raise ValueError(f"normalisation of a {card.architecture} is not {' or '.join(known_ones)}")
    if card.padding not in PADDINGS:
        raise ValueError(f"padding is not one of {PADDINGS}")
    if any(not 0 <= side <= 4096 for side in (*card.halo, card.statistics_depth)):
        raise ValueError("halo or statistics_depth out of range")
