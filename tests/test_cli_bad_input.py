"""Every bad input on the command line: exit code 2, one message, no traceback, nothing half-written."""

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from commandline import on_disk, run
from napari_vesselkd.checkpoints import CheckpointRegistry
from napari_vesselkd.volume import claim_output, write_multiscale

GOOD = "good.ome.zarr"


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(0).integers(0, 1000, (16, 40, 48), dtype=np.uint16)


@pytest.fixture
def folder(tmp_path, monkeypatch, voxels):
    """Return a folder with one good volume; the user's folders lie in another."""
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    write_multiscale(work / GOOD, voxels, voxel_size_um=(2, 1, 1), levels=1)
    monkeypatch.chdir(work)
    return work


def refused(capsys, folder, arguments, message):
    """Run a command that must be refused with `message`, and leave the folder as it was."""
    before = on_disk(folder)
    outcome = run(capsys, *arguments)
    assert outcome.code == 2, outcome.err
    lines = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert outcome.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert on_disk(folder) == before


# --- sources -------------------------------------------------------------------------------------------

Bad = namedtuple("Bad", "name make message")


def truncated_tiff(path, voxels):
    tifffile.imwrite(path, voxels)
    path.write_bytes(path.read_bytes()[:20_000])


def unequal_slices(path, voxels):
    path.mkdir()
    tifffile.imwrite(path / "0.tif", voxels[0])
    tifffile.imwrite(path / "1.tif", voxels[0, 1:])


def broken_metadata(path, voxels):
    write_multiscale(path, voxels, voxel_size_um=(1, 1, 1), levels=1)
    (path / "zarr.json").write_text("{broken")


