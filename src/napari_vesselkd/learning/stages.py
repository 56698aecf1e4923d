"""The stages of VpbSD on a DATASET.csv or a project: pretrain, fine-tune the teacher, distil; two in one go.

Each call works in a folder of its own and goes on there when it is made again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import CheckpointNotFoundError, InvalidInputError, OutputError
from napari_vesselkd.learning.choosing import choose_teacher, network_of, preset_of, student_in_use
from napari_vesselkd.learning.estimate import (
    StagesPreflight,
    estimate_distilling,
    estimate_pretraining,
    estimate_stages,
    estimate_teaching,
)
from napari_vesselkd.learning.gate import judge
from napari_vesselkd.learning.turn import (
    check_free_name,
    is_project,
    kept_copy,
    name_of,
    registry_of,
    voxel_size_of,
)
from napari_vesselkd.models import ranks
from napari_vesselkd.models.devices import checked_device
from napari_vesselkd.project import Project
from napari_vesselkd.reports import Notice, Report
from napari_vesselkd.training.dataset import Dataset, check_source, copy_dataset
from napari_vesselkd.training.distill import DistillConfig, check_distill, distill
from napari_vesselkd.training.pairing import check_networks
from napari_vesselkd.training.presets import Preset
from napari_vesselkd.training.pretrain import PretrainConfig, StageFinished, pretrain
from napari_vesselkd.training.sources import Material, material_of_csv, material_of_project
from napari_vesselkd.training.teach import TeachConfig, teach
from napari_vesselkd.volume import output_errors

Config = TypeVar("Config", PretrainConfig, TeachConfig, DistillConfig)
Groups = Sequence[str]

__all__ = [
    "StagesPreflight",
    "check_distill_from",
    "check_pretrain",
    "check_stages",
    "check_teach",
    "choose_teacher",
    "distill_from",
    "estimate_pretraining",
    "estimate_stages",
    "estimate_teaching",
    "preset_of",
    "pretrain_from",
    "teach_and_distill",
    "teach_from",
]


def pretrain_from(
    source: str | Path, run: str | Path, config: PretrainConfig | None = None, *, held_out: Groups = ()
) -> Iterator[Report]:
    """Pretrain a teacher on the images of a DATASET.csv or of a project; labels are not looked at.

    Parameters
    ----------
    source : str or Path
        DATASET.csv or PROJECT.vesselkd.
    run : str or Path
        Folder of the run.
    config : PretrainConfig, optional
    held_out : sequence of str
        Groups of a DATASET.csv that are not learned from.

    Yields
    ------
    Report
        First the `StagesPreflight`, then as `training.pretrain.pretrain`; the checkpoint is added to the
        project.

    Raises
    ------
    InvalidInputError, ProjectError, SourceNotFoundError
        If the source cannot be learned from.
    TrainingError
        If the loss is not a number.
    OutputError
        If the disk is full; the last saved state stays.
    """
    run = Path(run)
    config = _named(config or PretrainConfig(), source, run)
    with output_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        yield estimate_pretraining(config, config.device)
        with _material(source, None, config.upper, held_out) as material:
            yield from _added(source, pretrain(material, run, config))


def teach_from(
    source: str | Path,
    run: str | Path,
    config: TeachConfig | None = None,
    parent: str = "auto",
    *,
    held_out: Groups = (),
) -> Iterator[Report]:
    """Fine-tune a teacher on the labels of a DATASET.csv or on the corrections of a project.

    Parameters
    ----------
    parent : str
        Name or path of the teacher to start from; "auto": see `choose_teacher`.

    See `pretrain_from` for the rest.
    """
    run = Path(run)
    config = _named(config or TeachConfig(), source, run)
    ranks.join()
    with output_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        with ranks.first_before_others():
            start = kept_copy(run / "parent.safetensors", lambda: choose_teacher(source, parent))
        yield estimate_teaching(start, config)
        yield from _copied(source, run, start)
        with _material(source, run / "data", _upper(start), held_out) as material:
            yield from _added(source, teach(material, start, run, config))


def distill_from(
    source: str | Path,
    run: str | Path,
    config: DistillConfig | None = None,
    teacher: str | None = "auto",
    *,
    held_out: Groups = (),
) -> Iterator[Report]:
    """Teach a student by one of `distillation.METHODS`; for projects the gate judges it.

    Parameters
    ----------
    teacher : str, optional
        Name or path of the fine-tuned teacher; "auto": see `choose_teacher`. Methods without a teacher do not
        look at it.

    See `pretrain_from` for the rest.
    """
    run = Path(run)
    config = _named(config or DistillConfig(), source, run)
    with output_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        chosen = None
        if METHODS[config.method].needs_teacher:
            chosen = kept_copy(run / "teacher.safetensors", lambda: choose_teacher(source, teacher))
        yield estimate_distilling(chosen, config)
        yield from _copied(source, run, chosen, upper=config.upper)
        upper = config.upper if chosen is None else _upper(chosen)
        with _material(source, run / "data", upper, held_out) as material:
            yield from _added(source, distill(material, chosen, run, config))
        yield from _judged(source, config.name)


def teach_and_distill(
    source: str | Path,
    run: str | Path,
    preset: str | Preset = "quick",
    *,
    teacher: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Iterator[Report]:
    """Fine-tune the teacher on what there are labels of, then distil a new student from it.

    The corrections of a project are copied once into run/data; run/teach and run/distill are the folders of
    the stages. Both checkpoints are added to the project, which the gate ends with.

    Parameters
    ----------
    source : str or Path
        PROJECT.vesselkd or DATASET.csv.
    run : str or Path
        Folder of the run.
    preset : str or Preset
        One of `training.presets.PRESETS`.
    teacher : str
        See `choose_teacher`.
    seed : int
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".

    Yields
    ------
    Report
        First the `StagesPreflight`, then those of both stages, pictures with their path in `run`; for
        projects at the end `Judgement`.

    Raises
    ------
    See `pretrain_from`; CheckpointError, CheckpointNotFoundError for the teacher.
    """
    run, chosen = Path(run), preset_of(preset)
    name = name_of(source, run, whole=True)
    with output_errors(run):
        run.mkdir(parents=True, exist_ok=True)
        parent = kept_copy(run / "parent.safetensors", lambda: choose_teacher(source, teacher))
        yield estimate_stages(source, chosen, device, teacher=str(parent.path))
        student = student_in_use(source, run, chosen)
        yield from _copied(source, run, parent)
        with _material(source, run / "data", _upper(parent)) as material:
            yield Notice(f"1 of 2: fine-tuning the teacher, from {parent.card.name}")
            teach_config = replace(chosen.teach, name=f"{name}-teacher", seed=seed, device=device)
            reports = _added(source, teach(material, parent, run / "teach", teach_config))
            taught = yield from _inside("teach", reports)
            yield Notice(f"2 of 2: distilling a new student{_from(student)}")
            config = replace(chosen.distill, name=name, seed=seed, device=device)
            if student is not None:
                config = replace(config, student=network_of(student))
            found = CheckpointRegistry().get(taught.checkpoint)
            yield from _inside(
                "distill",
                _added(source, distill(material, found, run / "distill", config, start=student)),
            )
        yield from _judged(source, name)


def check_pretrain(
    source: str | Path, run: str | Path, config: PretrainConfig, *, held_out: Groups = ()
) -> None:
    """Raise at once what `pretrain_from` would raise in a new run after a while."""
    checked_device(config.device)
    check_free_name(source, _named(config, source, Path(run)).name)
    with _material(source, None, config.upper, held_out):
        pass


def check_teach(
    source: str | Path, run: str | Path, config: TeachConfig, parent: str, *, held_out: Groups = ()
) -> None:
    """Raise at once what `teach_from` would raise in a new run after a while."""
    checked_device(config.device)
    check_free_name(source, _named(config, source, Path(run)).name)
    start = choose_teacher(source, parent)
    start.load()
    _check_labels(source, _upper(start), held_out)


def check_distill_from(
    source: str | Path,
    run: str | Path,
    config: DistillConfig,
    teacher: str | None,
    *,
    held_out: Groups = (),
) -> None:
    """Raise at once what `distill_from` would raise in a new run after a while."""
    checked_device(config.device)
    check_free_name(source, _named(config, source, Path(run)).name)
    chosen: Checkpoint | None = None
    loaded: Any = None
    if METHODS[config.method].needs_teacher:
        chosen = choose_teacher(source, teacher)
        loaded = chosen.load()
    if is_project(source):
        check_source(source)
    else:
        with material_of_csv(Path(source), upper=config.upper, held_out=held_out) as material:
            check_distill(material, chosen, config)
    check_networks(voxel_size_of(source), loaded, config)


def check_stages(
    source: str | Path,
    run: str | Path,
    preset: str | Preset = "quick",
    *,
    teacher: str = "auto",
    device: str = "auto",
) -> None:
    """Raise at once what `teach_and_distill` would raise in a new run after a while."""
    chosen = preset_of(preset)
    checked_device(device)
    name = name_of(source, Path(run), whole=True)
    for one in (name, f"{name}-teacher"):
        check_free_name(source, one)
    start = choose_teacher(source, teacher)
    loaded: Any = start.load()
    check_networks(voxel_size_of(source), loaded, chosen.distill)
    _check_labels(source, _upper(start), ())


def _from(student: Checkpoint | None) -> str:
    return "" if student is None else f", beginning with {student.card.name}"


def _upper(checkpoint: Checkpoint) -> float:
    return float(checkpoint.card.intensity["upper"])


def _named(config: Config, source: str | Path, run: Path) -> Config:
    """Return `config`; a name that was not chosen is made from those of a project and its run."""
    default = next(field.default for field in fields(config) if field.name == "name")
    if is_project(source) and config.name == default:
        return replace(config, name=name_of(source, run, whole=True))
    return config


def _copied(
    source: str | Path, run: Path, checkpoint: Checkpoint | None, *, upper: float = 95.0
) -> Iterator[Report]:
    """Copy a project's corrections into run/data, with the intensity window of `checkpoint`."""
    if is_project(source):
        window = {"lower": 0.0, "upper": upper} if checkpoint is None else checkpoint.card.intensity
        yield from copy_dataset(source, run / "data", window)


