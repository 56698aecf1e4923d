"""Fine-tuning a student on corrected blocks, with phantoms mixed in so that it does not forget.

Batches of a corrected volume are normalised with statistics measured once on that volume and fixed from then
on, as it will be segmented; batches of phantoms with their own, so that the net stays usable on volumes it
has not seen (docs/adr/0002, 0007).
"""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
import torch
from torch import Tensor, nn

from napari_vesselkd.checkpoints import Checkpoint, CheckpointCard, load_checkpoint, save_checkpoint
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import StudentConfig, set_statistics, statistics_of, thaw_statistics
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.reports import Report, Result
from napari_vesselkd.training.bundled import RECIPES, Recipe, phantom_config
from napari_vesselkd.training.checking import check_at_least, check_name, check_rate, check_weights
from napari_vesselkd.training.crops import Crop, CropPatches, MixedPatches, read_crop
from napari_vesselkd.training.dataset import Dataset
from napari_vesselkd.training.fit import BatchOf, FitConfig, fit
from napari_vesselkd.training.losses import LossConfig, segmentation_terms
from napari_vesselkd.training.material import CHOICES
from napari_vesselkd.training.mip_losses import MipLossConfig, mip_terms
from napari_vesselkd.training.mip_patches import MipBatch, MipPatches
from napari_vesselkd.training.patches import Batch, PatchConfig, PhantomPatches, fill_pool
from napari_vesselkd.training.timing import seconds_of, timed
from napari_vesselkd.training.validation import choose_threshold, probability, watched

PHANTOM_SEED = 3_000_000


@dataclass(frozen=True)
class FinetuneConfig:
    """How a student is fine-tuned.

    Attributes
    ----------
    steps : int
        Batches.
    learning_rate : float
        Of Adam at its highest.
    batch : int
        Patches per step.
    phantoms : int
        Phantoms to mix in; made once and kept in the user's cache.
    phantom_share : float
        Share of the batches that are phantoms, 0..1.
    skeleton_recall : float
        Weight of the centrelines in the loss, see `LossConfig`.
    projection, depth : float
        Weights of painted projections in the loss: of the projected prediction, and of what they say of
        voxels; see `MipLossConfig`.
    validate_every : int
        Steps between two looks at the held-out blocks.
    held_out_group : str
        Of a DATASET.csv: the group not to train on.
    learn_from : {"all", "blocks", "mips"}
        Of a project: from accepted blocks, from accepted projections, or from whatever there is.
    seed : int
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    threads : int, optional
        CPU threads; all by default.
    name : str, optional
        Of the checkpoint; by default made from the project's and the run's names.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    steps: int = 150
    learning_rate: float = 2e-3
    batch: int = 3
    phantoms: int = 24
    phantom_share: float = 0.25
    skeleton_recall: float = 1.0
    projection: float = 0.02
    depth: float = 1.0
    validate_every: int = 50
    held_out_group: str = ""
    learn_from: str = "all"
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        check_at_least(self, steps=1, batch=1, phantoms=0, validate_every=1, threads=1, seed=0)
        check_rate(self.learning_rate)
        if not 0 <= self.phantom_share < 1:
            raise InvalidInputError(
                "The share of phantoms is out of range", value=self.phantom_share, limit="0 to below 1"
            )
        check_weights(self, "skeleton_recall", "projection", "depth")
        if self.learn_from not in CHOICES:
            raise InvalidInputError(
                "There is nothing of that name to learn from",
                value=self.learn_from,
                limit=", ".join(CHOICES),
            )
        if not self.projection + self.depth:
            raise InvalidInputError(
                "Nothing of a painted projection counts", value="projection 0, depth 0", limit="one above 0"
            )
        if self.name is not None:
            check_name(self.name)

    def fit_config(self) -> FitConfig:
        """Return the loop's settings."""
        return FitConfig(
            steps=self.steps,
            learning_rate=self.learning_rate,
            final_share=0.02,
            warmup=min(10, self.steps),
            average=0.98,
            save_every=50,
            report_every=math.gcd(5, self.validate_every),
        )


