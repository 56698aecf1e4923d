"""Processes that torchrun starts share a training, and end with the weights of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from napari_vesselkd.cli import main as vesselkd
from napari_vesselkd.phantoms import PhantomConfig, make_phantom
from napari_vesselkd.volume import write_multiscale

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
PROGRAM = Path(__file__).with_name("ranks_program.py")
COMMAND = ["-m", "napari_vesselkd.cli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "1"}
LITTLE = [
    "--preset",
    "quick",
    *(word for setting in ("batch=1", "accumulate=2") for word in ("--set", setting)),
]


def torchrun(processes, words):
    return [*TORCHRUN, "--nproc-per-node", str(processes), *words]


def run(words):
    return subprocess.run(words, check=False, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", params=[1, 2])
def program(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(f"processes-{request.param}")
    done = run(torchrun(request.param, [str(PROGRAM), str(out)]))
    assert done.returncode == 0, done.stderr
    found = [json.loads((out / f"{number}.json").read_text()) for number in range(request.param)]
    return found, [load_file(out / f"{number}.safetensors") for number in range(request.param)]


@pytest.fixture(scope="module")
def of_one():
    """What one process comes to, by the program itself."""
    return {}


def test_every_process_ends_with_the_same_weights(program):
    _, weights = program
    for other in weights[1:]:
        assert all(torch.equal(value, other[key]) for key, value in weights[0].items())


def test_two_processes_come_to_the_weights_of_one(program, of_one):
    found, weights = program
    if len(found) == 1:
        of_one.update(weights[0])
        return
    assert of_one, "the single process is run first"
    for key, value in weights[0].items():
        exact = key != "book"  # whose sums are taken in another order
        assert torch.equal(value, of_one[key]) if exact else torch.allclose(value, of_one[key], atol=1e-6)


def test_only_the_first_reports(program):
    found, _ = program
    assert found[0]["reports"] == ["FitProgress", "FitProgress"]
    assert all(one["reports"] == [] for one in found[1:])


def test_processes_draw_differently_in_one_step(program):
    """Else both halves of a step would drop the same skips and see the same noise."""
    found, _ = program
    drawn = [value for one in found for value in one["drawn"]]
    assert len(drawn) == 8 and len(set(drawn)) == 8


def test_a_loss_that_is_no_number_is_said_with_its_patch(program):
    found, _ = program
    assert all("not a number at step 2" in one["nan"] and "patch 3" in one["nan"] for one in found)


def test_passes_that_cannot_be_shared_are_refused(program):
    found, _ = program
    assert ("uneven" in found[0]) == (len(found) == 2)
    assert all("--set accumulate=2" in one["uneven"] for one in found if "uneven" in one)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    made = make_phantom(PhantomConfig(shape=(64, 64, 64), seed=1, voxel_size_um=(1, 1, 1)))
    write_multiscale(folder / "image.ome.zarr", made.image, voxel_size_um=(1, 1, 1), levels=1)
    path = folder / "volumes.csv"
    path.write_text('image,label,group,voxel_size_um\nimage.ome.zarr,,a,"1,1,1"\n')
    return path


def pretrained(out):
    return load_file(out / "checkpoints" / "teacher-pretrained.safetensors")


def test_a_killed_command_is_gone_on_with_by_one_process(volumes, tmp_path):
    """A codebook of scalars learns by gradient alone, so that both ways end with the same weights."""
    words = ["pretrain", str(volumes), *LITTLE, "--set", "steps=3", "--set", "look_every=3"]
    words += ["--set", "teacher.quantiser.kind=fsq", "--set", "threads=1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert vesselkd([*words, "--out", str(whole)]) == 0
    both = subprocess.Popen(
        torchrun(2, [*COMMAND, *words, "--out", str(parts)]), env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not (parts / "state.safetensors").exists() and both.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in psutil.Process(both.pid).children(recursive=True):
        child.send_signal(signal.SIGKILL)
    assert both.wait(60) != 0
    assert (parts / "state.safetensors").exists()
    assert not (parts / "checkpoints").exists()
    assert vesselkd([*words, "--out", str(parts)]) == 0
    resumed = pretrained(parts)
    assert all(torch.equal(value, resumed[key]) for key, value in pretrained(whole).items())


def test_a_command_that_cannot_be_shared_says_so(volumes, tmp_path):
    words = [*COMMAND, "distill", str(volumes), "--method", "baseline", "--out", str(tmp_path / "run")]
    done = run(torchrun(2, words))
    assert done.returncode != 0
    assert "works in one process" in done.stderr and "without torchrun" in done.stderr
    assert not (tmp_path / "run").exists()