def broken_gzip(path, voxels):
    import nibabel

    nibabel.Nifti1Image(voxels.T.astype(np.float32), np.eye(4)).to_filename(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = b"\xff" * 500
    path.write_bytes(content)


def huge_nifti(path, voxels):
    import nibabel

    nibabel.Nifti1Image(voxels.astype(np.float32), np.eye(4)).to_filename(path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.array([32_000] * 3, "<i2").tobytes()
    path.write_bytes(gzip.compress(content))


def bad_scale(path, voxels):
    write_multiscale(path, voxels, voxel_size_um=(1, 1, 1), levels=1)
    metadata = json.loads((path / "zarr.json").read_text())
    dataset = metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    dataset["coordinateTransformations"][0]["scale"] = [0.0, 1.0, 1.0]
    (path / "zarr.json").write_text(json.dumps(metadata))


def corrupt_chunk(path, voxels):
    write_multiscale(path, voxels, voxel_size_um=(1, 1, 1), levels=1)
    chunk = next(file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix != ".json")
    chunk.write_bytes(b"\x00broken" * 50)


SOURCES = [
    Bad("nowhere.tif", lambda path, voxels: None, "no such file"),
    Bad("empty", lambda path, voxels: path.mkdir(), "empty folder"),
    Bad("truncated.tif", truncated_tiff, "truncated.tif"),
    Bad("text.tif", lambda path, voxels: path.write_text("no picture\n" * 99), "text.tif"),
    Bad("slices", unequal_slices, "not equal"),
    Bad("no_metadata.zarr", lambda path, voxels: (path / "0").mkdir(parents=True), "no zarr metadata"),
    Bad("broken_metadata.ome.zarr", broken_metadata, "broken_metadata.ome.zarr"),
    Bad("broken.nii.gz", broken_gzip, "broken gzip"),
    Bad(
        "rgb.tif",
        lambda path, voxels: tifffile.imwrite(path, np.zeros((40, 48, 3), "u1"), photometric="rgb"),
        "RGB",
    ),
    Bad("complex.zarr", lambda path, voxels: zarr.create_array(path, data=voxels.astype("c8")), "complex64"),
    Bad("huge.nii.gz", huge_nifti, "truncated or its header is wrong"),
    Bad("scale.ome.zarr", bad_scale, "voxel size that cannot be used: 0,1,1"),
    Bad("unknown.xyz", lambda path, voxels: path.write_text("x"), "unknown ending: .xyz"),
]
COMMANDS = {
    "segment": lambda source: ("segment", source, "new/out.ome.zarr"),
    "convert": lambda source: ("convert", source, "new/out.ome.zarr"),
    "mip": lambda source: ("mip", source, "new/out.png"),
    "evaluate": lambda source: ("evaluate", GOOD, source),
    "overlay": lambda source: ("mip", GOOD, "new/out.png", "--overlay", source),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("bad", SOURCES, ids=[bad.name for bad in SOURCES])
def test_a_bad_source_is_refused_by_every_command(capsys, folder, voxels, bad, command):
    bad.make(folder / bad.name, voxels)
    refused(capsys, folder, COMMANDS[command](bad.name), bad.message)


@pytest.mark.parametrize(
    "bad", [bad for bad in SOURCES if bad.name != "broken.nii.gz"], ids=lambda bad: bad.name
)
def test_a_bad_source_has_no_info(capsys, folder, voxels, bad):
    bad.make(folder / bad.name, voxels)
    refused(capsys, folder, ("info", bad.name), bad.message)


@pytest.mark.parametrize("command", ["mip", "evaluate", "overlay"])
def test_a_corrupt_chunk_is_named(capsys, folder, voxels, command):
    corrupt_chunk(folder / "corrupt.ome.zarr", voxels)
    refused(capsys, folder, COMMANDS[command]("corrupt.ome.zarr"), "is damaged at level 0, region")


@pytest.mark.parametrize("command", ["segment", "convert"])
def test_a_corrupt_chunk_leaves_no_output_that_looks_complete(capsys, folder, voxels, command):
    corrupt_chunk(folder / "corrupt.ome.zarr", voxels)
    outcome = run(capsys, *COMMANDS[command]("corrupt.ome.zarr"))
    assert outcome.code == 2
    assert outcome.err.count("Error: ") == 1
    assert "is damaged at level 0, region" in outcome.err
    if command == "convert":
        assert not (folder / "new" / "out.ome.zarr").exists()


def test_a_header_of_1e15_voxels_does_not_fit_the_disk(capsys, folder):
    zarr.create_array(folder / "huge.zarr", shape=(10**5,) * 3, chunks=(64, 64, 64), dtype="u2")
    refused(capsys, folder, ("convert", "huge.zarr", "out.ome.zarr"), "too little space")
    refused(capsys, folder, ("segment", "huge.zarr", "out.ome.zarr"), "too little space")
    assert run(capsys, "info", "huge.zarr").code == 0


# --- arguments -----------------------------------------------------------------------------------------

SEGMENT = ("segment", GOOD, "new/out.ome.zarr")
MIP = ("mip", GOOD, "new/out.png")
ARGUMENTS = [
    ((*SEGMENT, "--voxel-size", "0,1,1"), "voxel size cannot be used: 0,1,1"),
    ((*SEGMENT, "--voxel-size", "-2,1,1"), "voxel size cannot be used: -2,1,1"),
    ((*SEGMENT, "--voxel-size", "nan,1,1"), "voxel size cannot be used: nan,1,1"),
    ((*SEGMENT, "--voxel-size", "1,1"), "voxel size cannot be used: 1,1"),
    ((*SEGMENT, "--voxel-size", "big"), "not made of numbers: 'big'"),
    ((*SEGMENT, "--region", "0:99,0:9,0:9"), "0:99"),
    ((*SEGMENT, "--region", "9:0,0:9,0:9"), "9:0"),
    ((*SEGMENT, "--region", "a:b,0:9,0:9"), "a:b"),
    ((*SEGMENT, "--region", "-3:4,0:9,0:9"), "-3:4"),
    ((*SEGMENT, "--region", "0:9"), "0:9"),
    ((*SEGMENT, "--level", "5"), "no such level: 5"),
    ((*SEGMENT, "--channel", "3"), "no such channel: 3"),
    ((*SEGMENT, "--threshold", "1.5"), "not a probability: 1.5"),
    ((*SEGMENT, "--threshold", "-0.5"), "not a probability: -0.5"),
    ((*SEGMENT, "--threshold", "nan"), "not a probability: nan"),
    ((*SEGMENT, "--block", "0"), "block is too small: 0"),
    ((*SEGMENT, "--halo", "-1"), "halo is too small: -1"),
    ((*SEGMENT, "--device", "tpu"), "tpu"),
    ((*SEGMENT, "--checkpoint", "unknown"), "no checkpoint of this name or path: unknown"),
    ((*SEGMENT, "--set", "colour=red"), "unknown setting: colour"),
    ((*SEGMENT, "--set", "upper=high"), "wrong type (--set: upper): 'high' (allowed: number)"),
    ((*SEGMENT, "--set", "upper"), "not an assignment: 'upper'"),
    ((*SEGMENT, "--set", "threshold=2"), "not a probability: 2.0"),
    ((*SEGMENT, "--config", "none.toml"), "no such config file: none.toml"),
    (("segment", GOOD, "new/out.png"), "unknown ending: out.png"),
    (("segment", GOOD, GOOD), "The output is the input"),
    (("segment", GOOD, f"{GOOD}/labels.ome.zarr"), "The output is the input or lies inside it"),
    (("convert", GOOD, GOOD), "The output is the input"),
    (("convert", GOOD, "new/out.tif"), "unknown ending: out.tif"),
    (("convert", GOOD, "new/out.ome.zarr", "--set", "chunk=a,b,c"), "int,int,int"),
    ((*MIP, "--slab", "5:2"), "5:2"),
    ((*MIP, "--slab", "0:17"), "0:17"),
    ((*MIP, "--slab", "5"), "not a range: '5'"),
    ((*MIP, "--region", "0:99,0:9,0:9"), "0:99"),
    ((*MIP, "--level", "2"), "no such level: 2"),
    (("mip", GOOD, "new/out.jpg"), "unknown ending: out.jpg"),
    (("mip", "pic.tif", "pic.tif"), "The output is the input"),
    (("synth", "new", "--shape", "8,8"), "not three whole numbers: '8,8'"),
    (("synth", "new", "--shape", "0,8,8"), "0,8,8"),
    (("synth", "new", "--seed", "-1"), "seed cannot be used: -1"),
    (("synth", "new", "--count", "0"), "0"),
    (("synth", "new", "--set", "scene=moon"), "moon"),
    (("evaluate", GOOD, GOOD, "--voxel-size", "0,1,1"), "voxel size cannot be used"),
    (("evaluate", GOOD, GOOD, "--region", "0:99,0:9,0:9"), "0:99"),
    (("checkpoints", "show", "unknown"), "no checkpoint of this name or path: unknown"),
    (("checkpoints", "export", "unknown", "new"), "no checkpoint of this name or path: unknown"),
    (("checkpoints", "import", "unknown.safetensors"), "unknown.safetensors"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS, ids=[" ".join(words) for words, _ in ARGUMENTS])
def test_a_bad_argument_is_refused(capsys, folder, voxels, arguments, message):
    tifffile.imwrite(folder / "pic.tif", voxels)
    refused(capsys, folder, arguments, message)


PARSING = [
    (("segmnt",), 'Did you mean "segment"'),
    (("segment", GOOD), "OUTPUT requires an argument"),
    ((*SEGMENT, "extra"), "extra"),
    ((*SEGMENT, "--regoin", "0:1"), "Did you mean --region"),
    ((*SEGMENT, "--level", "two"), 'unable to convert "two" into int'),
    ((*SEGMENT, "--precision", "fp8"), "fp8"),
    ((*SEGMENT, "--set"), "--set requires an argument"),
    ((*MIP, "--axis", "t"), '"t"'),
    (("convert", GOOD, "o.ome.zarr", "--ome-version", "0.3"), "0.3"),
    (("checkpoints", "promote"), "promote"),
    (("pretrain",), "pretrain"),
]


@pytest.mark.parametrize(("arguments", "message"), PARSING, ids=[" ".join(words) for words, _ in PARSING])
def test_what_cannot_be_parsed_is_refused_and_points_to_the_help(capsys, folder, arguments, message):
    refused(capsys, folder, arguments, message)
    assert "--help` shows what is possible" in run(capsys, *arguments).err


@pytest.mark.parametrize(
    "text", ["threshold = ", "\xff\xfe", "threshold = 'high'", "[segment]\ncolour = 1", "segment = 3"]
)
def test_a_bad_config_file_is_refused(capsys, folder, text):
    (folder / "c.toml").write_bytes(text.encode("latin-1"))
    refused(capsys, folder, (*SEGMENT, "--config", "c.toml"), "c.toml")


def test_labels_of_another_shape_are_refused(capsys, folder, voxels):
    tifffile.imwrite(folder / "small.tif", voxels[1:])
    both = "(15, 40, 48) and (16, 40, 48)"
    refused(capsys, folder, ("evaluate", "small.tif", GOOD), both)
    refused(capsys, folder, (*MIP, "--overlay", "small.tif"), both)


# --- checkpoints ---------------------------------------------------------------------------------------


def copied(folder):
    weights = CheckpointRegistry().export("student-isotropic", folder / "mine.safetensors")
    return weights, weights.with_suffix(".json")


def truncated(weights, card):
    weights.write_bytes(weights.read_bytes()[:5000])


def pickled(weights, card):
    weights.write_bytes(pickle.dumps({"weight": [1.0]}))


def of_another_model(weights, card):
    values = json.loads(card.read_text())
    card.write_text(json.dumps({**values, "architecture": "oracle"}))


def without_card(weights, card):
    card.unlink()


def card_of_text(weights, card):
    card.write_text("{")


@pytest.mark.parametrize("command", ["segment", "import"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "mine.safetensors"),
        (pickled, "mine.safetensors"),
        (of_another_model, "does not know: oracle"),
        (without_card, "mine"),
        (card_of_text, "mine.json"),
    ],
)
def test_a_bad_checkpoint_is_refused(capsys, folder, damage, message, command):
    weights, card = copied(folder)
    damage(weights, card)
    if command == "segment":
        arguments = (*SEGMENT, "--checkpoint", "mine.safetensors", "--device", "cpu")
    else:
        arguments = ("checkpoints", "import", "mine.safetensors")
    refused(capsys, folder, arguments, message)


def test_a_checkpoint_is_not_exported_over_another(capsys, folder):
    copied(folder)
    refused(
        capsys, folder, ("checkpoints", "export", "student-isotropic", "mine.safetensors"), "exists already"
    )


# --- outputs and machines ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["segment", "convert", "mip"])
def test_a_read_only_folder_is_refused(capsys, folder, monkeypatch, command):
    (folder / "new").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "new" and allowed(path, mode))
    refused(capsys, folder, COMMANDS[command](GOOD), "permission")


@pytest.mark.parametrize("command", ["segment", "convert"])
def test_a_full_disk_is_refused_before_anything_is_written(capsys, folder, monkeypatch, command):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10))
    refused(capsys, folder, COMMANDS[command](GOOD), "too little space")