@dataclass(frozen=True)
class FinetuneFinished(Result):
    """A checkpoint was written.

    Attributes
    ----------
    checkpoint : str
        Path of its weights.
    name : str
    parent : str
        What it was trained from.
    steps : int
    seconds : float
        Of training, over all its sessions, in s.
    thresholds : tuple of float
        Chosen on the training blocks, one for each volume.
    """

    checkpoint: str
    name: str
    parent: str
    steps: int
    seconds: float
    thresholds: tuple[float, ...]


def finetune(
    dataset: Dataset,
    parent: Checkpoint,
    run: Path,
    config: FinetuneConfig,
    *,
    name: str,
    lineage: Mapping[str, Any] | None = None,
) -> Iterator[Report]:
    """Train `parent` on `dataset`; write run/checkpoints/NAME, the state and a picture into `run`.

    A run that was stopped or killed goes on where its state was last saved, and ends with the same weights on
    the CPU as one that was not.

    Parameters
    ----------
    dataset : Dataset
        Made with `parent`.
    parent : Checkpoint
    run : Path
    config : FinetuneConfig
    name : str
        Of the checkpoint.
    lineage : mapping, optional
        More to note in the card.

    Yields
    ------
    Report
        `Notice`, `Progress` of phantoms, `FitProgress` and `Validation`, at the end `FinetuneFinished`.

    Raises
    ------
    TrainingError
        If the loss is not a number: step and block are named, the last saved state stays.
    """
    target = run / "checkpoints" / name
    if target.with_name(f"{name}.safetensors").exists():
        yield _finished(target, load_checkpoint(target)[1])
        return
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    recipe = recipe_of(parent.card)
    pool = phantom_folder(recipe)
    seeds = [PHANTOM_SEED + n for n in range(config.phantoms if config.phantom_share else 0)]
    yield from fill_pool(pool, partial(phantom_config, recipe), seeds)
    with timed(run):
        batches = _batches(dataset, recipe, config, (pool, seeds))
        model = yield from _train(dataset, parent, run, config, batches)
    card = replace(_card(dataset, parent, model), lineage=_lineage(dataset, parent, config, run, lineage))
    save_checkpoint(target, model, card)
    yield _finished(target, card)


def _train(
    dataset: Dataset,
    parent: Checkpoint,
    run: Path,
    config: FinetuneConfig,
    batches: BatchOf,
) -> Generator[Report, None, nn.Module]:
    """Run the loop with its validations; return the model on the CPU, ready for inference."""
    statistics, device = list(dataset.statistics.values()), checked_device(config.device)
    model = parent.load().to(device).requires_grad_(True)
    average = parent.load().to(device)
    original = statistics_of(model)
    crops = [read_crop(file) for file in dataset.files(held_out=True)]
    weights = LossConfig(skeleton_recall=config.skeleton_recall)
    painted = MipLossConfig(weights, config.projection, config.depth)

    def terms_of(net: nn.Module, batch: Batch | MipBatch, _step: int) -> dict[str, Tensor]:
        if batch.statistics is None:
            thaw_statistics(net)
        else:
            set_statistics(net, statistics[batch.statistics])
        if isinstance(batch, MipBatch):
            return mip_terms(net(batch.image), batch, painted)
        return segmentation_terms(net(batch.image), batch, weights)

    state = run / "state.safetensors"
    reports = fit(model, batches, terms_of, config.fit_config(), state, average=average)
    yield from watched(
        reports, lambda crop: _predict(average, crop, dataset), crops, run, config.validate_every
    )
    set_statistics(model, original)
    return model.cpu().eval()


def _predict(model: nn.Module, crop: Crop, dataset: Dataset) -> npt.NDArray[np.float32]:
    """Return the probability (z, y, x) of a crop, with the statistics of its volume."""
    kept = statistics_of(model)
    set_statistics(model, dataset.statistics[crop.volume])
    found = probability(model, crop.scaled())
    set_statistics(model, kept)
    return found


