"""Labelled crops on disk, and batches drawn from them; phantoms mixed in so that nothing is forgotten.

A crop is a corrected block (or a volume of a data set) with some context around it, copied into the run's
folder when training starts: a run depends on nothing else afterwards, so that it resumes bit by bit even if
people go on correcting.

Notation: arrays are (z, y, x); B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_vesselkd.geometry import Region, Shape, VoxelSize, as_shape
from napari_vesselkd.training.augment import AugmentConfig, change_appearance, orient
from napari_vesselkd.training.fit import BatchOf
from napari_vesselkd.training.patches import (
    CENTRELINE,
    UNLABELLED,
    VESSEL,
    Batch,
    PatchConfig,
    fill,
    to_batch,
    tube,
)
from napari_vesselkd.volume import IntensityWindow

BACKGROUND, FOREGROUND = 1, 2  # values of corrections; 0 is unlabelled
WINDOW_JITTER = 0.15


@dataclass(frozen=True, eq=False)
class Crop:
    """A piece of a volume with labels.

    Attributes
    ----------
    name : str
        For messages: "block 3", or the image's name.
    image : ndarray (z, y, x)
        Raw voxels.
    label : ndarray (z, y, x) uint8
        0 unlabelled, 1 background, 2 vessel.
    window : (low, high)
        Intensity window of the volume, raw values that become 0 and 1.
    volume : str
        Signature of the volume.
    voxel_size_um : (z, y, x)
    origin : (z, y, x)
        Of its first voxel, in voxels of the volume.
    """

    name: str
    image: npt.NDArray[Any]
    label: npt.NDArray[np.uint8]
    window: tuple[float, float]
    volume: str
    voxel_size_um: VoxelSize
    origin: Shape = (0, 0, 0)

    @property
    def truth(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.label == FOREGROUND)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.label != 0)

    @property
    def region(self) -> Region:
        """Where it lies in the volume."""
        end = [low + n for low, n in zip(self.origin, self.image.shape, strict=True)]
        return Region(self.origin, as_shape(end))

    def scaled(self) -> npt.NDArray[np.float32]:
        """Return the image in [0, 1]."""
        return IntensityWindow(*self.window).apply(self.image)


def write_crop(path: Path, crop: Crop) -> None:
    """Write `crop` to `path` (.npz), aside and then renamed."""
    aside = path.with_suffix(".part.npz")
    with aside.open("wb") as stream:
        np.savez_compressed(
            stream,
            name=np.array(crop.name),
            image=crop.image,
            label=crop.label,
            window=np.array(crop.window),
            volume=np.array(crop.volume),
            voxel_size_um=np.array(crop.voxel_size_um),
            origin=np.array(crop.origin),
        )
    aside.replace(path)


def read_crop(path: Path) -> Crop:
    """Read what `write_crop` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        low, high = (float(value) for value in stored["window"])
        z, y, x = (float(value) for value in stored["voxel_size_um"])
        return Crop(
            str(stored["name"]),
            stored["image"],
            stored["label"],
            (low, high),
            str(stored["volume"]),
            (z, y, x),
            as_shape(stored["origin"]),
        )


class FilesByVolume:
    """Draws the files of a batch: all of one volume, because a batch is normalised with its statistics.

    Parameters
    ----------
    files : sequence of Path
    volumes : sequence of str
        Signatures.
    volume_of : callable
        File to the signature of its volume.
    """

    def __init__(
        self, files: Sequence[Path], volumes: Sequence[str], volume_of: Callable[[Path], str]
    ) -> None:
        self._members = [[file for file in files if volume_of(file) == volume] for volume in volumes]

    def drawn(self, count: int, rng: np.random.Generator) -> tuple[int, list[Path]]:
        """Return the index of a volume, more often one with many files, and `count` of its files."""
        weights = np.array([len(files) for files in self._members], float)
        volume = int(rng.choice(len(weights), p=weights / weights.sum()))
        members = self._members[volume]
        return volume, [members[int(rng.integers(len(members)))] for _ in range(count)]


