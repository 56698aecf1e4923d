"""The commands that train: run folders, going on, what comes next; and one message for each bad input."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from commandline import on_disk, run
from napari_vesselkd.jobs import JobState, RunFolder
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.training import teach
from napari_vesselkd.volume import write_multiscale
from stages import HEADER, SIZE, SMALL, few_looks, write_data_set, write_project, write_teacher

assert few_looks
pytestmark = pytest.mark.usefixtures("few_looks")


def settings(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


ONE = settings("steps=1", "batch=1", "threads=1")
STUDENT = [*ONE, *settings("unlabelled=1", "pool=1")]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "taught")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A teacher whose codes are 16 wide, a student's features 32."""
    config = replace(SMALL, quantiser=QuantiserConfig(width=16))
    return write_teacher(tmp_path_factory.mktemp("narrow") / "narrow", config=config)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def refused(capsys, folder, arguments, message):
    before = on_disk(folder)
    outcome = run(capsys, *arguments)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert outcome.err.count("Error: ") == 1
    assert "Traceback" not in outcome.err
    assert on_disk(folder) == before


def test_each_stage_is_a_job_that_says_what_comes_next(capsys, folder, data):
    first = run(capsys, "pretrain", data, "--out", "1", "--preset", "quick", *ONE, "--hold-out", "two")
    assert first.code == 0, first.err
    pretrained = folder / "1" / "checkpoints" / "teacher-pretrained.safetensors"
    assert f"vesselkd finetune {data} --from {pretrained} --out RUN" in first.out
    assert "codebook reliance" in first.err and "About " in first.err
    second = run(capsys, "finetune", data, "--from", pretrained, "--out", "2", "--preset", "quick", *ONE)
    assert second.code == 0, second.err
    taught = folder / "2" / "checkpoints" / "teacher.safetensors"
    assert f"vesselkd distill {data} --teacher {taught} --out RUN" in second.out
    words = ("distill", data, "--teacher", taught, "--out", "3", "--preset", "quick", *STUDENT)
    third = run(capsys, *words)
    assert third.code == 0, third.err
    assert "About " in second.err and "About " in third.err
    assert "student: distilled, 1 steps" in third.out and "--checkpoint" in third.out
    listed = run(capsys, "jobs", "list", folder, "--json").out.splitlines()
    kinds = {Path(one["path"]).name: one["kind"] for one in map(json.loads, listed)}
    assert kinds == {"1": "pretrain", "2": "finetune", "3": "distill"}
    for name in kinds:
        assert {"config.toml", "command.txt", "environment.json", "events.jsonl", "checkpoints"} <= {
            entry.name for entry in (folder / name).iterdir()
        }
    before = on_disk(folder / "3")
    again = run(capsys, *RunFolder.open("3").command)
    assert again.code == 0 and "finished already" in again.err and again.out == third.out
    assert on_disk(folder / "3") == before
    refused(capsys, folder, (*words, "--set", "seed=1"), "seed 0")


