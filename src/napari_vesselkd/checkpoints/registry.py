"""The checkpoints at hand: those that come with the package and those in the user's folder."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_vesselkd.checkpoints.card import CheckpointCard
from napari_vesselkd.checkpoints.files import load_checkpoint, with_ending, write_aside
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, OutputError
from napari_vesselkd.geometry import checked_voxel_size

if TYPE_CHECKING:
    from torch import nn

BUNDLED = Path(__file__).parent / "bundled"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk whose card has been read; `path` is its weights file."""

    path: Path
    card: CheckpointCard

    @property
    def bundled(self) -> bool:
        """Whether it comes with the package."""
        return self.path.parent == BUNDLED

    def load(self) -> nn.Module:
        """Return the model, on the CPU and in eval mode; CheckpointError as `load_checkpoint`."""
        return load_checkpoint(self.path)[0]


class CheckpointRegistry:
    """Bundled checkpoints and those of one folder.

    Parameters
    ----------
    root : Path, optional
        The folder; the user's data folder of this platform by default. Need not exist.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = (
            Path(root) if root is not None else platformdirs.user_data_path("napari-vesselkd") / "checkpoints"
        )

    def list(self) -> list[CheckpointCard]:
        """Return the cards, bundled ones first, each part by name. Broken ones are left out (see `get`)."""
        cards = []
        for path in [*_pairs(BUNDLED), *_pairs(self.root)]:
            try:
                cards.append(CheckpointCard.read(path))
            except CheckpointError:
                continue
        return cards

    def get(self, name_or_path: str | Path) -> Checkpoint:
        """Return the checkpoint of that name or at that path.

        Raises
        ------
        CheckpointNotFoundError
            If there is none.
        CheckpointError
            If its card is missing or broken. The weights are looked at by `Checkpoint.load`.
        """
        text = str(name_or_path)
        if _NAME.fullmatch(text):
            for folder in (BUNDLED, self.root):
                path = folder / f"{text}.safetensors"
                if path.is_file():
                    return Checkpoint(path, CheckpointCard.read(path))
        if Path(text).name and "\0" not in text:
            path = with_ending(text, ".safetensors")
            if path.is_file():
                return Checkpoint(path, CheckpointCard.read(path))
        raise CheckpointNotFoundError(
            "There is no checkpoint of this name or path",
            value=text,
            limit=", ".join(card.name for card in self.list()) or "none is installed",
            remedy="`vesselkd checkpoints list` shows them",
        )

    def choose(self, voxel_size_um: Sequence[float]) -> Checkpoint:
        """Return the bundled student made for the shape of these voxels, (z, y, x) in um.

        The ratio of the z to the in-plane size decides; outside every range, the nearest one. A teacher is
        never chosen.
        """
        z, y, x = checked_voxel_size(voxel_size_um)
        ratio = z / math.sqrt(y * x)
        found = [Checkpoint(path, CheckpointCard.read(path)) for path in _pairs(BUNDLED)]
        found = [one for one in found if one.card.architecture == "student"]
        if not found:
            raise CheckpointNotFoundError(
                "The package came without its bundled checkpoints", value=BUNDLED, remedy="Reinstall it"
            )
        return min(found, key=lambda one: _distance(ratio, one.card.voxel_size_um["anisotropy"]))

    def import_(self, path: str | Path, name: str | None = None) -> Checkpoint:
        """Check the checkpoint at `path` completely, then copy it into the folder.

        Raises
        ------
        CheckpointNotFoundError, CheckpointError
            As `load_checkpoint`, or if a checkpoint of that name exists already.
        """
        weights = with_ending(path, ".safetensors")
        load_checkpoint(weights)
        name = name or weights.name.removesuffix(".safetensors")
        if not _NAME.fullmatch(name):
            raise CheckpointError(
                "The name cannot be used", value=name, limit="letters, digits, dot, dash and underscore"
            )
        if any((folder / f"{name}.safetensors").exists() for folder in (BUNDLED, self.root)):
            raise CheckpointError(
                "A checkpoint of this name exists", value=name, remedy="Rename the two files before importing"
            )
        _copy_pair(weights, self.root / f"{name}.safetensors")
        return self.get(name)

    def export(self, name_or_path: str | Path, target: str | Path) -> Path:
        """Copy a checkpoint's two files to `target`, a folder or a path ending in .safetensors.

        Returns
        -------
        Path
            The weights file written.

        Raises
        ------
        OutputError
            If a file is there already or the folder cannot be written.
        """
        source = self.get(name_or_path).path
        target = Path(target)
        path = target / source.name if target.suffix not in (".safetensors", ".json") else target
        path = with_ending(path, ".safetensors")
        if path.exists() or path.with_suffix(".json").exists():
            raise OutputError(
                "The file exists already", value=path, remedy="Choose another name or delete it"
            )
        try:
            _copy_pair(source, path)
        except OSError as error:
            raise OutputError(
                "The checkpoint cannot be written", value=f"{path} ({error.strerror})"
            ) from error
        return path


def _pairs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors")) if folder.is_dir() else []


def _distance(ratio: float, anisotropy: Sequence[float]) -> float:
    low, high = anisotropy
    if low <= ratio <= high:
        return 0.0
    return abs(math.log(ratio / max(low if ratio < low else high, 1e-9)))


def _copy_pair(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for ending in (".safetensors", ".json"):
        final = with_ending(target, ending)
        write_aside(final, with_ending(source, ending).read_bytes()).replace(final)