@contextmanager
def _material(
    source: str | Path, data: Path | None, upper: float, held_out: Groups = ()
) -> Iterator[Material]:
    """Open what there is to learn from; without `data`, the images alone."""
    if not is_project(source):
        labels = data is not None
        with material_of_csv(Path(source), upper=upper, held_out=held_out, labels=labels) as material:
            yield material
        return
    _check_no_groups(held_out)
    crops = Dataset(Path(), (), (), {}, (), 0, 0, str(source)) if data is None else Dataset.read(data)
    if crops is None:
        raise OutputError("The run's data is gone", value=data, remedy="Start a new run")
    with material_of_project(Path(source), crops, upper=upper) as material:
        yield material


def _check_labels(source: str | Path, upper: float, held_out: Groups) -> None:
    """Raise what opening the labels would raise."""
    if is_project(source):
        _check_no_groups(held_out)
        check_source(source)
        return
    with material_of_csv(Path(source), upper=upper, held_out=held_out):
        pass


def _check_no_groups(held_out: Groups) -> None:
    if held_out:
        raise InvalidInputError(
            "A project holds out blocks, not groups",
            value=", ".join(held_out),
            remedy="Leave --hold-out away; of the accepted blocks some are held out already",
        )


def _added(source: str | Path, reports: Iterator[Report]) -> Iterator[Report]:
    """Pass the reports of a stage on; add its checkpoint to the project."""
    for report in reports:
        if isinstance(report, StageFinished) and is_project(source):
            registry = registry_of(source)
            try:
                registry.get(report.name)
            except CheckpointNotFoundError:
                registry.import_(report.checkpoint)
        yield report


def _inside(folder: str, reports: Iterator[Report]) -> Generator[Report, None, StageFinished]:
    """Pass the reports of a stage on, with the path of their pictures in the run; return its result."""
    last: Any = None
    for last in reports:
        picture = getattr(last, "picture", None)
        yield last if picture is None else replace(last, picture=f"{folder}/{picture}")
    assert isinstance(last, StageFinished)  # noqa: S101  (what every stage ends with)
    return last


def _judged(source: str | Path, name: str) -> Iterator[Report]:
    if is_project(source):
        with Project.open(source, write=False) as project:
            yield from judge(project, name)
