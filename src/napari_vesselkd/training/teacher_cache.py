"""What a teacher says about a list of patches, computed once and kept on disk.

A 64^3 patch takes 8 code indices (int16) and 32 kB of hard pseudo-labels (one bit per voxel), or 262 kB of
probabilities (one byte per voxel); reading them is far cheaper than running the teacher at each step
(methods 1.7).

Notation: K patches of (z, y, x) voxels on a code grid (gz, gy, gx); B batch.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.training.streams import Place, Stream
from napari_vesselkd.volume import check_disk_space, output_errors

INDICES, SAID = "indices.npy", "pseudo-labels.npy"
MIRRORED = ((2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4))  # axes of a batch of patches


@dataclass(frozen=True)
class Taught:
    """What the teacher said about a batch.

    Attributes
    ----------
    indices : Tensor (B, gz, gy, gx) int64
        Of its codes.
    probability : Tensor (B, 1, z, y, x) float32
        Of vessel; 0 or 1 where hard pseudo-labels were kept.
    """

    indices: Tensor
    probability: Tensor

    @classmethod
    def of(cls, entries: Sequence[tuple[npt.NDArray[Any], ...]]) -> Taught | None:
        """Return the batch of what `TeacherCache.read` returned for each patch; None without a cache."""
        if not entries or not entries[0]:
            return None
        indices, probability = (np.stack(part) for part in zip(*entries, strict=True))
        return cls(
            torch.from_numpy(indices.astype(np.int64)),
            torch.from_numpy(probability[:, None].astype(np.float32) / 255),
        )

    def to(self, device: torch.device) -> Taught:
        return Taught(self.indices.to(device), self.probability.to(device))


class TeacherCache:
    """What the teacher says about the patches of a stream at `places`.

    Parameters
    ----------
    folder : Path
        Where it is kept.
    stream : Stream
    places : sequence of Place
    soft : bool
        Whether probabilities are kept, averaged over the eight mirrorings of the patch; else hard
        pseudo-labels, ``probability > 0.5``, of the patch as it is (VpbSD).
    """

    def __init__(self, folder: Path, stream: Stream, places: Sequence[Place], *, soft: bool) -> None:
        self.folder, self.stream, self.places, self.soft = folder, stream, list(places), soft
        self._files: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None

    def fill(self, teacher: Teacher) -> Iterator[Report]:
        """Ask the teacher about every place that it was not asked about before.

        Raises
        ------
        OutputError
            If the disk has too little space, before the teacher is asked, or if it becomes full meanwhile;
            what is there stays, and the same call goes on from it.
        """
        done = self._done()
        began, first = monotonic(), done
        layout = self._layout(teacher)
        entry = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in layout.values())
        check_disk_space(self.folder, (len(self.places) - done) * entry)
        with output_errors(self.folder), ExitStack() as opened:
            self.folder.mkdir(parents=True, exist_ok=True)
            files = [
                opened.enter_context(_behind(self.folder / name, done, kind, (len(self.places), *shape)))
                for name, (kind, shape) in layout.items()
            ]
            for number in range(done, len(self.places)):
                image = self.stream.read(self.places[number]).image
                for file, values in zip(files, self._ask(teacher, image), strict=True):
                    file.write(values.tobytes())
                if (number + 1) % 16 == 0 or number + 1 == len(self.places):
                    self._note(files, number + 1)
                    elapsed = monotonic() - began
                    yield Progress(number + 1, len(self.places), "teacher patches", elapsed, resumed=first)
        indices, said = (np.load(self.folder / name, mmap_mode="r") for name in layout)
        self._files = indices, said

    def read(self, entry: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Return the indices (gz, gy, gx) and the probability (z, y, x) in 0..255 at a place."""
        assert self._files is not None  # noqa: S101  (filled before it is read)
        indices, said = (np.asarray(file[entry]) for file in self._files)
        if self.soft:
            return indices, said
        voxels = int(np.prod(self.stream.shape))
        return indices, np.unpackbits(said, count=voxels).reshape(self.stream.shape) * np.uint8(255)

    @torch.inference_mode()
    def _ask(self, teacher: Teacher, image: npt.NDArray[np.float32]) -> tuple[Any, Any]:
        device = next(teacher.parameters()).device
        patch = torch.from_numpy(image)[None, None].to(device)
        assert not teacher.training  # noqa: S101  (a teacher in training mode says something else each time)
        view = teacher.view(patch)
        indices = view.indices[0].cpu().numpy().astype(np.int16)
        if not self.soft:
            return indices, np.packbits((view.logits[0, 0] > 0).cpu().numpy())
        total = torch.sigmoid(view.logits)
        for axes in MIRRORED:
            total += torch.sigmoid(teacher(patch.flip(axes))).flip(axes)
        return indices, (total[0, 0] / (1 + len(MIRRORED)) * 255).round().byte().cpu().numpy()

    def _layout(self, teacher: Teacher) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Return the type and shape of an entry of each file."""
        grid = tuple(-(-n // step) for n, step in zip(self.stream.shape, teacher.total_stride, strict=True))
        said = self.stream.shape if self.soft else (-(-math.prod(self.stream.shape) // 8),)
        return {INDICES: (np.int16, grid), SAID: (np.uint8, said)}

    def _done(self) -> int:
        try:
            return int(json.loads((self.folder / "done.json").read_text())["done"])
        except (OSError, ValueError, KeyError):
            return 0

    def _note(self, files: Sequence[BinaryIO], done: int) -> None:
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        aside = self.folder / "done.json.part"
        aside.write_text(json.dumps({"done": done}))
        aside.replace(self.folder / "done.json")


def _behind(path: Path, done: int, kind: type[np.generic], shape: tuple[int, ...]) -> BinaryIO:
    """Open a .npy file for writing behind its first `done` entries; without any it is begun.

    It is written, not mapped: a full disk is an error of a write, and the end of a process that writes into a
    mapping (SIGBUS).
    """
    file = path.open("r+b" if done else "w+b")
    if done:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        file.seek(done * np.dtype(kind).itemsize * math.prod(shape[1:]), os.SEEK_CUR)
    else:
        about = {"descr": np.dtype(kind).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
    return file