def test_a_project_is_taught_a_new_student_in_one_command_and_the_gate_is_printed(capsys, folder, teacher):
    project = write_project(folder)
    tiny = settings("teach.steps=1", "teach.batch=1", "distill.steps=1", "distill.batch=1", "distill.pool=1")
    outcome = run(capsys, "distill", project, "--teacher", teacher, *tiny, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    assert "About " in outcome.err and "1 of 2" in outcome.err and "2 of 2" in outcome.err
    assert "HELD-OUT BLOCK" in outcome.out
    assert "checkpoints promote brain-distill-001 --project" in outcome.out
    path = project / "runs" / "distill-001"
    command = RunFolder.open(path).command
    assert command[:4] == ("distill", str(project), "--out", str(path))
    assert "--method" not in command
    attached = run(capsys, "jobs", "attach", path)
    assert attached.code == 0 and attached.out == outcome.out
    assert run(capsys, *command).out == outcome.out


SCRIPT = ["baseline", "--folds", "2", "--seeds", "1", "--preset", "quick"]
COMPARED = [*settings("distill.steps=2", "distill.batch=1", "distill.unlabelled=1", "threads=1"), "--quiet"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_cross_validation_that_was_killed_goes_on_with_what_is_missing(capsys, folder, data):
    words = ["crossval", str(data), "--out", str(folder / "out"), "--methods", *SCRIPT, *COMPARED]
    words += settings("pretrain.teacher.quantiser.width=16")  # too narrow for vpbsd
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_vesselkd.cli", *words, "--json"], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if json.loads(line).get("cell") == "fold-1-seed-0-baseline":
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert RunFolder(folder / "out").status().state is JobState.CRASHED
    finished = {path: path.read_bytes() for path in (folder / "out" / "cells").glob("*.json")}
    assert 3 <= len(finished) < 5
    other = run(capsys, *words, "--labelled", "1")
    assert other.code == 2 and "other settings" in other.err
    outcome = run(capsys, *RunFolder(folder / "out").command)
    assert outcome.code == 0, outcome.err
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert "baseline" in outcome.out and str(folder / "out" / "table.md") in outcome.out
    assert run(capsys, "jobs", "attach", folder / "out").out == outcome.out
    failed = folder / "out" / "cells" / "fold-2-seed-0-baseline.json"
    failed.write_text(json.dumps({"cell": failed.stem, "error": "The loss is not a number"}))
    assert run(capsys, *words).code == 0 and "error" not in json.loads(failed.read_text())
    finished = {path: path.read_bytes() for path in finished if path.stem != "costs"}
    words[words.index("--seeds") + 1] = "2"
    more = run(capsys, *words)
    assert more.code == 0, more.err
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert {path.stem for path in (folder / "out" / "cells").glob("*baseline.json")} == {
        f"fold-{fold}-seed-{seed}-baseline" for fold in (1, 2) for seed in (0, 1)
    }
    assert run(capsys, *words).out == more.out != outcome.out
    unfit = ["baseline,vpbsd" if word == "baseline" else word for word in words]
    refused(capsys, folder, unfit, "different numbers of channels")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_helpers_end_when_who_leads_is_killed(folder, data):
    out = str(folder / "out")
    words = ["crossval", str(data), "--out", out, "--methods", *SCRIPT, *COMPARED[:-1]]
    words[words.index("--seeds") + 1] = "50"
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_vesselkd.cli", *words, "--processes", "2", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout:
        next(line for line in process.stdout if json.loads(line).get("cell"))
        helpers = psutil.Process(process.pid).children()
        process.kill()
    process.wait()
    assert len(helpers) == 1 and out in helpers[0].cmdline()
    _, left = psutil.wait_procs(helpers, timeout=90)
    assert not left


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\na.tif,b.tif\n", "lacks the column group, voxel_size_um"),
        ("image,label\na.tif,b.tif\n", "Add it to the first line"),
        (HEADER + "gone.tif,,one,\n", "gone.tif"),
        (HEADER + "image.ome.zarr,,one,\nimage.ome.zarr,,one,1,1,1\n", "in line 3, column voxel_size_um"),
        (HEADER + "image.ome.zarr,,one,1,1,1\n", 'three numbers in quotes: "1,1,1"'),
        (HEADER + 'image.ome.zarr,,one,"1,one,1"\n', "in line 2, column voxel_size_um"),
        (HEADER + "broken.tif,,one,\n", "broken.tif"),
        (HEADER + 'image.ome.zarr,other.ome.zarr,one,"1,1,1"\n', "another shape than their image"),
        (HEADER + 'image.ome.zarr,other.ome.zarr,one,"1,1,1"\n', "leave its column empty"),
        (HEADER + 'image.ome.zarr,empty.ome.zarr,one,"1,1,1"\n', "No label to learn from has a vessel"),
        (HEADER + 'image.ome.zarr,,one,"1,1,1"\n', "No label to learn from has a vessel"),
    ],
)
def test_a_data_set_that_cannot_be_learned_from_is_refused(capsys, folder, teacher, text, message):
    voxels = np.random.default_rng(0).integers(0, 255, (16, 32, 32)).astype(np.uint8)
    write_multiscale(folder / "image.ome.zarr", voxels, voxel_size_um=SIZE, levels=1)
    write_multiscale(folder / "other.ome.zarr", voxels[:8], voxel_size_um=SIZE, levels=1)
    write_multiscale(folder / "empty.ome.zarr", voxels * 0, voxel_size_um=SIZE, levels=1)
    (folder / "broken.tif").write_bytes(b"II*\0broken")
    (folder / "data.csv").write_text(text)
    refused(capsys, folder, ("finetune", "data.csv", "--from", teacher, "--out", "run"), message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("distill", "--teacher", "student-isotropic", "--out", "run"), "not the teacher that is needed"),
        (("distill", "--teacher", "nowhere", "--out", "run"), "no checkpoint of this name"),
        (("distill", "--out", "run"), "A teacher is needed"),
        (("distill", "--out", "run", "--method", "other"), "no such method: other"),
        (("distill", "--teacher", "TEACHER"), "needs a folder"),
        (("distill", "--teacher", "TEACHER", "--out", "run", "--set", "options.depth=3"), "no such option"),
        (("distill", "--teacher", "TEACHER", "--out", "run", "--set", "options.pseudo=abc"), "wrong type"),
        (("distill", "--teacher", "TEACHER", "--out", "run", "--set", "patch=40,40,40"), "does not fit the"),
        (
            ("distill", "--teacher", "TEACHER", "--out", "run", "--set", "patch=0,64,64"),
            "patch is out of range",
        ),
        (("distill", "--teacher", "NARROW", "--out", "run"), "32 and 16"),
        (("crossval", "--out", "run", "--folds", "3", "--set", "distill.patch=40,40,40"), "does not fit the"),
        (("pretrain", "--out", "run", "--hold-out", "nine"), "no such group to hold out: nine"),
        (
            (
                "pretrain",
                "--out",
                "run",
                *("--hold-out", "one"),
                *("--hold-out", "two"),
                *("--hold-out", "three"),
                *("--hold-out", "four"),
            ),
            "Every group is held out",
        ),
        (("pretrain", "--out", "run", "--set", "teacher.depth=3"), "unknown setting: depth"),
        (("pretrain", "--out", "run", "--set", "teacher=3"), "group of settings"),
        (("pretrain", "--out", "run", "--set", "teacher.feature_size=13"), "13"),
        (("pretrain", "--out", "run", "--set", "teacher.spatial_dims=2"), "Teachers are trained on volumes"),
        (("finetune", "--from", "nowhere", "--out", "run"), "no checkpoint of this name"),
        (("finetune", "--out", "run", "--preset", "quick"), "without a preset"),
        (("crossval", "--out", "run", "--folds", "5"), "5 folds, 3 groups"),
        (("crossval", "--out", "run", "--folds", "3", "--methods", "other"), "no such method: other"),
        (("crossval", "--out", "run", "--folds", "3", "--labelled", "9"), "fewer labelled volumes"),
        (("crossval", "--out", "run", "--processes", "0"), "--processes is too small"),
    ],
)
def test_a_bad_argument_is_refused(capsys, folder, data, teacher, narrow, words, message):
    command, *rest = words
    known = {"TEACHER": str(teacher), "NARROW": str(narrow)}
    refused(capsys, folder, (command, data, *(known.get(word, word) for word in rest)), message)


