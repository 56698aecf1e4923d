"""What ``vesselkd pretrain``, ``distill``, and ``finetune`` of a teacher do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from napari_vesselkd.cli.settings import assignment, build_config, differences
from napari_vesselkd.cli.training_jobs import absolute, absolute_checkpoint, plain, source_of
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.learning import is_project
from napari_vesselkd.learning.stages import (
    check_distill_from,
    check_pretrain,
    check_stages,
    check_teach,
    distill_from,
    preset_of,
    pretrain_from,
    teach_and_distill,
    teach_from,
)
from napari_vesselkd.reports import Report
from napari_vesselkd.training.distill import DistillConfig, distill_by
from napari_vesselkd.training.presets import Preset
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig

PUBLISHED, QUICK = "published", "quick"
Config = TypeVar("Config")


@dataclass(frozen=True)
class StageRequest:
    """What the requests of all stages hold.

    Attributes
    ----------
    source : Path
        PROJECT.vesselkd or DATASET.csv.
    run : Path
        The run folder.
    preset : str
        What the settings started from.
    held_out : tuple of str
        Groups that are not learned from.
    """

    kind: ClassVar[str]
    source: Path
    run: Path
    preset: str
    held_out: tuple[str, ...]

    @property
    def base(self) -> Any:
        """The preset's settings of this stage."""
        raise NotImplementedError

    @property
    def chosen(self) -> Any:
        """The settings."""
        raise NotImplementedError

    def options(self) -> dict[str, str]:
        """Return the options beside preset and settings, by name."""
        return {}

    def settings(self) -> dict[str, Any]:
        return {
            "source": source_of(self.source, self.run),
            "preset": self.preset,
            **({"hold-out": list(self.held_out)} if self.held_out else {}),
            **self.options(),
            **plain(asdict(self.chosen)),
        }

    def command(self) -> list[str]:
        words = [self.kind, str(self.source), "--out", str(self.run), "--preset", self.preset]
        for name, value in self.options().items():
            words += [f"--{name}", value]
        for group in self.held_out:
            words += ["--hold-out", group]
        for name, value in differences(self.chosen, self.base):
            words += ["--set", assignment(name, value)]
        return words


@dataclass(frozen=True)
class PretrainRequest(StageRequest):
    """Pretrain a teacher."""

    kind = "pretrain"
    config: PretrainConfig

    @property
    def base(self) -> PretrainConfig:
        return preset_of(self.preset).pretrain

    @property
    def chosen(self) -> PretrainConfig:
        return self.config

    def check(self) -> None:
        check_pretrain(self.source, self.run, self.config, held_out=self.held_out)

    def task(self) -> Iterator[Report]:
        return pretrain_from(self.source, self.run, self.config, held_out=self.held_out)


@dataclass(frozen=True)
class TeachRequest(StageRequest):
    """Fine-tune a teacher."""

    kind = "finetune"
    parent: str
    config: TeachConfig

    @property
    def base(self) -> TeachConfig:
        return preset_of(self.preset).teach

    @property
    def chosen(self) -> TeachConfig:
        return self.config

    def options(self) -> dict[str, str]:
        return {"from": self.parent}

    def check(self) -> None:
        check_teach(self.source, self.run, self.config, self.parent, held_out=self.held_out)

    def task(self) -> Iterator[Report]:
        return teach_from(self.source, self.run, self.config, self.parent, held_out=self.held_out)


@dataclass(frozen=True)
class DistillRequest(StageRequest):
    """Distil a student; without a teacher where the method needs none."""

    kind = "distill"
    teacher: str | None
    config: DistillConfig

    @property
    def base(self) -> DistillConfig:
        return distill_by(preset_of(self.preset).distill, self.config.method)

    @property
    def chosen(self) -> DistillConfig:
        return self.config

    def options(self) -> dict[str, str]:
        found = {"method": self.config.method}
        return found if self.teacher is None else {**found, "teacher": self.teacher}

    def check(self) -> None:
        check_distill_from(self.source, self.run, self.config, self.teacher, held_out=self.held_out)

    def task(self) -> Iterator[Report]:
        return distill_from(self.source, self.run, self.config, self.teacher, held_out=self.held_out)


@dataclass(frozen=True)
class StagesRequest(StageRequest):
    """Fine-tune the teacher on a project, then distil a new student."""

    kind = "distill"
    teacher: str
    config: Preset

    @property
    def base(self) -> Preset:
        return preset_of(self.preset)

    @property
    def chosen(self) -> Preset:
        return self.config

    def options(self) -> dict[str, str]:
        return {} if self.teacher == "auto" else {"teacher": self.teacher}

    def check(self) -> None:
        device = self.config.distill.device
        check_stages(self.source, self.run, self.config, teacher=self.teacher, device=device)

    def task(self) -> Iterator[Report]:
        one = self.config.distill
        return teach_and_distill(
            self.source, self.run, self.config, teacher=self.teacher, seed=one.seed, device=one.device
        )


@dataclass(frozen=True)
class Given:
    """The options that the commands share, as they were given."""

    preset: str | None
    hold_out: Sequence[str]
    settings: Sequence[str] | None
    file: str | None
    device: str | None

    def config(self, kind: type[Config], command: str, base: Config, **named: Any) -> Config:
        """Return `base` with what was given."""
        return build_config(kind, command, self.file, self.settings, base=base, device=self.device, **named)


def pretrain_request(source: str, given: Given) -> Callable[[Path], PretrainRequest]:
    """Return what makes the request for a run folder."""
    name = given.preset or PUBLISHED
    config = given.config(PretrainConfig, "pretrain", preset_of(name).pretrain)
    place, groups = absolute(source), tuple(given.hold_out)
    return lambda run: PretrainRequest(place, run, name, groups, config)


def teach_request(source: Path, parent: str, given: Given) -> Callable[[Path], TeachRequest]:
    """Return what makes the request for a run folder."""
    name = given.preset or PUBLISHED
    config = given.config(TeachConfig, "finetune", preset_of(name).teach)
    groups = tuple(given.hold_out)
    return lambda run: TeachRequest(source, run, name, groups, parent, config)


def distill_request(
    source: str, teacher: str | None, method: str | None, given: Given
) -> Callable[[Path], DistillRequest | StagesRequest]:
    """Return what makes the request for a run folder: of both stages for a project without a method."""
    place, groups = absolute(source), tuple(given.hold_out)
    chosen = None if teacher is None else absolute_checkpoint(teacher)
    if is_project(source) and method is None:
        if groups:
            raise InvalidInputError(
                "A project holds out blocks, not groups",
                value=", ".join(groups),
                remedy="Leave --hold-out away; of the accepted blocks some are held out already",
            )
        return _stages_request(place, chosen or "auto", given)
    name = given.preset or PUBLISHED
    base = preset_of(name).distill
    base = base if method is None else distill_by(base, method)
    config = given.config(DistillConfig, "distill", base)
    own = chosen or ("auto" if is_project(source) else None)
    return lambda run: DistillRequest(place, run, name, groups, own, config)


def _stages_request(source: Path, teacher: str, given: Given) -> Callable[[Path], StagesRequest]:
    name = given.preset or QUICK
    config = build_config(Preset, "distill", given.file, given.settings, base=preset_of(name))
    if given.device is not None:
        config = replace(config, distill=replace(config.distill, device=given.device))
    return lambda run: StagesRequest(source, run, name, (), teacher, config)
