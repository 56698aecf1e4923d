"""``vesselkd codes``: the map, the counts, the table; volumes and projects; bad input in one message."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from coding import brute_force, write_teacher
from commandline import on_disk, run
from napari_vesselkd.patterns.code_map import CodeMap
from napari_vesselkd.patterns.codes import project_codes_path
from napari_vesselkd.project import Project
from napari_vesselkd.volume import open_volume, write_multiscale
from projects import new_project
from segmenting import structured

SHAPE = (40, 100, 40)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return write_teacher(tmp_path_factory.mktemp("teacher") / "t.safetensors")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with an image; the user's folders lie in another."""
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    write_multiscale(work / "image.ome.zarr", structured(SHAPE, seed=3), voxel_size_um=(2, 1, 1))
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def expected(folder, teacher):
    with open_volume(folder / "image.ome.zarr") as volume:
        return brute_force(volume, teacher)


def stored(path):
    with CodeMap.open(path) as code_map:
        return np.asarray(code_map.codes[...])


def test_a_volume_gets_its_code_map_its_counts_and_a_table(capsys, folder, teacher, expected):
    done = run(
        capsys,
        "codes",
        "image.ome.zarr",
        "a.codes.ome.zarr",
        "--checkpoint",
        teacher,
        "--device",
        "cpu",
        "--csv",
        "usage.csv",
    )
    assert done.code == 0, done.err
    np.testing.assert_array_equal(stored("a.codes.ome.zarr"), expected)
    counts = np.bincount(expected.ravel() - 1, minlength=16)
    first = done.out.splitlines()[0]
    assert first.startswith(f"a.codes.ome.zarr: 16 cells, {np.count_nonzero(counts)} of 16 codes used")
    most = int(counts.argmax())
    assert done.out.splitlines()[2].split()[:2] == [str(most), str(counts[most])]
    with (folder / "usage.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["cells"]) for row in rows] == counts.tolist()
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    again = run(capsys, "codes", "image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", teacher)
    assert "computed already" in again.err
    assert again.out.splitlines()[0] == first


def test_reports_are_json_lines_that_end_with_the_counts(capsys, folder, teacher, expected):
    done = run(
        capsys,
        "codes",
        "image.ome.zarr",
        "a.codes.ome.zarr",
        "--checkpoint",
        teacher,
        "--json",
        "--region",
        ":,:,0:10",
        "--block",
        "64",
    )
    lines = [json.loads(line) for line in done.out.splitlines()]
    kinds = [line["report"] for line in lines]
    assert kinds == ["CodesPreflight", "CodesDone", "CodesDone", "CodesFinished", "CodesCounted"]
    assert lines[-1]["cells"] == 2 * 4 * 2
    assert lines[-1]["counts"] == np.bincount(expected[:, :, :2].ravel() - 1, minlength=16).tolist()


@pytest.mark.parametrize("arguments", [("p.vesselkd",), ("image.ome.zarr", "p.vesselkd")])
def test_a_project_keeps_its_code_map(capsys, folder, teacher, expected, arguments):
    new_project(folder / "p.vesselkd", "image.ome.zarr").close()
    done = run(capsys, "codes", *arguments, "--checkpoint", teacher)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(stored("p.vesselkd/codes/t.codes.ome.zarr"), expected)
    with Project.open(folder / "p.vesselkd") as project:
        assert project_codes_path(project, teacher).is_dir()
        assert not project.notices


def test_the_codes_of_a_project_can_go_elsewhere(capsys, folder, teacher, expected):
    new_project(folder / "p.vesselkd", "image.ome.zarr").close()
    assert run(capsys, "codes", "p.vesselkd", "a.codes.ome.zarr", "--checkpoint", teacher).code == 0
    np.testing.assert_array_equal(stored("a.codes.ome.zarr"), expected)
    assert not (folder / "p.vesselkd" / "codes").exists()


BAD = [
    (("none.tif", "a.codes.ome.zarr", "--checkpoint", "TEACHER"), "none.tif"),
    (("image.ome.zarr", "--checkpoint", "TEACHER"), "need an output"),
    (("image.ome.zarr", "a.codes.ome.zarr"), "checkpoint"),
    (("image.ome.zarr", "a.tif", "--checkpoint", "TEACHER"), "unknown ending"),
    (("image.ome.zarr", "image.ome.zarr", "--checkpoint", "TEACHER"), "is the input"),
    (
        ("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "student-isotropic"),
        "no codebook.*teacher-small",
    ),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "nobody"), "no checkpoint of this name"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--level", "3"), "no such level"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--region", "0:50,:,:"), "outside"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--block", "0"), "block is too small"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--set", "halo=1"), "unknown setting"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--csv", "a.txt"), r"NAME\.csv"),
    (("image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", "TEACHER", "--csv", "no/a.csv"), r"NAME\.csv"),
    (("image.ome.zarr", "p.vesselkd", "--checkpoint", "TEACHER"), "no project here"),
    (("p.vesselkd", "--checkpoint", "TEACHER"), "no project here"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_message_and_leaves_nothing(capsys, folder, teacher, arguments, message):
    before = on_disk(folder)
    said = run(capsys, "codes", *(teacher if one == "TEACHER" else one for one in arguments))
    assert said.code == 2
    assert "Traceback" not in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("Error: ")]) == 1
    assert re.search(message, said.err), said.err
    assert on_disk(folder) == before