@pytest.mark.parametrize("command", ["segment", "convert"])
def test_an_output_that_another_process_writes_is_refused(capsys, folder, command):
    (folder / "new").mkdir()
    with claim_output(folder / "new" / "out.ome.zarr"):
        refused(capsys, folder, COMMANDS[command](GOOD), "Another process is writing")


def test_an_output_that_is_something_else_is_refused(capsys, folder):
    (folder / "new" / "out.ome.zarr").mkdir(parents=True)
    (folder / "new" / "out.ome.zarr" / "diary.txt").write_text("mine")
    refused(capsys, folder, SEGMENT, "was not written by")
    refused(capsys, folder, (*SEGMENT, "--restart"), "was not written by")
    refused(capsys, folder, ("convert", GOOD, "new/out.ome.zarr"), "out.ome.zarr")


def test_cuda_is_refused_where_there_is_none(capsys, folder):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    refused(capsys, folder, (*SEGMENT, "--device", "cuda"), "cuda")


def test_a_window_is_refused_without_a_display(capsys, folder, monkeypatch):
    if sys.platform in ("darwin", "win32"):
        pytest.skip("there is always a display")
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    refused(capsys, folder, ("open", GOOD), "no display")
    refused(capsys, folder, ("demo", "--window"), "no display")


# --- legal after all, and said so ----------------------------------------------------------------------

