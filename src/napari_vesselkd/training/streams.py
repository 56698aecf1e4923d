"""Patches read straight from chunked volumes: what does not fit in memory can be learned from.

A source is one volume with its intensity window and, where there are any, labels. A stream draws places in
its sources and reads the patches there. Small sources are read once and kept: to decode the same chunks again
for every patch takes longer than a step of the student.

Notation: patches are (z, y, x); B batch. Where a volume is thinner than a patch it is filled by reflection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.training.augment import AugmentConfig, change_appearance, orient
from napari_vesselkd.training.crops import FOREGROUND, Crop, mask_of
from napari_vesselkd.training.patches import Batch, fill, to_batch
from napari_vesselkd.volume import IntensityWindow, Volume, volume_from_arrays

Labels = npt.NDArray[np.uint8]
LabelsOf = Callable[[Region], Labels]
TRIES = 16
KEPT_BYTES = 64 * 2**20  # of images and labels that a stream keeps: little, beside what training takes


@dataclass(frozen=True, eq=False)
class Source:
    """One volume to draw patches from.

    Attributes
    ----------
    name : str
        For messages.
    volume : Volume
    window : IntensityWindow
    labels : callable, optional
        Region to labels (z, y, x) uint8: 0 unlabelled, 1 background, 2 vessel.
    """

    name: str
    volume: Volume
    window: IntensityWindow
    labels: LabelsOf | None = None


def source_of_crop(crop: Crop) -> Source:
    """Return a labelled crop as a source."""
    volume = volume_from_arrays([crop.image], voxel_size_um=crop.voxel_size_um, name=crop.name)
    return Source(crop.name, volume, IntensityWindow(*crop.window), lambda region: crop.label[region.slices])


@dataclass(frozen=True)
class Place:
    """Where a patch begins: the number of its source, and its first voxel (z, y, x)."""

    source: int
    start: Shape


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch, each part (z, y, x) of the stream's shape.

    Attributes
    ----------
    image : float32 in [0, 1]
    mask : uint8
        Bits VESSEL, CENTRELINE and UNLABELLED of `training.patches`.
    valid : float32
        0 where the patch lies beyond its volume, or has no label though its source has labels.
    """

    image: npt.NDArray[np.float32]
    mask: npt.NDArray[np.uint8]
    valid: npt.NDArray[np.float32]

    @property
    def parts(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
        return self.image, self.mask, self.valid


class Stream:
    """Draws and reads patches of some sources, the larger ones more often.

    Parameters
    ----------
    sources : sequence of Source
    shape : (z, y, x)
        Of a patch.
    vessels : float
        Share of the places, in sources with labels, that are to hold a vessel.

    Of the smallest sources, as many as fit into `KEPT_BYTES` are kept whole after their first use.
    """

    def __init__(self, sources: Sequence[Source], shape: Shape, vessels: float = 0.5) -> None:
        self.sources, self.shape, self.vessels = list(sources), shape, vessels
        sizes = np.array([float(np.prod(source.volume.shape)) for source in self.sources])
        self._shares = sizes / sizes.sum()
        kept = _kept(self.sources)
        self._readers = [_Reader(source, number in kept) for number, source in enumerate(self.sources)]

    def place(self, rng: np.random.Generator) -> Place:
        """Return a random place; with labels, one where something is labelled."""
        number = int(rng.choice(len(self.sources), p=self._shares))
        labels, vessel = self._readers[number].labels, rng.random() < self.vessels
        place = self._anywhere(number, rng)
        if self.sources[number].labels is None:
            return place
        best = place
        for _ in range(TRIES):
            found = labels(self._region(place))
            if found.any():
                best = place
                if not vessel or (found == FOREGROUND).any():
                    break
            place = self._anywhere(number, rng)
        return best

    def places(self, count: int, seed: int) -> list[Place]:
        """Return the first `count` places of a seed."""
        return [self.place(np.random.default_rng([seed, number, 3])) for number in range(count)]

    def read(self, place: Place) -> Patch:
        """Return the patch at a place."""
        source, region = self.sources[place.source], self._region(place)
        reader = self._readers[place.source]
        image = source.window.apply(reader.image(region))
        mask = np.zeros(image.shape, np.uint8) if source.labels is None else mask_of(reader.labels(region))
        return Patch(*fill(image, mask, self.shape))

    def name(self, place: Place) -> str:
        """Return what to call a place in messages."""
        return f"{self.sources[place.source].name} at {','.join(map(str, place.start))}"

    def _region(self, place: Place) -> Region:
        whole = Region.whole(self.sources[place.source].volume.shape)
        stop = [low + side for low, side in zip(place.start, self.shape, strict=True)]
        found = Region(place.start, as_shape(stop)).intersection(whole)
        assert found is not None  # noqa: S101  (places lie in their volume)
        return found

    def _anywhere(self, number: int, rng: np.random.Generator) -> Place:
        sides = zip(self.sources[number].volume.shape, self.shape, strict=True)
        return Place(number, as_shape([int(rng.integers(max(0, n - side) + 1)) for n, side in sides]))


class _Reader:
    """Reads a source; one that is `kept` is read whole, once."""

    def __init__(self, source: Source, kept: bool) -> None:
        self.source, self.kept = source, kept
        self.labels_of = cast(LabelsOf, source.labels)  # called where there are labels alone
        self.everything = Region.whole(source.volume.shape)

    def image(self, region: Region) -> npt.NDArray[Any]:
        return self._image[region.slices] if self.kept else self.source.volume.read(region)

    def labels(self, region: Region) -> Labels:
        return self._labels[region.slices] if self.kept else self.labels_of(region)

    @cached_property
    def _image(self) -> npt.NDArray[Any]:
        return self.source.volume.read(self.everything)

    @cached_property
    def _labels(self) -> Labels:
        return self.labels_of(self.everything)


def _kept(sources: Sequence[Source]) -> set[int]:
    """Return the numbers of the smallest sources that fit into `KEPT_BYTES` with their labels."""
    sizes = [one.volume.nbytes + (0 if one.labels is None else one.volume.size) for one in sources]
    order = np.argsort(sizes, kind="stable")
    return set(order[np.cumsum(np.array(sizes)[order]) <= KEPT_BYTES].tolist())


class StreamPatches:
    """Batches from one stream; call with a number. The same seed and number give the same batch.

    Parameters
    ----------
    stream : Stream
    batch : int
        Patches.
    augment : AugmentConfig, optional
        Of their appearance; without it only their orientation changes.
    seed : int
    """

    def __init__(
        self, stream: Stream, batch: int, augment: AugmentConfig | None = None, seed: int = 0
    ) -> None:
        self.stream, self.batch, self.augment, self.seed = stream, batch, augment, seed

    def __call__(self, number: int) -> Batch:
        """Return a batch; negative numbers are others, to look at."""
        rng = np.random.default_rng([self.seed, abs(number), int(number < 0), 4])
        places = [self.stream.place(rng) for _ in range(self.batch)]
        patches = [varied(self.stream.read(place), self.augment, rng) for place in places]
        names = tuple(self.stream.name(place) for place in places)
        return to_batch([patch.parts for patch in patches], names=names)


def varied(patch: Patch, augment: AugmentConfig | None, rng: np.random.Generator) -> Patch:
    """Return a patch turned, mirrored and of another appearance."""
    image, mask, valid = (np.ascontiguousarray(part) for part in orient(patch.parts, rng))
    return Patch(changed(image, augment, rng), mask, valid)


def changed(
    image: npt.NDArray[np.float32], augment: AugmentConfig | None, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return an image of another appearance, or as it is without `augment`."""
    return np.ascontiguousarray(image if augment is None else change_appearance(image, augment, rng))
