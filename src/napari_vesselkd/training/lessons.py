"""Batches of labelled and unlabelled patches, with what the teacher said about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_vesselkd.training.augment import AugmentConfig, orient
from napari_vesselkd.training.patches import Batch, to_batch
from napari_vesselkd.training.streams import Place, Stream, changed
from napari_vesselkd.training.teacher_cache import Taught, TeacherCache

TENSORS = ("image", "label", "centreline", "valid")


@dataclass(frozen=True)
class LessonBatch:
    """Labelled patches, then unlabelled ones.

    Attributes
    ----------
    batch : Batch
        All of them; the labels of the unlabelled ones are 0.
    labelled : int
        How many of them, from the first on, have labels.
    taught : Taught or None
        What the teacher said about each, where that was kept.
    """

    batch: Batch
    labelled: int
    taught: Taught | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.batch.names

    def to(self, device: torch.device) -> LessonBatch:
        """Return it on a device."""
        taught = None if self.taught is None else self.taught.to(device)
        return replace(self, batch=self.batch.to(device), taught=taught)

    @property
    def supervised(self) -> Batch:
        """The labelled part."""
        parts = {key: getattr(self.batch, key)[: self.labelled] for key in TENSORS}
        return replace(self.batch, **parts, names=self.names[: self.labelled])


class Lessons:
    """Batches of both streams; call with a number. The same seed and number give the same batch.

    Parameters
    ----------
    streams : sequence of Stream
        The labelled one, and for methods that learn without labels too the unlabelled one.
    counts : (int, int)
        Patches of each per batch.
    augment : AugmentConfig, optional
    seed : int
    caches : sequence of TeacherCache, optional
        One per stream: batches then come from the places it was made for, each of which is met once before
        any is met again.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        counts: tuple[int, int],
        augment: AugmentConfig | None,
        seed: int = 0,
        caches: Sequence[TeacherCache] = (),
    ) -> None:
        self.streams, self.counts, self.augment = streams, counts, augment
        self.seed, self.caches = seed, caches

    def __call__(self, number: int) -> LessonBatch:
        """Return a batch; negative numbers are others, to look at."""
        rng = np.random.default_rng([self.seed, abs(number), int(number < 0), 5])
        patches, names, taught = [], [], []
        for index, stream in enumerate(self.streams):
            for nth in range(self.counts[index]):
                place, said = self._place(index, number, nth, rng)
                patch = stream.read(place)
                parts = orient((*patch.parts, *said), rng)
                image = changed(np.asarray(parts[0]), self.augment, rng)
                patches.append((image, *parts[1:3]))
                taught.append(parts[3:])
                names.append(stream.name(place))
        batch = to_batch(
            [tuple(np.ascontiguousarray(part) for part in one) for one in patches], names=tuple(names)
        )
        return LessonBatch(batch, self.counts[0], Taught.of(taught))

    def _place(
        self, index: int, number: int, nth: int, rng: np.random.Generator
    ) -> tuple[Place, tuple[npt.NDArray[Any], ...]]:
        """Return a place, and what the teacher said there."""
        if not self.caches:
            return self.streams[index].place(rng), ()
        cache = self.caches[index]
        lap, entry = divmod(number * self.counts[index] + nth, len(cache.places))
        order = np.random.default_rng([self.seed, index, lap % 2**32, 6]).permutation(len(cache.places))
        return cache.places[order[entry]], cache.read(int(order[entry]))