def _batches(
    dataset: Dataset, recipe: Recipe, config: FinetuneConfig, phantoms: tuple[Path, Sequence[int]]
) -> BatchOf:
    patches = replace(recipe.patches, batch=config.batch)
    labelled = _labelled(dataset, patches, config.seed)
    pool, seeds = phantoms
    if not seeds:
        return labelled
    return MixedPatches(
        labelled, PhantomPatches(pool, seeds, patches, config.seed), config.phantom_share, config.seed
    )


def _labelled(dataset: Dataset, patches: PatchConfig, seed: int) -> BatchOf:
    """Return batches of blocks, of painted projections, or of both, each by the number of its files."""
    volumes = list(dataset.statistics)
    mips = MipPatches(dataset.mip_files(), volumes, patches, seed) if dataset.mips else None
    if not dataset.training and mips is not None:
        return mips
    crops = CropPatches(dataset.files(), volumes, patches, seed)
    if mips is None:
        return crops
    share = len(dataset.mips) / (len(dataset.mips) + len(dataset.training))
    return MixedPatches(crops, mips, share, seed + 1)


def recipe_of(card: CheckpointCard) -> Recipe:
    """Return the recipe of the bundled student with the same network: its phantoms and patches."""
    network = StudentConfig.from_dict(card.config)
    for recipe in RECIPES.values():
        if recipe.model == network:
            return recipe
    raise InvalidInputError(
        "This checkpoint cannot be fine-tuned",
        value=card.name,
        limit="students with the network of " + " or ".join(one.name for one in RECIPES.values()),
        remedy="Choose another checkpoint",
    )


def phantom_folder(recipe: Recipe) -> Path:
    """Return where the phantoms of a recipe are kept between runs."""
    return platformdirs.user_cache_path("napari-vesselkd") / "phantoms" / recipe.name


def _card(dataset: Dataset, parent: Checkpoint, model: nn.Module) -> CheckpointCard:
    """Return the parent's card with what is new; each volume gets its own threshold."""
    crops = [read_crop(file) for file in (*dataset.files(), *dataset.mip_files())]
    found = [_predict(model, crop, dataset) for crop in crops]
    volumes = dict(parent.card.volumes)
    for signature, statistics in dataset.statistics.items():
        mine = [index for index, crop in enumerate(crops) if crop.volume == signature]
        if mine:
            before = parent.card.threshold_on(partial(str, signature))
            threshold = choose_threshold([crops[n] for n in mine], [found[n] for n in mine], before)
            volumes[signature] = {"statistics": statistics, "threshold": threshold}
    counts = dataset.learned_from.items()
    learned = " and ".join(f"{n} {kind}{'s' if n != 1 else ''}" for kind, n in counts)
    return replace(
        parent.card,
        description=f"{parent.card.name}, fine-tuned on {learned}",
        volumes=volumes,
        metrics={},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _lineage(
    dataset: Dataset, parent: Checkpoint, config: FinetuneConfig, run: Path, more: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "parent": parent.card.name,
        "parent_sha256": parent.card.sha256,
        "source": dataset.source,
        "blocks": list(dataset.blocks),
        "learned_from": dataset.learned_from,
        "held_out_blocks": len(dataset.held_out),
        "config": json.loads(json.dumps(asdict(config))),
        "seconds": round(seconds_of(run), 1),
        "torch": torch.__version__,
        **(more or {}),
    }


def _finished(target: Path, card: CheckpointCard) -> FinetuneFinished:
    return FinetuneFinished(
        checkpoint=str(target.with_name(f"{target.name}.safetensors")),
        name=target.name,
        parent=str(card.lineage["parent"]),
        steps=int(card.lineage["config"]["steps"]),
        seconds=float(card.lineage["seconds"]),
        thresholds=tuple(float(known["threshold"]) for known in card.volumes.values()),
    )
