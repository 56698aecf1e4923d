"""One turn of the loop: copy what there is to learn from, fine-tune, keep the checkpoint, judge it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.checkpoints.card import CheckpointCard
from napari_vesselkd.errors import CheckpointError, CheckpointNotFoundError, InvalidInputError, OutputError
from napari_vesselkd.geometry import VoxelSize, parse_voxel_size
from napari_vesselkd.learning.gate import judge
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Report
from napari_vesselkd.training.dataset import Dataset, check_source, copy_dataset
from napari_vesselkd.training.finetune import FinetuneConfig, FinetuneFinished, finetune, recipe_of
from napari_vesselkd.training.rows import read_rows
from napari_vesselkd.volume import open_volume, output_errors

PARENT = "parent"


def learn(
    source: str | Path, run: str | Path, config: FinetuneConfig | None = None, *, parent: str = "auto"
) -> Iterator[Report]:
    """Fine-tune a student on what is accepted in a project, or on the volumes of a DATASET.csv.

    The same call again goes on where an earlier one was stopped or killed. Everything that decides the
    weights is copied into `run` first. The new checkpoint is added to the project and judged on its held-out
    blocks; whether it is promoted is up to people.

    Parameters
    ----------
    source : str or Path
        PROJECT.vesselkd or DATASET.csv.
    run : str or Path
        Folder of the run.
    config : FinetuneConfig, optional
    parent : str
        Checkpoint to start from: a name, a path, or "auto": the project's current one, else the bundled one
        for the voxel size.

    Yields
    ------
    Report
        `Notice`, `Progress`, `FitProgress`, `Validation`, `FinetuneFinished`; for projects also `Judgement`.

    Raises
    ------
    ProjectError, InvalidInputError
        If there is nothing to learn from, or the checkpoint does not fit the voxel size.
    TrainingError
        If the loss is not a number.
    OutputError
        If the disk is full; nothing is half-written.
    """
    run, config = Path(run), config or FinetuneConfig()
    with output_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        start = kept_copy(run / f"{PARENT}.safetensors", lambda: choose_student(source, parent))
        group, learn_from = config.held_out_group, config.learn_from
        yield from copy_dataset(source, run / "data", start, held_out_group=group, learn_from=learn_from)
        dataset = Dataset.read(run / "data")
        if dataset is None:
            raise OutputError("The run's data is gone", value=run / "data", remedy="Start a new run")
        name = config.name or name_of(source, run)
        lineage = {"run": str(run)}
        for report in finetune(dataset, start, run, config, name=name, lineage=lineage):
            yield report
            if isinstance(report, FinetuneFinished) and is_project(source):
                yield from _add_and_judge(Path(source), report)


def check(
    source: str | Path, run: str | Path, config: FinetuneConfig | None = None, *, parent: str = "auto"
) -> None:
    """Raise at once what `learn` would raise in a new run after a while: see there.

    Raises
    ------
    CheckpointError
        If the project has a checkpoint of the name that the new one would get.
    """
    config = config or FinetuneConfig()
    recipe_of(choose_student(source, parent).card)
    checked_device(config.device)
    check_source(source, held_out_group=config.held_out_group, learn_from=config.learn_from)
    check_free_name(source, config.name or name_of(source, Path(run)))


def is_project(source: str | Path) -> bool:
    """Whether a source is a project folder, by its ending."""
    return str(source).rstrip("/\\").endswith(".vesselkd")


def check_voxel_size(card: CheckpointCard, voxel_size_um: VoxelSize) -> None:
    """Raise InvalidInputError if a checkpoint is meant for voxels of another shape, (z, y, x) in um."""
    low, high = (float(bound) for bound in card.voxel_size_um["anisotropy"])
    z, y, x = voxel_size_um
    ratio = z / (y * x) ** 0.5
    if not low * 0.8 <= ratio <= high * 1.25:
        raise InvalidInputError(
            "The checkpoint is made for voxels of another shape",
            value=f"{card.name}; here z is {ratio:.2g} times the in-plane size ({z:g}, {y:g}, {x:g} um)",
            limit=f"z {low:g} to {min(high, 20):g} times the in-plane size",
            remedy="Choose another checkpoint, or correct the voxel size",
        )


def _add_and_judge(source: Path, report: FinetuneFinished) -> Iterator[Report]:
    with Project.open(source, write=False) as project:
        try:
            project.registry.get(report.name)
        except CheckpointNotFoundError:
            project.registry.import_(report.checkpoint)
        yield from judge(project, report.name)


def check_free_name(source: str | Path, name: str) -> None:
    """Raise CheckpointError if a project has a checkpoint of this name."""
    if is_project(source) and any(card.name == name for card in registry_of(source).list()):
        raise CheckpointError(
            "The project has a checkpoint of this name already",
            value=name,
            remedy="Give the new one another name (name, on the command line --set name=NAME)",
        )


def registry_of(source: str | Path) -> CheckpointRegistry:
    """Return the checkpoints of a project, or those of the user."""
    if not is_project(source):
        return CheckpointRegistry()
    with Project.open(source, write=False) as project:
        return project.registry


def kept_copy(copy: Path, chosen: Callable[[], Checkpoint]) -> Checkpoint:
    """Return the run's own copy of a checkpoint, which is chosen at the run's first start."""
    registry = CheckpointRegistry()
    with suppress(CheckpointNotFoundError, CheckpointError):
        return registry.get(str(copy))
    for part in (copy, copy.with_suffix(".json")):  # half a copy, of a run that was killed there
        part.unlink(missing_ok=True)
    registry.export(str(chosen().path), copy)
    return registry.get(str(copy))


def choose_student(source: str | Path, parent: str) -> Checkpoint:
    """Return the student to start from, for "auto" the one in use; InvalidInputError for other voxels."""
    if not is_project(source):
        read_rows(Path(source))  # without a label there is nothing to learn from, whatever the images are
    registry, size, name = registry_of(source), voxel_size_of(source), parent
    if is_project(source) and name == "auto":
        with Project.open(source, write=False) as project:
            name = project.current
    found = registry.choose(size) if name == "auto" else registry.get(name)
    check_voxel_size(found.card, size)
    return found


def voxel_size_of(source: str | Path) -> VoxelSize:
    """Return the voxel size (z, y, x) in um of a project's image, or of the first one of a DATASET.csv."""
    if is_project(source):
        with Project.open(source, write=False) as project:
            return project.image.voxel_size_um
    path = Path(source)
    row = read_rows(path, unlabelled=True)[0]
    if row["voxel_size_um"]:
        return parse_voxel_size(row["voxel_size_um"])
    with open_volume(path.parent / row["image"]) as volume:
        return volume.voxel_size_um


def name_of(source: str | Path, run: Path, *, whole: bool = False) -> str:
    """Return a checkpoint name from those of the project or file and of the run: brain-001.

    With `whole`, the run's whole name: brain-distill-001.
    """
    number = run.name.rsplit("-", 1)[-1]
    name = f"{Path(source).stem}-{number if number.isdigit() and not whole else run.name}"
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-._") or "finetuned"