def test_ctrl_c_stops_the_real_command_and_the_same_command_goes_on(folder, teacher, expected):
    command = [
        *(sys.executable, "-m", "napari_vesselkd.cli", "codes", "image.ome.zarr", "a.codes.ome.zarr"),
        *("--checkpoint", teacher, "--block", "64", "--json"),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as child:
        for line in child.stdout:
            if '"CodesDone"' in line:
                child.send_signal(signal.SIGINT)
                break
        said = child.communicate(timeout=120)[1]
    if child.returncode != 0:  # it may have been done already
        assert child.returncode == 130
        assert "run the same command again" in said
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"CodesCounted"' in done.stdout
    np.testing.assert_array_equal(stored("a.codes.ome.zarr"), expected)


def labels_of(folder):
    """Write labels of the image: what is bright."""
    with open_volume(folder / "image.ome.zarr") as volume:
        image = np.asarray(volume.levels[0][...])
    labels = (image > np.percentile(image, 90)).astype(np.uint8)
    write_multiscale(folder / "labels.ome.zarr", labels, voxel_size_um=(2, 1, 1))
    return image


@pytest.mark.parametrize("project", [False, True])
def test_labels_say_what_each_code_means(capsys, folder, teacher, expected, project):
    image = labels_of(folder)
    new_project(folder / "p.vesselkd", "image.ome.zarr").close()
    places = ("p.vesselkd",) if project else ("image.ome.zarr", "a.codes.ome.zarr")
    options = ("--checkpoint", teacher, "--labels", "labels.ome.zarr", "--csv", "codes.csv")
    done = run(capsys, "codes", *places, *options)
    assert done.code == 0, done.err
    assert "VESSEL" in done.out.splitlines()[1]
    with (folder / "codes.csv").open() as file:
        rows = list(csv.DictReader(file))
    under = expected.repeat(32, 0).repeat(32, 1).repeat(32, 2)[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    bright = image > np.percentile(image, 90)
    for row in rows:
        mask = under == int(row["code"]) + 1
        assert int(row["cells"]) == np.count_nonzero(expected == int(row["code"]) + 1)
        if mask.any():
            assert float(row["intensity"]) == pytest.approx(image[mask].mean())
            assert float(row["vessel_fraction"]) == pytest.approx(bright[mask].mean())
        else:
            assert row["intensity"] == row["vessel_fraction"] == ""


def test_another_checkpoints_map_is_compared(capsys, folder, teacher, expected, tmp_path):
    second = write_teacher(tmp_path / "second.safetensors", seed=1)
    assert run(capsys, "codes", "image.ome.zarr", "b.codes.ome.zarr", "--checkpoint", second).code == 0
    command = ("codes", "image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", teacher)
    done = run(capsys, *command, "--compare", "b.codes.ome.zarr", "--json")
    last = json.loads(done.out.splitlines()[-1])
    assert last["changed"]["compared"] == expected.size
    assert last["changed"]["changed"] == np.count_nonzero(stored("b.codes.ome.zarr") != expected)
    said = run(capsys, *command, "--compare", "b.codes.ome.zarr").out
    share = last["changed"]["share"]
    assert f"b.codes.ome.zarr: {share:.1%} of {expected.size} cells have another code" in said
    same = run(capsys, *command, "--compare", "a.codes.ome.zarr").out
    assert "a.codes.ome.zarr: 0.0% of" in same


def test_the_usage_in_another_volume_is_compared(capsys, folder, teacher):
    write_multiscale(folder / "other.ome.zarr", structured((64, 64, 96), seed=8), voxel_size_um=(2, 1, 1))
    command = ("codes", "image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", teacher)
    assert run(capsys, "codes", "other.ome.zarr", "o.codes.ome.zarr", "--checkpoint", teacher).code == 0
    done = run(capsys, *command, "--compare", "o.codes.ome.zarr", "--json")
    assert done.code == 0, done.err
    last = json.loads(done.out.splitlines()[-1])["difference"]
    counts = [np.bincount(stored(f"{name}.codes.ome.zarr").ravel(), minlength=17)[1:] for name in "ao"]
    assert last["jensen_shannon"] == pytest.approx(jensenshannon(*counts, base=2) ** 2)
    assert "bits apart (p = " in run(capsys, *command, "--compare", "o.codes.ome.zarr").out


BEYOND = [
    (("--labels", "none.tif"), "none.tif"),
    (("--labels", "small.ome.zarr"), "another shape than the volume"),
    (("--compare", "none.codes.ome.zarr"), "no code map here"),
    (("--compare", "image.ome.zarr"), "This is no code map"),
    (("--compare", "small.codes.ome.zarr"), "of another image"),  # and by another checkpoint
]


@pytest.mark.parametrize(("options", "message"), BEYOND)
def test_what_cannot_be_described_or_compared_is_said_before_anything_is_mapped(
    capsys, folder, teacher, options, message
):
    write_multiscale(folder / "small.ome.zarr", np.ones((20, 30, 40), np.uint8), voxel_size_um=(2, 1, 1))
    if "small.codes.ome.zarr" in options:
        second = write_teacher(folder / "second.safetensors", seed=1)
        run(capsys, "codes", "small.ome.zarr", "small.codes.ome.zarr", "--checkpoint", second)
    before = on_disk(folder)
    said = run(capsys, "codes", "image.ome.zarr", "a.codes.ome.zarr", "--checkpoint", teacher, *options)
    assert said.code == 2
    assert re.search(message, said.err), said.err
    assert on_disk(folder) == before
