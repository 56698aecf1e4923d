"""Writing and reading a checkpoint: NAME.safetensors (weights) and NAME.json (card). Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vesselkd.checkpoints.card import CheckpointCard
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_NOT_SAFETENSORS = {
    b"PK\x03\x04": "a zip archive, as torch.save writes it (a pickle inside)",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89HDF": "an HDF5 file",
}


def save_checkpoint(path: str | Path, model: nn.Module, card: CheckpointCard) -> CheckpointCard:
    """Write `model` and its card to `path` (its ending is set to .safetensors and .json).

    Both files are written aside and then renamed, so that an interrupted call leaves an older pair intact.

    Returns
    -------
    CheckpointCard
        The card as written: with the hash of the weights and the file's name.
    """
    from safetensors.torch import save

    path = Path(path)
    stem = path.name.removesuffix(".safetensors").removesuffix(".json")
    weights = save({key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()})
    card = replace(card, name=stem, sha256=hashlib.sha256(weights).hexdigest())
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(card.to_dict(), indent=2, allow_nan=False) + "\n"
    finals = [path.parent / f"{stem}{ending}" for ending in (".safetensors", ".json")]
    aside = [write_aside(finals[0], weights)]
    try:
        aside.append(write_aside(finals[1], text.encode()))
    except BaseException:
        aside[0].unlink()
        raise
    for temporary, final in zip(aside, finals, strict=True):
        temporary.replace(final)
    return card


def load_checkpoint(path: str | Path) -> tuple[nn.Module, CheckpointCard]:
    """Read the model (on the CPU, in eval mode) and the card at `path` (either of the two files).

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If the weights are truncated, a pickle, not the card's, or of another model, or the card is broken.
    """
    weights_path = with_ending(path, ".safetensors")
    if not weights_path.is_file():
        raise CheckpointNotFoundError("There is no checkpoint at this path", value=weights_path)
    state, digest = _read_weights(weights_path)
    card = CheckpointCard.read(weights_path)
    model = _build(card)
    _check_fit(model, state, card, weights_path)
    if digest != card.sha256:
        raise CheckpointError(
            "The weights are not those that the card describes",
            value=weights_path,
            limit="the SHA-256 in the card",
            remedy="Get the checkpoint again, both of its files",
        )
    model.load_state_dict(state)
    return model.eval(), card


def write_aside(path: Path, content: bytes) -> Path:
    """Write what is to be renamed to `path` beside it, and return where.

    A write that fails leaves nothing. One that was killed leaves a part, which the next one writes over: its
    name is the same, as one process at a time writes a file.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_bytes(content)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return aside


def with_ending(path: str | Path, ending: str) -> Path:
    """Return `path` with `ending` in place of .safetensors or .json, or behind a name that has neither."""
    path = Path(path)
    name = path.name.removesuffix(".safetensors").removesuffix(".json")
    return path.with_name(name + ending)


def _build(card: CheckpointCard) -> nn.Module:
    try:
        if card.architecture == "student":
            from napari_vesselkd.models import Student, StudentConfig

            return Student(StudentConfig.from_dict(card.config))
        if card.architecture == "teacher":
            from napari_vesselkd.models import Teacher, TeacherConfig

            return Teacher(TeacherConfig.from_dict(card.config))
    except InvalidInputError as error:
        raise CheckpointError(
            f"The checkpoint's configuration of a {card.architecture} cannot be used", value=card.config
        ) from error
    raise CheckpointError(
        "The checkpoint is of a model that this version does not know",
        value=card.architecture,
        limit="student, teacher",
        remedy="Update napari-vesselkd",
    )


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError("The checkpoint cannot be read", value=f"{path} ({error.strerror})") from error
    try:
        return load(content), hashlib.sha256(content).hexdigest()
    except (SafetensorError, ValueError, KeyError, OverflowError, MemoryError) as error:
        # Only now: the length that safetensors begin with can be the same bytes as another format's mark.
        for magic, kind in _NOT_SAFETENSORS.items():
            if content.startswith(magic):
                raise CheckpointError(
                    f"The checkpoint is {kind}; such files can run any code and are never opened",
                    value=path,
                    limit="safetensors",
                    remedy="Convert it to safetensors with a card where it comes from",
                ) from error
        raise CheckpointError(
            "The checkpoint is truncated or not a safetensors file",
            value=f"{path} ({error})",
            remedy="Get the file again",
        ) from error


def _check_fit(model: nn.Module, state: dict[str, Tensor], card: CheckpointCard, path: Path) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    if expected == found:
        return
    odd = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    raise CheckpointError(
        "The checkpoint holds the weights of another model",
        value=f"{path} ({len(odd)} tensors do not fit, the first is {odd[0]})",
        limit=f"the tensors of a {card.architecture} with the card's configuration",
        remedy="Choose a checkpoint made by napari-vesselkd",
    )
