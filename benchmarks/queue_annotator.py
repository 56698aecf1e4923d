"""What `bench_queue.py` measures with: volumes in blocks, a student that learns cheaply, an annotator.

Everything is in memory and small, so that hundreds of trainings fit into an hour of one core: volumes of at
most 384 x 384 in the plane, blocks of 64 x 64 with all slices, half of them (drawn by the seed) never shown
to anybody, on which the student is scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from bench_accuracy import HELD_OUT, two_photon
from scipy import ndimage

from napari_vesselkd import make_phantom
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.checkpoints.calibration import calibrate
from napari_vesselkd.geometry import Region
from napari_vesselkd.measure.topology import skeleton
from napari_vesselkd.models import set_statistics, statistics_of, thaw_statistics
from napari_vesselkd.phantoms import PhantomConfig
from napari_vesselkd.training.crops import Crop, CropPatches, MixedPatches, write_crop
from napari_vesselkd.training.finetune import PHANTOM_SEED, phantom_folder, recipe_of
from napari_vesselkd.training.fit import FitConfig, fit
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.patches import PatchConfig, PhantomPatches, fill_pool
from napari_vesselkd.training.validation import cldice_of
from napari_vesselkd.volume import IntensityWindow, measure_intensity_window, volume_from_arrays

SIDE, LARGEST = 64, 384
CONTEXT = 24
CHECKPOINT = "student-coarse-z"
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
PATCH = PatchConfig(shape=(16, 64, 64), batch=3)
PHANTOMS = 24


@dataclass(frozen=True, eq=False)
class Case:
    """A volume (z, y, x) with its truth; `image` is in [0, 1]."""

    name: str
    image: np.ndarray
    raw: np.ndarray
    truth: np.ndarray
    size: tuple[float, float, float]
    window: IntensityWindow

    @cached_property
    def line(self) -> np.ndarray:
        return skeleton(self.truth)

    @cached_property
    def blocks(self) -> list[Region]:
        return list(Region.whole(self.image.shape).pieces((self.image.shape[0], SIDE, SIDE)))

    @property
    def volume(self):
        return volume_from_arrays([self.raw], voxel_size_um=self.size, name=self.name)


def case_of(name, raw, truth, size) -> Case:
    low = [max(0, (n - LARGEST) // 2) for n in raw.shape[1:]]
    sides = [min(n, LARGEST) // SIDE * SIDE for n in raw.shape[1:]]
    y, x = (slice(a, a + n) for a, n in zip(low, sides, strict=True))
    raw, truth = np.ascontiguousarray(raw[:, y, x]), np.ascontiguousarray(truth[:, y, x])
    volume = volume_from_arrays([raw], voxel_size_um=size, name=name)
    window = measure_intensity_window(volume, upper=99.0)
    return Case(name, window.apply(raw), raw, truth, size, window)


def cases(data: Path, wanted: Sequence[str] = ()) -> Iterator[Case]:
    """Yield the seven two-photon stacks and three phantoms: one look each, and one of four looks."""
    for case in two_photon(data):
        if not wanted or case.name in wanted:
            yield case_of(
                case.name, np.asarray(case.volume.levels[0][...]), case.reference, case.volume.voxel_size_um
            )
    for name in ("phantom-0", "phantom-1", "phantom-mixed"):
        if not wanted or name in wanted:
            yield _mixed() if name == "phantom-mixed" else _phantom(name, HELD_OUT + int(name[-1]))


def _phantom(name, seed) -> Case:
    size = (4.0, 1.0, 1.0)
    made = make_phantom(PhantomConfig(shape=(16, LARGEST, LARGEST), seed=seed, voxel_size_um=size))
    return case_of(name, made.image, made.label > 0, size)


def _mixed() -> Case:
    """Return a volume of four looks that share one range of values: two thirds, and three rarer ones."""
    size, half = (4.0, 1.0, 1.0), LARGEST
    raw, truth = np.zeros((16, half, half), np.float32), np.zeros((16, half, half), bool)
    corner = 128
    places = [
        (slice(0, half), slice(0, half)),
        (slice(0, corner), slice(0, corner)),
        (slice(half - corner, half), slice(0, corner)),
        (slice(half - 192, half), slice(half - 128, half)),
    ]
    for number, (y, x) in enumerate(places):
        shape = (16, y.stop - y.start, x.stop - x.start)
        made = make_phantom(PhantomConfig(shape=shape, seed=HELD_OUT + 10 + number, voxel_size_um=size))
        low, high = np.percentile(made.image, (0, 99.5))
        raw[:, y, x] = np.clip((made.image - low) / max(high - low, 1), 0, 1.2) * 2000
        truth[:, y, x] = made.label > 0
    return case_of("phantom-mixed", raw.astype(np.uint16), truth, size)


def split(case: Case, seed: int) -> tuple[list[int], list[int]]:
    """Return the blocks that may be shown, and those that the student is scored on."""
    order = np.random.default_rng([seed, 77]).permutation(len(case.blocks))
    half = len(order) // 2 + len(order) % 2
    return sorted(order[:half].tolist()), sorted(order[half:].tolist())


def annotated(case: Case, block: Region, errors: float, seed: int) -> np.ndarray:
    """Return the labels (1, 2) that the annotator gives a block: the truth, or with a share of errors.

    Half of the errors are pieces of vessel left out, half are bumps drawn on vessels, both balls of random
    radius, until the share of the vessel voxels is reached.
    """
    truth = case.truth[block.slices].copy()
    if errors and truth.any():
        rng = np.random.default_rng([seed, *block.start, 5])
        truth = _with_errors(truth, errors, case.size, rng)
    return (1 + truth).astype(np.uint8)


def _with_errors(truth, errors, size, rng) -> np.ndarray:
    wanted, places = errors / 2 * truth.sum(), np.argwhere(truth)
    edge = np.argwhere(ndimage.binary_dilation(truth) & ~truth)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in truth.shape), indexing="ij"), -1)
    out = truth.copy()
    for value, centres in ((False, places), (True, edge)):
        changed, tries = 0, 0
        while changed < wanted and len(centres) and tries < 200:
            away = (grid - centres[rng.integers(len(centres))]) * np.asarray(size)
            ball = (away**2).sum(-1) < rng.uniform(2, 6) ** 2
            hit = ball & (truth != value) & (out != value)
            changed, tries = changed + int(hit.sum()), tries + 1
            out[hit] = value
    return out


class Learner:
    """The bundled student, fine-tuned from the blocks that were shown, as `training.finetune` does it."""

    def __init__(self, case: Case, steps: int, seed: int) -> None:
        self.case, self.steps, self.seed = case, steps, seed
        self.parent = CheckpointRegistry().get(CHECKPOINT)
        recipe = recipe_of(self.parent.card)
        self.pool = phantom_folder(recipe)
        self.seeds = [PHANTOM_SEED + n for n in range(PHANTOMS)]
        model = self.parent.load()
        card = self.parent.card
        calibrate(model, case.volume, case.window, stride=tuple(model.total_stride), padding=card.padding)
        self.statistics = statistics_of(model)
        self.model, self.threshold = model, card.threshold

    def learn(self, shown: dict[int, np.ndarray]) -> None:
        """Train the bundled student anew from the labels of the blocks that were shown."""
        from functools import partial

        from napari_vesselkd.training.bundled import phantom_config

        recipe = recipe_of(self.parent.card)
        for _ in fill_pool(self.pool, partial(phantom_config, recipe), self.seeds):
            pass
        model = self.parent.load().requires_grad_(True).to(memory_format=torch.channels_last_3d)
        weights = LossConfig(skeleton_recall=1.0)

        def terms(net, batch, _step):
            if batch.statistics is None:
                thaw_statistics(net)
            else:
                set_statistics(net, self.statistics)
            return segmentation_terms(net(batch.image), batch, weights)

        config = FitConfig(
            steps=self.steps, learning_rate=2e-3, final_share=0.02, warmup=10, average=0.95, save_every=10**9
        )
        with TemporaryDirectory() as folder:
            files = [self._crop(Path(folder), number, label) for number, label in shown.items()]
            crops = CropPatches(files, [self.case.name], PATCH, self.seed)
            phantoms = PhantomPatches(self.pool, self.seeds, PATCH, self.seed)
            batches = MixedPatches(crops, phantoms, 0.25, self.seed)
            for _ in fit(model, batches, terms, config, Path(folder) / "state.safetensors"):
                pass
        set_statistics(model, self.statistics)
        self.model = model
        self.threshold = self._threshold(shown)

    def _crop(self, folder: Path, number: int, label: np.ndarray) -> Path:
        block, shape = self.case.blocks[number], self.case.image.shape
        start = [max(0, low - (CONTEXT if axis else 0)) for axis, low in enumerate(block.start)]
        stop = [
            min(n, high + (CONTEXT if axis else 0))
            for axis, (n, high) in enumerate(zip(shape, block.stop, strict=True))
        ]
        around = Region(tuple(start), tuple(stop))
        full = np.zeros(around.shape, np.uint8)
        full[block.relative_to(around.start).slices] = label
        window = (self.case.window.low, self.case.window.high)
        path = folder / f"{number}.npz"
        name, size = self.case.name, self.case.size
        write_crop(
            path, Crop(str(number), self.case.raw[around.slices], full, window, name, size, around.start)
        )
        return path

    def probability(self, flip: Sequence[int] = ()) -> np.ndarray:
        """Return the probability (z, y, x) float32 of the volume, looked at flipped along these axes."""
        return probability_of(self.model, np.flip(self.case.image, flip), flip)

    def _threshold(self, shown: dict[int, np.ndarray]) -> float:
        """Choose the threshold by Dice and clDice on the labelled blocks, as the product does."""
        found = self.probability()
        best = []
        lines = {number: skeleton(label == 2) for number, label in shown.items()}
        for threshold in THRESHOLDS:
            counts, both, total = np.zeros(4), 0, 0
            for number, label in shown.items():
                mask, truth = found[self.case.blocks[number].slices] >= threshold, label == 2
                counts += line_counts(mask, truth, skeleton(mask), lines[number])
                both, total = both + 2 * (mask & truth).sum(), total + mask.sum() + truth.sum()
            value = both / max(total, 1) + np.nan_to_num(cldice_of(counts))
            best.append((value, -abs(threshold - 0.5), threshold))
        return max(best)[2]


@torch.no_grad()
def probability_of(model, image: np.ndarray, flip: Sequence[int] = ()) -> np.ndarray:
    """Return what `model` says of `image` (z, y, x), turned back by the axes of `flip`; bf16."""
    model = model.eval().to(memory_format=torch.channels_last_3d)
    stride = tuple(model.total_stride)
    width = [(0, -side % step) for side, step in zip(image.shape, stride, strict=True)]
    padded = torch.from_numpy(np.pad(image, width, mode="reflect"))[None, None]
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(padded.contiguous(memory_format=torch.channels_last_3d))[0, 0].float()
    z, y, x = image.shape
    return np.ascontiguousarray(np.flip(torch.sigmoid(logits)[:z, :y, :x].numpy(), flip))


def line_counts(mask, truth, line, true_line) -> np.ndarray:
    """Return |S_P & G|, |S_P|, |S_G & P|, |S_G|."""
    return np.array([(line & truth).sum(), line.sum(), (true_line & mask).sum(), true_line.sum()], float)


def scores(case: Case, mask: np.ndarray, blocks: Sequence[int]) -> tuple[float, float]:
    """Return Dice and clDice on these blocks together; the skeletons are those of the whole volume."""
    line = skeleton(mask)
    counts, both, total = np.zeros(4), 0, 0
    for number in blocks:
        at = case.blocks[number].slices
        counts += line_counts(mask[at], case.truth[at], line[at], case.line[at])
        both += 2 * (mask[at] & case.truth[at]).sum()
        total += mask[at].sum() + case.truth[at].sum()
    return float(both / max(total, 1)), float(cldice_of(counts))
