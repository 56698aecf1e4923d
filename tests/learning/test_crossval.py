"""Cross-validation: folds by group, cells that are finished once, shared and gone on with, and its tables."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from napari_vesselkd.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    InvalidInputError,
    TrainingError,
    VesselKDError,
)
from napari_vesselkd.learning import costs
from napari_vesselkd.learning import crossval as module
from napari_vesselkd.learning.cells import CrossvalConfig
from napari_vesselkd.learning.crossval import (
    CellFinished,
    CrossvalFinished,
    Working,
    check_crossval,
    crossval,
)
from napari_vesselkd.learning.folds import folds_of, write_rows
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher
from napari_vesselkd.training.distill import DistillConfig
from napari_vesselkd.training.pretrain import PretrainConfig
from napari_vesselkd.training.teach import TeachConfig
from napari_vesselkd.volume import write_multiscale
from stages import FEW_WINDOWS, HEADER, SIZE, SMALL, few_looks, write_data_set, write_teacher

assert few_looks
pytestmark = pytest.mark.usefixtures("few_looks")
STAGES = {
    "pretrain": PretrainConfig(teacher=SMALL, steps=1, batch=1),
    "teach": TeachConfig(steps=1, batch=1),
    "distill": DistillConfig(steps=2, batch=1, unlabelled=1, pool=1, options={"soft": False}),
}
ALONE = CrossvalConfig(methods=("baseline",), folds=2, seeds=1, threads=1, **STAGES)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("data"))


def cells(out):
    return {path.stem: json.loads(path.read_text()) for path in (out / "cells").glob("*.json")}


def scores(found):
    """Return the scores of cells, without the times that were measured."""
    return {
        name: [{key: value for key, value in one.items() if key != "seconds"} for one in cell["volumes"]]
        for name, cell in found.items()
        if "volumes" in cell
    }


def table(folder, *rows):
    path = folder / "data.csv"
    path.write_text(HEADER + "".join(f"{row},\n" for row in rows))
    return path


def test_folds_keep_groups_together_hold_each_out_once_and_are_about_equal(tmp_path):
    path = table(tmp_path, *(f"{n}.tif,l{n}.tif,g{n % 4}" for n in range(8)), "9.tif,,other", "8.tif,,g0")
    folds = folds_of(path, 2)
    assert [len(fold.held_out) for fold in folds] == [4, 4]
    assert sorted(group for fold in folds for group in fold.groups) == ["g0", "g1", "g2", "g3"]
    for fold in folds:
        assert not {row["group"] for row in fold.training} & set(fold.groups)
        assert "9.tif" in {row["image"] for row in fold.training}
    assert folds_of(path, 4) == folds_of(path, 4)


@pytest.mark.parametrize(
    ("groups", "count", "message"),
    [
        ("aaaa", 2, "one group with labels only"),
        ("aabb", 3, "not as many groups with labels as folds: 3 folds, 2 groups"),
        ("aabb", 1, "One fold holds nothing out"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(tmp_path, groups, count, message):
    path = table(tmp_path, *(f"{n}.tif,l{n}.tif,{group}" for n, group in enumerate(groups)))
    with pytest.raises(InvalidInputError, match=message):
        folds_of(path, count)


def test_labels_beyond_the_limit_are_left_out_by_the_seed_and_never_of_what_is_scored(tmp_path):
    path = table(tmp_path, *(f"{n}.tif,l{n}.tif,g{n % 5}" for n in range(20)))
    fold = folds_of(path, 5)[0]

    def kept(seed):
        return [
            row["image"] for row in fold.rows(seed, 6) if row["label"] and row["group"] not in fold.groups
        ]

    assert len(kept(0)) == 6 and kept(0) == kept(0)
    assert len({tuple(kept(seed)) for seed in range(5)}) > 1
    rows = fold.rows(0, 6)
    assert len(rows) == 20 and all(row["label"] for row in rows if row["group"] in fold.groups)


def test_a_data_set_that_changed_meanwhile_is_refused(tmp_path):
    path = table(tmp_path, "1.tif,l1.tif,a", "2.tif,l2.tif,b")
    rows = folds_of(path, 2)[0].rows(0, None)
    write_rows(rows, path, tmp_path / "out" / "dataset.csv")
    write_rows(rows, path, tmp_path / "out" / "dataset.csv")
    with pytest.raises(InvalidInputError, match="data set has changed"):
        write_rows(rows[:1], path, tmp_path / "out" / "dataset.csv")


def test_every_method_teacher_and_threshold_are_scored_on_what_none_of_them_learned_from(data, tmp_path):
    config = replace(ALONE, methods=("baseline", "vpbsd"))
    found = list(crossval(data, tmp_path, config))
    assert isinstance(found[-1], CrossvalFinished) and not found[-1].failed
    done = cells(tmp_path)
    assert [one.cell for one in found if isinstance(one, CellFinished)] == [
        *("fold-1-threshold", "fold-2-threshold"),
        *(f"fold-{n}-seed-0-{what}" for n in (1, 2) for what in ("teacher", "baseline", "vpbsd")),
    ]
    for what in ("threshold", "seed-0-teacher", "seed-0-baseline", "seed-0-vpbsd"):
        held_out = [one["volume"] for n in (1, 2) for one in done[f"fold-{n}-{what}"]["volumes"]]
        assert sorted(held_out) == [f"image-{n}.ome.zarr" for n in range(4)]
    for fold in (1, 2):
        scored = {one["volume"] for one in done[f"fold-{fold}-seed-0-vpbsd"]["volumes"]}
        for name in ("teacher/pretrain/checkpoints/pretrained", "vpbsd/checkpoints/vpbsd"):
            card = json.loads((tmp_path / f"fold-{fold}" / "seed-0" / f"{name}.json").read_text())
            learned = {one.rsplit("/", 1)[-1] for one in card["lineage"]["volumes"]}
            assert learned and not scored & learned
    assert set(done["costs"]["costs"]) == {"student", "teacher"}
    assert done["costs"]["costs"]["student"]["parameters"] == 122_349
    assert "VpbSD" in found[-1].table and "122,349" in found[-1].table
    assert {Path(one).suffix for one in found[-1].files} == {".md", ".csv", ".json", ".png"}
    assert all(Path(one).stat().st_size for one in found[-1].files)
    assert not list(tmp_path.rglob("state.safetensors")) and not list(tmp_path.rglob("answers"))


def test_what_is_finished_stays_and_what_is_missing_is_made_again_with_equal_scores(data, tmp_path):
    list(crossval(data, tmp_path, ALONE))
    before = cells(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    again = list(crossval(data, tmp_path, ALONE))
    assert [type(one) for one in again] == [CrossvalFinished]
    gone = tmp_path / "cells" / "fold-1-seed-0-baseline.json"
    gone.unlink()
    (tmp_path / "fold-1" / "seed-0" / "baseline" / "checkpoints" / "baseline.safetensors").unlink()
    list(crossval(data, tmp_path, ALONE))
    assert scores(cells(tmp_path)) == scores(before)
    remade = {path for path, time in kept.items() if path.stat().st_mtime_ns != time}
    assert remade == {gone, gone.with_name("costs.json")}  # those are of all, so they come last


def test_a_cell_that_another_process_works_on_is_left_to_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.05)
    (tmp_path / "locks").mkdir(parents=True)
    lock = FileLock(tmp_path / "locks" / "fold-1-seed-0-baseline.lock")
    lock.acquire()
    task = crossval(data, tmp_path, ALONE)
    waiting = next(one for one in task if isinstance(one, Working) and "others work" in one.detail)
    assert (waiting.done, waiting.total) == (3, 5)
    assert set(cells(tmp_path)) == {"fold-1-threshold", "fold-2-threshold", "fold-2-seed-0-baseline"}
    lock.release()
    assert isinstance(list(task)[-1], CrossvalFinished)
    assert len(cells(tmp_path)) == 5


def test_a_method_that_cannot_go_on_is_said_and_left_out_and_the_others_go_on(data, tmp_path, monkeypatch):
    plain = module.distill

    def diverging(material, teacher, run, config, **options):
        if config.method == "entropy":
            raise TrainingError("The loss is not a number at step 2", value="nan, from image-1")
        return plain(material, teacher, run, config, **options)

    monkeypatch.setattr(module, "distill", diverging)
    found = list(crossval(data, tmp_path, replace(ALONE, methods=("entropy", "baseline"))))
    assert found[-1].failed == ("fold-1-seed-0-entropy", "fold-2-seed-0-entropy")
    assert sum("not a number at step 2" in getattr(one, "text", "") for one in found) == 2
    assert "volumes" in cells(tmp_path)["fold-2-seed-0-baseline"]
    assert "entropy. The same command tries them again" in found[-1].table


def test_what_failed_is_tried_again_with_what_waited_for_it(data, tmp_path, monkeypatch):
    plain, broken, worked = module._Work.work_of, {1}, []

    def work_of(work, cell):
        worked.append(cell.name)
        if cell.seed < 0:
            yield from plain(work, cell)
        elif cell.what != "answers" and cell.fold in broken:
            raise TrainingError("The loss is not a number at step 1", value="nan, from image-1")
        else:
            work.kept.write(cell, {})

    monkeypatch.setattr(module._Work, "work_of", work_of)
    config = replace(ALONE, methods=("vpbsd",))
    *_, last = crossval(data, tmp_path, config)
    assert last.failed == ("fold-1-seed-0-teacher", "fold-1-seed-0-vpbsd")
    worked.clear()
    broken.clear()
    *_, last = crossval(data, tmp_path, config)
    assert not last.failed and "Failed" not in last.table
    assert worked == [*(f"fold-1-seed-0-{what}" for what in ("teacher", "answers", "vpbsd")), "costs"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("vpbsd", "other")}, "no such method: other"),
        ({"methods": ()}, "missing or named twice"),
        ({"methods": ("baseline", "baseline")}, "missing or named twice"),
        ({"seeds": 0}, "seeds is too small"),
        ({"labelled": 0}, "labelled is too small"),
        ({"labelled": 3, "folds": 2}, "fewer labelled volumes to learn from: 3 asked for, 2 without"),
        ({"folds": 4}, "4 folds, 3 groups"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(data, changes, message):
    with pytest.raises(InvalidInputError, match=message):
        check_crossval(data, replace(ALONE, **changes))


def test_a_method_that_needs_unlabelled_volumes_is_refused_without_any(tmp_path):
    data = write_data_set(tmp_path, labelled=6)
    config = replace(ALONE, methods=("baseline", "vpbsd"))
    with pytest.raises(
        InvalidInputError, match="Without unlabelled volumes these methods cannot learn: vpbsd"
    ):
        check_crossval(data, config)
    check_crossval(data, replace(config, labelled=1))
    check_crossval(data, ALONE)


def test_a_fold_and_seed_that_would_learn_from_no_vessel_are_refused_before_anything_is_trained(
    tmp_path, monkeypatch
):
    data = write_data_set(tmp_path / "data", labelled=3)
    rows = data.read_text().splitlines()
    empty = np.zeros(FEW_WINDOWS, np.uint8)
    write_multiscale(data.parent / "empty.ome.zarr", empty, voxel_size_um=SIZE, levels=1)
    without = data.with_name("without.csv")
    without.write_text("\n".join([*rows[:3], rows[3].replace("label-2", "empty"), *rows[4:]]))
    monkeypatch.setattr(module, "distill", None)
    config = replace(ALONE, labelled=1, folds=3, seeds=4)
    check_crossval(data, config)
    check_crossval(without, replace(config, labelled=2))
    for refused in (check_crossval, lambda *given: list(crossval(given[0], tmp_path / "out", given[1]))):
        with pytest.raises(
            InvalidInputError, match=r"in fold \d, seed \d: empty.ome.zarr.*larger --labelled"
        ):
            refused(without, config)
    assert not list(tmp_path.glob("out/cells/*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": replace(SMALL, quantiser=QuantiserConfig(width=16))}, "different numbers of channels"),
        ({"patch": (64, 64, 48)}, r"does not fit the student: 64,64,48 .*multiples of"),
        (
            {"teacher": replace(SMALL, network="unetr"), "patch": (32, 64, 64)},
            "does not fit the teacher: 32,64,64",
        ),
    ],
)
def test_methods_that_do_not_fit_the_networks_are_refused(data, changes, message):
    config = replace(
        ALONE,
        methods=("baseline", "ab", "vpbsd"),
        pretrain=replace(ALONE.pretrain, teacher=changes.get("teacher", SMALL)),
        distill=replace(ALONE.distill, patch=changes.get("patch", (64, 64, 64))),
    )
    with pytest.raises(InvalidInputError, match=message):
        check_crossval(data, config)


def test_a_network_that_takes_patches_of_one_size_costs_a_blocks_share_of_its_patch(monkeypatch):
    asked = []
    monkeypatch.setattr(costs, "giga_macs", lambda model, side: asked.append(side) or 27.0)
    monkeypatch.setattr(costs, "milliseconds", lambda model, device, side: asked.append(side) or 270.0)
    teacher = Teacher(replace(SMALL, network="unetr", patch=96))
    found = costs.costs_of(teacher, torch.device("cpu"))
    assert asked == [96, 96] and (found["gmac"], found["milliseconds"]) == (8.0, 80.0)
    teacher.check_sides((96, 96, 96))


def test_networks_may_begin_with_checkpoints_whose_window_and_network_then_count(tmp_path):
    data = write_data_set(tmp_path / "data", labelled=2)  # the fewest to score
    config = replace(ALONE, methods=("baseline", "vpbsd"), teacher="teacher-small", student="auto")
    *_, last = crossval(data, tmp_path, config)
    assert not last.failed and not list(tmp_path.rglob("pretrain"))
    for fold in (1, 2):
        place = tmp_path / f"fold-{fold}" / "seed-0"
        cards = {path.stem: json.loads(path.read_text()) for path in place.glob("**/checkpoints/*.json")}
        assert set(cards) == {"teacher", "baseline", "vpbsd"}
        assert cards["teacher"]["lineage"]["parent"] == "teacher-small"
        assert {cards[name]["lineage"]["parent"] for name in ("baseline", "vpbsd")} == {"student-isotropic"}
        assert {card["intensity"]["upper"] for card in cards.values()} == {99.0}
    assert {path.name for path in tmp_path.glob("start-*.safetensors")} == {
        "start-teacher.safetensors",
        "start-student.safetensors",
    }


@pytest.mark.parametrize(
    ("named", "kind", "message"),
    [
        ({"teacher": "student-isotropic"}, CheckpointError, "not the teacher that is needed here"),
        ({"teacher": "nobody"}, CheckpointNotFoundError, "nobody"),
        ({"student": "teacher-small"}, CheckpointError, "not a student: teacher-small, a teacher"),
        ({"student": "student-coarse-z"}, VesselKDError, "voxel"),
    ],
)
def test_checkpoints_that_cannot_be_begun_with_are_refused(data, named, kind, message):
    with pytest.raises(kind, match=message):
        check_crossval(data, replace(ALONE, methods=("baseline", "vpbsd"), **named))


def test_a_teacher_and_a_student_of_different_windows_are_refused(data, tmp_path):
    teacher = write_teacher(tmp_path / "untrained")
    config = replace(ALONE, methods=("baseline", "vpbsd"), teacher=str(teacher), student="auto")
    with pytest.raises(InvalidInputError, match=r"need different intensity windows: .*95 %.*99 %"):
        check_crossval(data, config)
