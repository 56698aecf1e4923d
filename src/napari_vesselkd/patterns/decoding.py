"""What the decoder makes of a code alone: the picture that the teacher has of it, or its vessels."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import Teacher

Head = Literal["image", "vessel"]


def head_of(card: CheckpointCard) -> Head:
    """Return which head of a teacher means something: "vessel" once it has learned to segment.

    From then on the decoder moves with the head of the logits, and the one that reconstructed is left behind.
    """
    return "image" if card.lineage.get("stage") == "pretrain" else "vessel"


def decoded_code(
    teacher: Teacher, code: int, among: int | None = None, *, head: Head = "image"
) -> npt.NDArray[np.float32]:
    """Return what the decoder makes of a code, without any image to begin from.

    Every skip connection is 0, as when the teacher learned to reconstruct from its codes alone; the network
    normalises over the image, so that a code also has a say far from its cell.

    Parameters
    ----------
    teacher : Teacher
    code : int
        Which code, 0..N-1.
    among : int, optional
        Without it the whole grid is filled with `code`; with it, one cell (the one right behind the middle
        along every axis) among cells of the code `among`, for example the most used one.
    head : {"image", "vessel"}, optional
        Whether it is to reconstruct or to segment; `head_of` says which of the two a checkpoint is good at.

    Returns
    -------
    ndarray of float32, (P, P, P)
        P is the side of the teacher's patches; (P, P) of a teacher in two dimensions. For "image" about 0..1,
        unclipped; for "vessel" the probability, 0..1, before any calibration.

    Raises
    ------
    InvalidInputError
        If a code is not in the codebook, or there is no such head.
    """
    if head not in ("image", "vessel"):
        raise InvalidInputError("A teacher has no such head", value=head, limit="image, vessel")
    codes = teacher.quantiser.config.codes
    for one in (code, among):
        if one is not None and not 0 <= one < codes:
            raise InvalidInputError("The codebook has no such code", value=one, limit=f"0..{codes - 1}")
    device = next(teacher.parameters()).device
    sides = [teacher.config.patch] * teacher.config.spatial_dims
    grid = [side // step for side, step in zip(sides, teacher.total_stride, strict=True)]
    indices = torch.full((1, *grid), code if among is None else among, dtype=torch.int64, device=device)
    if among is not None:
        indices[(0, *[count // 2 for count in grid])] = code
    training = teacher.training
    teacher.eval()
    try:
        with torch.inference_mode():
            nothing = torch.zeros(1, 1, *sides, device=device)
            if head == "image":
                image = teacher.reconstruct(nothing, indices)
            else:
                image = teacher.logits_of(nothing, indices).sigmoid()
    finally:
        teacher.train(training)
    return cast(npt.NDArray[np.float32], image[0, 0].float().cpu().numpy())
