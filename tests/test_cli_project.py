"""Projects on the command line: segment into one, learn, jobs, checkpoints; and all that is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from commandline import on_disk, run
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.geometry import Region
from napari_vesselkd.jobs import JobState, RunFolder, known_runs, stop
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale

SIZE = (4.0, 1.0, 1.0)
PLACES = [((0, 0, 0), (16, 48, 48)), ((0, 0, 48), (16, 48, 96)), ((0, 48, 0), (16, 96, 48))]
BLOCKS = [Region(*place) for place in PLACES]
QUICK = [
    word
    for setting in ("steps=4", "batch=1", "phantom_share=0.0", "validate_every=2", "threads=1")
    for word in ("--set", setting)
]
ENDLESS = [word.replace("steps=4", "steps=100000") for word in QUICK]
CPU = ("--device", "cpu", "--set", "threads=1")
PROJECT, IMAGE = "brain ä.vesselkd", "brain.ome.zarr"
LIMIT = 200


@pytest.fixture(scope="session")
def phantom():
    return make_phantom(PhantomConfig(shape=(16, 96, 96), seed=3, voxel_size_um=SIZE, scene="capillary"))


@pytest.fixture(scope="session")
def corrected(tmp_path_factory, phantom):
    """Return a folder with an image and its project, which has three accepted blocks."""
    folder = tmp_path_factory.mktemp("corrected")
    write_multiscale(folder / IMAGE, phantom.image, voxel_size_um=SIZE, levels=1)
    with open_volume(folder / IMAGE) as volume, Project.create(folder / PROJECT, volume) as project:
        accept(project, phantom, BLOCKS)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch, corrected):
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    shutil.copytree(corrected, work)
    monkeypatch.chdir(work)
    return work


def accept(project, phantom, regions, value=None):
    for region in regions:
        edit = project.edit(region)
        truth = (1 + (phantom.label[edit.region.slices] > 0)).astype(np.uint8)
        edit.record(truth if value is None else np.full_like(truth, value))
        project.accept(edit.number)


def new_project(folder, phantom, regions=(), value=None):
    with open_volume(folder / IMAGE) as volume, Project.create(folder / "new.vesselkd", volume) as project:
        accept(project, phantom, regions, value)


def refused(capsys, folder, arguments, message):
    before = on_disk(folder)
    outcome = run(capsys, *arguments)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err
    assert outcome.err.count("Error: ") == 1
    assert "Traceback" not in outcome.err
    assert on_disk(folder) == before


def until(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


# --- the loop ------------------------------------------------------------------------------------------


def test_the_loop_learn_look_promote_segment(capsys, folder):
    learned = run(capsys, "finetune", PROJECT, *QUICK)
    assert learned.code == 0, learned.err
    path = folder / PROJECT / "runs" / "finetune-001"
    assert f"Run folder: {path}" in learned.err
    assert "4/4 steps" in learned.err
    assert "loss " in learned.err
    assert "Step 2, held-out blocks: Dice" in learned.err
    assert "held-out blocks: Dice" not in learned.out.splitlines()[0]
    assert "HELD-OUT BLOCK" in learned.out
    assert "95 % interval" in learned.out
    (name,) = [line.split(":")[0] for line in learned.out.splitlines() if "fine-tuned from" in line]
    assert f"checkpoints promote {name} --project" in learned.out
    assert {"config.toml", "command.txt", "events.jsonl", "environment.json", "checkpoints"} <= {
        entry.name for entry in path.iterdir()
    }
    command = RunFolder.open(path).command
    assert command[:4] == ("finetune", str(folder / PROJECT), "--out", str(path))

    before = on_disk(path)
    again = run(capsys, *command)
    assert again.code == 0
    assert "finished already" in again.err
    assert again.out == learned.out
    assert on_disk(path) == before
    assert "Nothing is left to do" in run(capsys, "jobs", "resume", path).out
    attached = run(capsys, "jobs", "attach", path)
    assert attached.code == 0
    assert attached.out == learned.out
    (status,) = (json.loads(line) for line in run(capsys, "jobs", "list", "--json").out.splitlines())
    assert (status["state"], status["path"]) == ("finished", str(path))
    refused(capsys, folder, ("finetune", PROJECT, *QUICK, "--out", path, "--set", "steps=5"), "steps 4")
    refused(capsys, folder, ("finetune", PROJECT, "--out", "elsewhere", "--set", f"name={name}"), "already")

    promoted = run(capsys, "checkpoints", "promote", name, "--project", PROJECT)
    assert f"uses {name} from now on, before: auto" in promoted.out
    listed = run(capsys, "checkpoints", "list", "--project", PROJECT).out.splitlines()
    assert [line.split()[1] for line in listed if line.startswith("*")] == [name]
    with Project.open(PROJECT) as project:
        assert project.current == name
        assert project.promotions[-1].scores["verdict"] in ("better", "worse", "undecided")
    assert run(capsys, "checkpoints", "show", name, "--project", PROJECT).code == 0
    assert run(capsys, "checkpoints", "export", name, "out", "--project", PROJECT).code == 0
    *_, done = run(capsys, "segment", IMAGE, PROJECT, *CPU, "--json").out.splitlines()
    assert json.loads(done)["checkpoint"] == name
    back = run(capsys, "checkpoints", "promote", "auto", "--project", PROJECT, "--json")
    assert json.loads(back.out)["previous"] == name


def test_segment_makes_a_project_and_corrections_stay_on_top(capsys, folder, phantom):
    arguments = ("segment", IMAGE, "new.vesselkd", *CPU)
    first = run(capsys, *arguments)
    assert first.code == 0, first.err
    assert "New project: new.vesselkd" in first.err
    again = run(capsys, *arguments)
    assert "New project" not in again.err
    assert "finished already" in again.err
    with Project.open("new.vesselkd") as project:
        accept(project, phantom, BLOCKS[:1])
    assert run(capsys, *arguments, "--restart").code == 0
    labels = LabelStore.open(folder / "new.vesselkd" / "labels.ome.zarr").read(BLOCKS[0])
    assert np.array_equal(labels > 0, phantom.label[BLOCKS[0].slices] > 0)


def test_ctrl_c_stops_the_run_and_it_is_found_again(capsys, folder, monkeypatch):
    from napari_vesselkd.cli import finetuning

    plain = finetuning.learn

    def interrupted(*arguments, **options):
        for report in plain(*arguments, **options):
            if getattr(report, "unit", "") == "steps":
                signal.raise_signal(signal.SIGINT)
            yield report

    monkeypatch.setattr(finetuning, "learn", interrupted)
    cancelled = run(capsys, "finetune", PROJECT, *QUICK)
    path = folder / PROJECT / "runs" / "finetune-001"
    assert cancelled.code == 130
    assert f"jobs resume {path}" in cancelled.err
    assert RunFolder.open(path).status().state is JobState.STOPPED
    attached = run(capsys, "jobs", "attach", path)
    assert attached.code == 130
    assert "The run was stopped after" in attached.err
    monkeypatch.setattr(finetuning, "learn", plain)
    new = run(capsys, "finetune", PROJECT, *QUICK)
    assert new.code == 0
    assert f"jobs resume {path}" in new.err
    assert "finetune-002" in new.err
    assert run(capsys, *RunFolder.open(path).command, "--quiet").code == 0


def test_what_is_unexpected_exits_with_1_and_leaves_its_traceback_in_the_run(capsys, folder, monkeypatch):
    from napari_vesselkd.cli import finetuning

    def broken(*arguments, **options):
        yield from ()
        raise RuntimeError("a bug")

    monkeypatch.setattr(finetuning, "learn", broken)
    outcome = run(capsys, "finetune", PROJECT, *QUICK)
    path = folder / PROJECT / "runs" / "finetune-001"
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert f"The traceback is in {path / 'traceback.txt'}" in outcome.err
    assert 'RuntimeError("a bug")' in (path / "traceback.txt").read_text()
    attached = run(capsys, "jobs", "attach", path)
    assert attached.code == 1
    assert "The run failed: RuntimeError: a bug" in attached.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_real_job_is_killed_resumed_watched_and_stopped(capsys, folder):
    path = folder / PROJECT / "runs" / "finetune-001"
    words = [sys.executable, "-m", "napari_vesselkd.cli", "finetune", PROJECT, *ENDLESS, "--out", str(path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: (progress := RunFolder(path).status().progress) and progress["unit"] == "steps")
    refused(capsys, folder / "x", ("finetune", PROJECT, *ENDLESS), "learning already")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    crashed = run(capsys, "jobs", "attach", path)
    assert crashed.code == 1
    assert "ended without a word" in crashed.err
    try:
        assert "running" in run(capsys, "jobs", "resume", path).out
        refused(capsys, folder / "x", ("jobs", "resume", path), "running already")
        stopper = threading.Timer(1.0, lambda: stop(path))
        stopper.start()
        watched = run(capsys, "jobs", "attach", path, "--json")
        stopper.join()
        assert watched.code == 130
        assert [json.loads(line)["report"] for line in watched.out.splitlines()][-1] == "stopped"
    finally:
        stop(path, wait=0)
    stopped = run(capsys, "jobs", "stop", path)
    assert "It was not running" in stopped.out
    assert RunFolder.open(path).status().state is JobState.STOPPED


# --- refused -------------------------------------------------------------------------------------------


def test_a_project_that_another_holds_is_not_changed(capsys, folder):
    with Project.open(PROJECT):
        outcome = run(capsys, "checkpoints", "promote", "student-coarse-z", "--project", PROJECT)
    assert outcome.code == 2
    assert "open read-only" in outcome.err


@pytest.mark.parametrize(
    ("regions", "value", "message"),
    [
        ([], None, "no accepted block to learn from"),
        (BLOCKS[:1], 1, "hold no vessel"),
        (BLOCKS[:1], 2, "hold no background"),
    ],
)
def test_a_project_without_anything_to_learn_from_is_refused(
    capsys, folder, phantom, regions, value, message
):
    new_project(folder, phantom, regions, value)
    (folder / "new.vesselkd" / "runs").mkdir(exist_ok=True)
    refused(capsys, folder, ("finetune", "new.vesselkd", *QUICK), message)
    assert known_runs() == []


def test_with_one_block_there_is_a_checkpoint_but_no_verdict(capsys, folder, phantom):
    new_project(folder, phantom, BLOCKS[:1])
    outcome = run(capsys, "finetune", "new.vesselkd", *QUICK)
    assert outcome.code == 0
    assert "Nothing is held out" in outcome.err
    assert "No held-out blocks: No accepted block is held out" in outcome.out


def newer(path):
    values = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps({**values, "version": 99}))


def broken(path):
    (path / "project.json").write_text("{")


def without_journal(path):
    (path / "journal.jsonl").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (newer, "newer version"),
        (broken, "cannot be read"),
        (without_journal, "journal is missing"),
        (shutil.rmtree, "There is no project here"),
    ],
)
@pytest.mark.parametrize("command", ["finetune", "segment", "open", "promote", "list"])
def test_a_project_that_cannot_be_used_is_refused(capsys, folder, monkeypatch, damage, message, command):
    if command == "segment" and damage is shutil.rmtree:
        pytest.skip("it is made")
    monkeypatch.setenv("DISPLAY", ":99")
    damage(folder / PROJECT)
    arguments = {
        "finetune": ("finetune", PROJECT),
        "segment": ("segment", IMAGE, PROJECT),
        "open": ("open", PROJECT),
        "promote": ("checkpoints", "promote", "auto", "--project", PROJECT),
        "list": ("checkpoints", "list", "--project", PROJECT),
    }[command]
    refused(capsys, folder, arguments, message)


def test_another_image_is_refused(capsys, folder, phantom):
    write_multiscale(folder / "other.ome.zarr", phantom.image[::-1], voxel_size_um=SIZE, levels=1)
    refused(capsys, folder, ("segment", "other.ome.zarr", PROJECT), "its voxels are not the same")
    new_project(folder, phantom, BLOCKS[:1])
    shutil.rmtree(folder / IMAGE)
    refused(capsys, folder, ("finetune", "new.vesselkd"), "not where it was")
    shutil.copytree(folder / "other.ome.zarr", folder / IMAGE)
    refused(capsys, folder, ("finetune", "new.vesselkd"), "is not the image of this project")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", PROJECT, "--from", "student-isotropic"), "made for voxels of another shape"),
        (("finetune", PROJECT, "--from", "unknown"), "no checkpoint of this name"),
        (("finetune", PROJECT, "--set", "steps=0"), "steps is too small: 0"),
        (("finetune", PROJECT, "--set", "colour=red"), "unknown setting: colour"),
        (("finetune", PROJECT, "--device", "tpu"), "no such device: tpu"),
        (("finetune", PROJECT, "--out", "full"), "holds something else"),
        (("finetune", "data.csv"), "Give --out RUN"),
        (("finetune", "data.csv", "--out", "run"), "lacks the column"),
        (("finetune", "none.csv", "--out", "run"), "no such file"),
        (("finetune", IMAGE, "--out", "run"), "not a CSV file"),
        (("finetune", "labels.csv", "--out", "run", "--set", "held_out_group=x"), "no such group"),
        (("finetune", "gone.csv", "--out", "run"), "no such file"),
        (("segment", IMAGE, "new.vesselkd", "--checkpoint", "unknown"), "no checkpoint of this name"),
        (("segment", IMAGE, "new.vesselkd", "--region", "0:99,0:9,0:9"), "0:99"),
        (("segment", IMAGE, "new.vesselkd", "--probability"), "A project keeps labels"),
        (("segment", IMAGE, PROJECT, "--level", "2"), "another level"),
        (("open", PROJECT, "other.vesselkd"), "one project"),
        (("checkpoints", "promote", "unknown", "--project", PROJECT), "no checkpoint of this name"),
        (("checkpoints", "promote", "mine.safetensors", "--project", PROJECT), "not in the project"),
        (("checkpoints", "promote", "student-isotropic", "--project", PROJECT), "another shape"),
        (("jobs", "list", "nowhere"), "no such folder"),
        (("jobs", "attach", "full"), "There is no run in this folder"),
        (("jobs", "stop", "nowhere"), "There is no run in this folder"),
        (("jobs", "resume", IMAGE), "There is no run in this folder"),
    ],
)
def test_a_bad_argument_is_refused(capsys, folder, monkeypatch, arguments, message):
    monkeypatch.setenv("DISPLAY", ":99")
    CheckpointRegistry().export("student-coarse-z", folder / "mine.safetensors")
    (folder / "full").mkdir()
    (folder / "full" / "diary.txt").write_text("mine")
    (folder / "data.csv").write_text("image,label\n")
    row = f"{IMAGE},{IMAGE},g,"
    (folder / "labels.csv").write_text(f"image,label,group,voxel_size_um\n{row}\n")
    (folder / "gone.csv").write_text('image,label,group,voxel_size_um\na.tif,b.tif,g,"4,1,1"\n')
    refused(capsys, folder, arguments, message)


def test_a_project_opens_in_the_viewer(capsys, folder, monkeypatch):
    launch = pytest.importorskip("napari_vesselkd.plugin.launch")
    calls = []
    monkeypatch.setattr(launch, "open_viewer", lambda paths, **options: calls.append((list(paths), options)))
    monkeypatch.setenv("DISPLAY", ":99")
    assert run(capsys, "open", PROJECT).code == 0
    assert calls == [([], {"project": PROJECT})]
