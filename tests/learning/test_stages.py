"""The stages of VpbSD on a data set and on a project: what each makes, from what, going on when stopped."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    InvalidInputError,
    ProjectError,
)
from napari_vesselkd.learning import (
    Judgement,
    StagesPreflight,
    check_stages,
    distill_from,
    estimate_stages,
    pretrain_from,
    stages,
    teach_and_distill,
    teach_from,
)
from napari_vesselkd.learning.choosing import choose_teacher, preset_of
from napari_vesselkd.learning.estimate import estimate_pretraining
from napari_vesselkd.learning.stages import check_distill_from
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.project import Project
from napari_vesselkd.training.distill import DistillConfig, distill_by
from napari_vesselkd.training.presets import PRESETS
from napari_vesselkd.training.pretrain import PretrainConfig, StageFinished
from napari_vesselkd.training.teach import TeachConfig
from napari_vesselkd.volume import open_volume, write_multiscale
from stages import SIZE, SMALL, few_looks, phantom, write_data_set, write_project, write_teacher

assert few_looks
PRETRAIN = PretrainConfig(teacher=SMALL, steps=1, batch=1)
TEACH = TeachConfig(steps=2, batch=1, learning_rate=1e-4, validate_every=2)
DISTILL = DistillConfig(steps=2, batch=1, unlabelled=1, pool=1, validate_every=2)
TINY = replace(PRESETS["quick"], pretrain=PRETRAIN, teach=TEACH, distill=DISTILL)


pytestmark = pytest.mark.usefixtures("few_looks")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return str(write_teacher(tmp_path_factory.mktemp("teacher") / "taught"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return write_project(tmp_path)


def card(finished):
    return CheckpointRegistry().get(finished.checkpoint).card


def test_the_three_stages_lead_from_volumes_to_a_student_and_never_see_the_held_out_group(data, tmp_path):
    *_, first = pretrain_from(data, tmp_path / "1", PRETRAIN, held_out=("two",))
    *_, second = teach_from(data, tmp_path / "2", TEACH, first.checkpoint, held_out=("two",))
    *_, third = distill_from(data, tmp_path / "3", DISTILL, second.checkpoint, held_out=("two",))
    assert [one.stage for one in (first, second, third)] == ["pretrain", "finetune-teacher", "distill"]
    assert card(second).lineage["parent"] == "teacher-pretrained"
    assert card(third).lineage["teacher_sha256"] == card(second).sha256
    for one in (first, second, third):
        assert card(one).lineage["held_out_groups"] == ["two"]
        assert "image-1.ome.zarr" not in card(one).lineage["volumes"]
    assert card(first).lineage["volumes"] == card(third).lineage["volumes"]
    (tmp_path / "1" / "checkpoints").rename(tmp_path / "gone")  # a run keeps the teacher it began with
    *_, again = teach_from(data, tmp_path / "2", TEACH, first.checkpoint, held_out=("two",))
    assert again == second


def test_a_new_student_of_a_project_is_taught_by_its_own_teacher_and_judged(project, teacher):
    run = project / "runs" / "distill-001"
    found = list(teach_and_distill(project, run, TINY, teacher=teacher))
    assert isinstance(found[0], StagesPreflight)
    done = [one for one in found if isinstance(one, StageFinished)]
    assert [(one.stage, one.name) for one in done] == [
        ("finetune-teacher", "brain-distill-001-teacher"),
        ("distill", "brain-distill-001"),
    ]
    assert isinstance(found[-1], Judgement) and found[-1].candidate == "brain-distill-001"
    pictures = {one.picture for one in found if getattr(one, "picture", None)}
    assert {Path(one).parts[0] for one in pictures} == {"teach", "distill"}
    assert all((run / one).is_file() for one in pictures)
    with Project.open(project, write=False) as opened:
        names = {one.name for one in opened.registry.list()}
        assert {"brain-distill-001", "brain-distill-001-teacher"} <= names
        lineage = opened.registry.get("brain-distill-001").card.lineage
        assert lineage["teacher"] == "brain-distill-001-teacher" and lineage["parent"] == "student-isotropic"
    assert choose_teacher(project, "auto").card.lineage["stage"] == "finetune-teacher"
    with pytest.raises(CheckpointError, match="has a checkpoint of this name"):
        check_stages(project, run, TINY, teacher=teacher)


def test_stopped_in_either_stage_it_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch, teacher):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    project = write_project(tmp_path)
    shutil.copytree(project, tmp_path / "again" / project.name)  # the same blocks are held out there
    whole, stopped = (
        (path, path / "runs" / "distill-001") for path in (project, tmp_path / "again" / project.name)
    )
    stop_in(teach_and_distill(*stopped, TINY, teacher=teacher), 1)
    stop_in(teach_and_distill(*stopped, TINY, teacher="the run has its own by now"), 1, "finetune-teacher")
    weights = [
        Path(one.checkpoint).read_bytes()
        for task in (teach_and_distill(*whole, TINY, teacher=teacher), teach_and_distill(*stopped, TINY))
        for one in task
        if isinstance(one, StageFinished)
    ]
    assert weights[0] == weights[2] and weights[1] == weights[3]


def stop_in(reports, until, after=None):
    """Close a task at step `until`, of the stage behind the one that is named."""
    passed = after is None
    for report in reports:
        passed = passed or (isinstance(report, StageFinished) and report.stage == after)
        if passed and getattr(report, "unit", "") == "steps" and report.done >= until:
            break
    reports.close()


def test_the_estimate_says_more_for_more_work_and_what_each_part_takes(data, teacher):
    quick = estimate_stages(data, "quick", "cpu", teacher=teacher)
    published = estimate_stages(data, "published", "cpu", teacher=teacher)
    assert quick.seconds == pytest.approx(sum(quick.stages.values()))
    assert set(quick.stages) == {"teacher", "answers", "student"}
    assert published.seconds > 20 * quick.seconds and published.disk_bytes > quick.disk_bytes
    assert "cpu" in quick.text and "GB" in quick.text
    with pytest.raises(InvalidInputError, match="no such preset"):
        estimate_stages(data, "other", teacher=teacher)


def test_the_estimate_of_a_method_leaves_the_teacher_out_and_pretraining_has_its_own(data, teacher):
    both = estimate_stages(data, "evidence", "cpu", teacher=teacher)
    alone = estimate_stages(data, "evidence", "cpu", teacher=teacher, method="vpbsd")
    assert alone.stages == {**both.stages, "teacher": 0.0}
    assert estimate_stages(data, "evidence", "cpu", teacher=teacher, method="baseline").stages["answers"] == 0
    with pytest.raises(InvalidInputError, match="no such method"):
        estimate_stages(data, "evidence", "cpu", teacher=teacher, method="other")
    more = replace(preset_of("evidence"), distill=replace(preset_of("evidence").distill, accumulate=3))
    thrice = estimate_stages(data, more, "cpu", teacher=teacher)
    assert thrice.stages == {**both.stages, "student": pytest.approx(3 * both.stages["student"])}
    quick, published = (estimate_pretraining(preset, "cpu") for preset in ("quick", "published"))
    assert set(quick.stages) == {"pretrain"} and quick.seconds == quick.stages["pretrain"]
    assert published.seconds > 20 * quick.seconds and published.ram_bytes > quick.ram_bytes


def test_every_stage_says_first_what_it_will_take(data, teacher, tmp_path, monkeypatch):
    """Nothing is read before it, so that who started weeks of work on a CPU by mistake sees it at once."""
    monkeypatch.setattr(stages, "_material", lambda *_: pytest.fail("It began before it said so"))
    published = PRESETS["published"]
    starts = {
        "pretrain": pretrain_from(data, tmp_path / "1", replace(published.pretrain, device="cpu")),
        "teacher": teach_from(data, tmp_path / "2", replace(TEACH, device="cpu"), teacher),
        "student": distill_from(data, tmp_path / "3", replace(DISTILL, device="cpu"), teacher),
        "baseline": distill_from(
            data, tmp_path / "4", replace(DISTILL, device="cpu", method="baseline"), None
        ),
    }
    first = {name: next(iter(reports)) for name, reports in starts.items()}
    assert all(isinstance(one, StagesPreflight) for one in first.values())
    assert re.match(r"About \d{2,} h on cpu, .* GB of memory, .* MB of disk", first["pretrain"].text)
    assert first["pretrain"].stages.keys() == {"pretrain"}
    assert first["teacher"].stages.keys() == {"teacher"} and first["teacher"].seconds > 0
    asked, plain = first["student"], first["baseline"]
    assert asked.stages["answers"] > 0 == plain.stages["answers"] and asked.stages["teacher"] == 0
    assert asked.stages["student"] == plain.stages["student"] > 0
    assert asked.disk_bytes > plain.disk_bytes > 0 and asked.ram_bytes > plain.ram_bytes


def test_a_preset_of_vpbsd_does_for_other_methods():
    evidence = preset_of("evidence").distill
    assert evidence.options == {"soft": True, "pseudo_cross_entropy": 1.0}
    assert distill_by(evidence, "kd") == replace(evidence, method="kd", options={})
    assert distill_by(evidence, "vpbsd") == evidence


def test_a_teacher_is_chosen_by_name_path_or_age_and_nothing_else_is_taken_for_one(project, tmp_path):
    with pytest.raises(CheckpointError, match="not the teacher that is needed"):
        choose_teacher(project, "student-isotropic")
    with pytest.raises(CheckpointNotFoundError):
        choose_teacher(project, "nowhere.safetensors")
    with pytest.raises(InvalidInputError, match="A teacher is needed"):
        choose_teacher(project, None)
    with Project.open(project, write=False) as opened:
        opened.registry.import_(write_teacher(tmp_path / "mine", "pretrain"))
    assert choose_teacher(project, "auto").card.name == "mine"


def test_networks_and_patch_that_do_not_fit_are_refused_before_a_run_on_a_project(project, teacher, tmp_path):
    run = tmp_path / "run"
    narrow = str(
        write_teacher(tmp_path / "narrow", config=replace(SMALL, quantiser=QuantiserConfig(width=16)))
    )
    with pytest.raises(InvalidInputError, match="32 and 16"):
        check_stages(project, run, TINY, teacher=narrow)
    with pytest.raises(InvalidInputError, match="32 and 16"):
        check_distill_from(project, run, DISTILL, narrow)
    odd = replace(DISTILL, patch=(40, 64, 64))
    with pytest.raises(InvalidInputError, match="does not fit the student"):
        check_stages(project, run, replace(TINY, distill=odd), teacher=teacher)
    with pytest.raises(InvalidInputError, match="does not fit the student"):
        check_distill_from(project, run, replace(odd, method="baseline"), None)
    check_distill_from(project, run, DISTILL, teacher)


def test_a_project_without_corrections_and_groups_of_a_project_are_refused(tmp_path, teacher):
    write_multiscale(tmp_path / "a.ome.zarr", phantom(0).image, voxel_size_um=SIZE, levels=1)
    with open_volume(tmp_path / "a.ome.zarr") as volume:
        Project.create(tmp_path / "a.vesselkd", volume).close()
    with pytest.raises(ProjectError, match="no accepted block"):
        check_stages(tmp_path / "a.vesselkd", tmp_path / "run", TINY, teacher=teacher)
    with pytest.raises(InvalidInputError, match="holds out blocks, not groups"):
        list(pretrain_from(tmp_path / "a.vesselkd", tmp_path / "run", PRETRAIN, held_out=("one",)))