def test_one_group_no_unlabelled_volume_and_a_damaged_codebook_are_said(capsys, folder, teacher):
    from safetensors.torch import load_file, save_file

    data = write_data_set(folder, labelled=6)
    wanted = ("distill", data, "--teacher", teacher, "--out", "run", "--method", "vpbsd")
    refused(capsys, folder, wanted, "needs unlabelled volumes")
    alone = folder / "alone.csv"
    alone.write_text("\n".join(line.replace("two", "one") for line in data.read_text().splitlines()[:3]))
    refused(capsys, folder, ("crossval", alone, "--out", "run"), "one group with labels only")
    damaged = write_teacher(folder / "damaged")
    kept = {key: value for key, value in load_file(damaged).items() if "codebook" not in key}
    assert len(kept) < len(load_file(damaged))
    save_file(kept, damaged)
    refused(capsys, folder, ("distill", data, "--teacher", damaged, "--out", "run"), "codebook")


def test_a_loss_that_is_not_a_number_names_step_and_patch_and_the_last_good_state_stays(
    capsys, folder, data, teacher, monkeypatch
):
    plain, calls = teach.segmentation_terms, []

    def terms(*arguments):
        calls.append(1)
        factor = float("nan") if len(calls) == 2 else 1
        return {name: term * factor for name, term in plain(*arguments).items()}

    monkeypatch.setattr(teach, "segmentation_terms", terms)
    words = ("finetune", data, "--from", teacher, "--out", "run", "--preset", "quick")
    outcome = run(capsys, *words, *settings("steps=2", "batch=1", "threads=1"))
    assert outcome.code == 2
    assert "at step 2" in outcome.err and "image-" in outcome.err and " at " in outcome.err
    assert (folder / "run" / "state.safetensors").exists()
    assert RunFolder(folder / "run").status().state is JobState.FAILED
    assert run(capsys, *words, *settings("steps=2", "batch=1", "threads=1")).code == 0


def test_a_full_disk_while_saving_is_said_and_the_same_command_goes_on(
    capsys, folder, data, teacher, monkeypatch
):
    write = Path.write_bytes

    def full(self, content):
        if "state.safetensors" in self.name:
            write(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(self, content)

    words = ("finetune", data, "--from", teacher, "--out", "run", "--preset", "quick", *ONE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        outcome = run(capsys, *words)
    assert outcome.code == 2 and "disk is full" in outcome.err
    assert not (folder / "run" / "state.safetensors").exists()
    assert run(capsys, *words).code == 0