class CropPatches:
    """Batches from crops; call with a step's number. The same seed and step give the same batch.

    Parameters
    ----------
    files : sequence of Path
        Written by `write_crop`.
    volumes : sequence of str
        Signatures of the volumes; `Batch.statistics` is the index into it.
    config : PatchConfig
    seed : int
        Of places, orientation and appearance.
    """

    def __init__(
        self, files: Sequence[Path], volumes: Sequence[str], config: PatchConfig, seed: int = 0
    ) -> None:
        self.config, self.seed = config, seed
        self._read = cache(_read_with_mask)
        self._files = FilesByVolume(files, volumes, lambda file: self._read(file)[0].volume)

    def __call__(self, step: int) -> Batch:
        """Return the batch of `step`."""
        rng = np.random.default_rng([self.seed, abs(step), int(step < 0), 1])
        volume, chosen = self._files.drawn(self.config.batch, rng)
        patches = [self._patch(file, rng) for file in chosen]
        names = tuple(self._read(file)[0].name for file in chosen)
        return to_batch(patches, names=names, statistics=volume)

    def _patch(self, file: Path, rng: np.random.Generator) -> tuple[npt.NDArray[Any], ...]:
        crop, mask, labelled = self._read(file)
        config = self.config
        sides = [min(side, n) for side, n in zip(config.shape, crop.image.shape, strict=True)]
        if rng.random() < config.thin and sides[0] > config.thinnest:
            sides[0] = int(rng.integers(config.thinnest, sides[0] + 1))
        centre = np.unravel_index(labelled[int(rng.integers(len(labelled)))], mask.shape)
        place = tuple(
            _around(int(at), side, n, rng)
            for at, side, n in zip(centre, sides, crop.image.shape, strict=True)
        )
        image = appearance(crop, place, config.augment, rng)
        image, turned = orient((image, mask[place]), rng)
        return fill(image, turned, config.shape)


class MixedPatches:
    """Batches from crops, and a share of them from phantoms.

    Parameters
    ----------
    crops, phantoms : callable
        Step number to a batch.
    share : float
        Of the batches, that come from `phantoms`.
    seed : int
    """

    def __init__(self, crops: BatchOf, phantoms: BatchOf, share: float, seed: int = 0) -> None:
        self.crops, self.phantoms, self.share, self.seed = crops, phantoms, share, seed

    def __call__(self, step: int) -> Any:
        """Return the batch of `step`."""
        rng = np.random.default_rng([self.seed, abs(step), int(step < 0), 2])
        return (self.phantoms if rng.random() < self.share else self.crops)(step)


def appearance(
    crop: Crop, place: tuple[slice, ...], config: AugmentConfig, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return the image of a part of a crop in [0, 1], in a random appearance."""
    low, high = crop.window
    high = low + (high - low) * float(np.exp(rng.uniform(-WINDOW_JITTER, WINDOW_JITTER)))
    return change_appearance(IntensityWindow(low, high).apply(crop.image[place]), config, rng)


def mask_of(label: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the bits VESSEL, CENTRELINE and UNLABELLED of labels (z, y, x) of 0, 1, 2."""
    vessel = label == FOREGROUND
    mask = vessel * np.uint8(VESSEL) + (label == 0) * np.uint8(UNLABELLED)
    if vessel.any():
        mask += tube(vessel.astype(np.uint8)) * np.uint8(CENTRELINE)
    return np.asarray(mask, np.uint8)


def _read_with_mask(file: Path) -> tuple[Crop, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    crop = read_crop(file)
    return crop, mask_of(crop.label), np.flatnonzero(crop.label)


def _around(centre: int, side: int, size: int, rng: np.random.Generator) -> slice:
    """Return a random run of `side` voxels of `size` that holds `centre`."""
    low, high = max(0, centre - side + 1), min(size - side, centre)
    start = int(rng.integers(low, high + 1))
    return slice(start, start + side)