SEGMENT_NOW = (*SEGMENT, "--device", "cpu", "--precision", "fp32")


def done(capsys, folder):
    outcome = run(capsys, *SEGMENT_NOW)
    assert outcome.code == 0, outcome.err
    return outcome.err.lower()


def test_missing_chunks_are_zeros_and_said(capsys, folder):
    for chunk in (file for file in (folder / GOOD).rglob("c/*/*/*") if file.is_file()):
        chunk.unlink()
    assert "not stored" in done(capsys, folder)


@pytest.mark.parametrize(("value", "said"), [(7.0, "constant"), (np.nan, "nan"), (np.inf, "nan")])
def test_volumes_without_usable_contrast_are_segmented_as_empty_and_said(capsys, folder, voxels, value, said):
    shutil.rmtree(folder / GOOD)
    write_multiscale(
        folder / GOOD, np.full(voxels.shape, value, np.float32), voxel_size_um=(2, 1, 1), levels=1
    )
    assert said in done(capsys, folder)


@pytest.mark.parametrize("shape", [(1, 40, 48), (3, 5, 4), (1, 1, 1)])
def test_one_slice_and_volumes_smaller_than_a_block_are_fine(capsys, folder, shape):
    shutil.rmtree(folder / GOOD)
    small = np.random.default_rng(1).integers(0, 1000, shape, dtype=np.uint16)
    write_multiscale(folder / GOOD, small, voxel_size_um=(2, 1, 1), levels=1)
    done(capsys, folder)


# --- in a process of its own ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nowhere.tif"), "no such file"),
        (("mip", "text.tif", "out.png"), "text.tif"),
        (("segment", GOOD, "out.ome.zarr", "--threshold", "7"), "not a probability"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_the_real_command_prints_one_line_and_exits_with_2(folder, arguments, message):
    (folder / "text.tif").write_text("no picture")
    before = on_disk(folder)
    command = [sys.executable, "-m", "napari_vesselkd.cli", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert on_disk(folder) == before
