"""The command line does what its contract says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from commandline import on_disk, run
from napari_vesselkd import __version__, cli
from napari_vesselkd.cli.commands import app, checkpoints, jobs, journal
from napari_vesselkd.geometry import Region
from napari_vesselkd.measure import evaluate
from napari_vesselkd.volume import open_volume, write_multiscale

SHAPE = (16, 40, 48)
CPU = ("--device", "cpu", "--precision", "fp32")
GROUPS = {"checkpoints": checkpoints, "jobs": jobs, "journal": journal}
COMMANDS = [
    *(
        "checkpoints",
        "codes",
        "convert",
        "crossval",
        "demo",
        "distill",
        "evaluate",
        "finetune",
        "info",
        "jobs",
        "journal",
        "mip",
    ),
    *("open", "pretrain", "segment", "synth"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a volume of two levels and two labels; the user's folders lie in another."""
    for variable in ("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    z, y, _ = np.indices(SHAPE)
    tube = (z - 8) ** 2 + (y - 20) ** 2 <= 16
    image = (100 + 900 * tube + np.random.default_rng(0).integers(0, 50, SHAPE)).astype(np.uint16)
    write_multiscale(work / "image.ome.zarr", image, voxel_size_um=(2, 1, 1), levels=2)
    write_multiscale(work / "truth.ome.zarr", tube.astype(np.uint8), voxel_size_um=(2, 1, 1), label=True)
    tifffile.imwrite(work / "shifted.tif", np.roll(tube, 2, axis=1).astype(np.uint8))
    monkeypatch.chdir(work)
    return work


def json_lines(outcome):
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def array(path, level=0):
    with open_volume(path) as volume:
        return volume.read(Region.whole(volume.levels[level].shape), level)


# --- help ----------------------------------------------------------------------------------------------


def test_help_lists_the_commands_of_this_version_and_no_stubs(capsys):
    outcome = run(capsys, "--help")
    assert outcome.code == 0
    assert sorted(name for name in app if not name.startswith("-")) == COMMANDS
    assert all(name in outcome.out for name in COMMANDS)
    assert not any(name in outcome.out for name in ("patterns", "--cluster"))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in GROUPS])
def test_every_command_has_an_example_and_says_what_each_option_is(capsys, name):
    outcome = run(capsys, name, "--help")
    assert f"Example: vesselkd {name}" in " ".join(outcome.out.split())
    for argument in app[name].assemble_argument_collection():
        text = argument.parameter.help
        assert text, argument.name
        assert text.endswith((".", "um."))


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("checkpoints", ["export", "import", "list", "promote", "show"]),
        ("jobs", ["attach", "list", "resume", "stop"]),
        ("journal", ["export", "import"]),
    ],
)
def test_every_command_of_a_group_has_an_example(capsys, group, names):
    assert sorted(part for part in GROUPS[group] if not part.startswith("-")) == names
    for name in names:
        text = " ".join(run(capsys, group, name, "--help").out.split())
        assert f"Example: vesselkd {group} {name}" in text


def test_the_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version").out.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        "'--help'",
        "'--version'",
        "'finetune', '--help'",
        "'checkpoints', '--help'",
        "'jobs', 'list', '--help'",
        "'journal', 'import', '--help'",
    ],
)
def test_help_loads_nothing_heavy(arguments):
    code = (
        f"import sys; from napari_vesselkd.cli import main; code = main([{arguments}]); "
        "heavy = {'torch', 'napari', 'zarr', 'numpy', 'scipy', 'skimage', 'qtpy'} & set(sys.modules); "
        "print(heavy, file=sys.stderr); sys.exit(code or bool(heavy))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr


# --- commands ------------------------------------------------------------------------------------------


def test_info_as_text_and_as_json(capsys, folder):
    text = run(capsys, "info", "image.ome.zarr").out
    assert "16,40,48" in text
    assert "2,1,1 um" in text
    assert "61,440 (61.4 kB)" in text
    (found,) = json_lines(run(capsys, "info", "image.ome.zarr", "--json"))
    assert found["shape"] == [16, 40, 48]
    assert found["dtype"] == "uint16"
    assert found["bytes"] == 16 * 40 * 48 * 2
    assert [level["shape"] for level in found["levels"]] == [[16, 40, 48], [8, 20, 24]] or len(
        found["levels"]
    ) == 2


def test_info_says_that_a_voxel_size_is_not_known_and_takes_one(capsys, folder):
    assert json_lines(run(capsys, "info", "shifted.tif", "--json"))[0]["voxel_size_um"] is None
    given = json_lines(run(capsys, "info", "shifted.tif", "--json", "--voxel-size", "5,.99,.99"))[0]
    assert given["voxel_size_um"] == [5, 0.99, 0.99]


def test_info_of_a_level_is_that_of_the_level(capsys, folder):
    (found,) = json_lines(run(capsys, "info", "image.ome.zarr", "--level", "1", "--json"))
    assert found["shape"] == list(array("image.ome.zarr", 1).shape)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_convert_keeps_voxels_and_voxel_size_and_knows_when_it_is_done(capsys, folder, version):
    arguments = ("convert", "shifted.tif", "out.ome.zarr", "--voxel-size", "2,1,1", "--ome-version", version)
    assert "written" in run(capsys, *arguments).out
    with open_volume("out.ome.zarr") as volume:
        assert volume.format == f"ome-zarr {version}"
        assert volume.voxel_size_um == (2, 1, 1)
    assert np.array_equal(array("out.ome.zarr"), array("shifted.tif"))
    before = on_disk(folder)
    again = run(capsys, *arguments)
    assert again.code == 0
    assert "complete already" in again.out
    assert on_disk(folder) == before


def test_synth_makes_the_phantoms_it_is_asked_for(capsys, folder):
    arguments = (
        "synth",
        "phantoms",
        "--shape",
        "8,24,24",
        "--seed",
        "5",
        "--count",
        "2",
        "--voxel-size",
        "2,1,1",
    )
    *_, finished = json_lines(run(capsys, *arguments, "--json"))
    assert [Path(path).name for path in finished["folders"]] == ["phantom-5", "phantom-6"]
    for path in finished["folders"]:
        assert {file.name for file in Path(path).iterdir()} >= {
            "image.ome.zarr",
            "label.ome.zarr",
            "centreline.graphml",
        }
        assert array(f"{path}/image.ome.zarr").shape == (8, 24, 24)


@pytest.mark.parametrize("ending", ["ome.zarr", "tif", "nii.gz"])
def test_segment_writes_labels_of_the_volumes_shape_and_knows_when_it_is_done(capsys, folder, ending):
    arguments = ("segment", "image.ome.zarr", f"out.{ending}", *CPU)
    first = run(capsys, *arguments)
    assert first.code == 0, first.err
    assert "vessel voxels" in first.out
    labels = array(f"out.{ending}")
    assert sorted(labels.shape) == sorted(SHAPE)
    assert set(np.unique(labels)) <= {0, 1}
    again = run(capsys, *arguments)
    assert again.code == 0
    assert "finished already" in again.err


def test_segment_reports_preflight_blocks_and_result_as_json_lines(capsys, folder):
    outcome = run(capsys, "segment", "image.ome.zarr", "out.ome.zarr", *CPU, "--json", "--probability")
    reports = json_lines(outcome)
    kinds = [report["report"] for report in reports]
    assert kinds[0] == "Preflight"
    assert "BlockDone" in kinds
    assert kinds[-1] == "SegmentFinished"
    assert Path(reports[-1]["probability"]).exists()
    assert outcome.err == ""


def test_evaluate_prints_what_evaluate_returns(capsys, folder):
    expected = evaluate("shifted.tif", "truth.ome.zarr")
    (found,) = json_lines(run(capsys, "evaluate", "shifted.tif", "truth.ome.zarr", "--json"))
    assert found["dice"] == expected.dice
    assert found["cldice"] == expected.cldice
    assert found["hd95_um"] == expected.hd95_um == 2
    text = run(capsys, "evaluate", "shifted.tif", "truth.ome.zarr").out
    assert f"{expected.dice:.4f}" in text
    assert "2.00 voxels, 2.00 um" in text


def test_what_is_not_a_number_is_null_in_json(capsys, folder):
    tifffile.imwrite("empty.tif", np.zeros(SHAPE, np.uint8))
    (found,) = json_lines(run(capsys, "evaluate", "empty.tif", "truth.ome.zarr", "--json"))
    assert found["hd95_um"] is None
    assert found["dice"] == 0


@pytest.mark.parametrize(("axis", "at"), [("z", 0), ("y", 1), ("x", 2)])
def test_mip_as_tiff_holds_the_raw_maximum(capsys, folder, axis, at):
    assert run(capsys, "mip", "image.ome.zarr", "new/m.tif", "--axis", axis, "--slab", "3:12").code == 0
    expected = np.take(array("image.ome.zarr"), range(3, 12), axis=at).max(axis=at)
    assert np.array_equal(tifffile.imread("new/m.tif"), expected)


@pytest.mark.parametrize("how", ["min", "mean"])
def test_mip_of_another_kind(capsys, folder, how):
    assert run(capsys, "mip", "image.ome.zarr", "m.tif", "--how", how, "--slab", "3:12").code == 0
    with open_volume(folder / "image.ome.zarr") as volume:
        image = volume.read(Region((3, 0, 0), (12, *SHAPE[1:])))
    np.testing.assert_allclose(tifffile.imread(folder / "m.tif"), getattr(image, how)(axis=0))


def test_mip_in_the_colours_of_its_depth(capsys, folder):
    arguments = ("--how", "depth", "--overlay", "truth.ome.zarr")
    assert run(capsys, "mip", "image.ome.zarr", "deep.png", "--how", "depth").code == 0
    assert run(capsys, "mip", "image.ome.zarr", "over.png", *arguments).code == 0
    assert run(capsys, "mip", "image.ome.zarr", "deep.tif", "--how", "depth").code == 0
    with Image.open(folder / "deep.png") as picture, Image.open(folder / "over.png") as dimmed:
        deep, over = np.asarray(picture).astype(int), np.asarray(dimmed).astype(int)
    assert (deep[..., 0] != deep[..., 2]).mean() > 0.5
    assert over.sum() < deep.sum()
    assert tifffile.imread(folder / "deep.tif").shape == deep.shape


def test_mip_as_png_has_physical_proportions_and_the_labels_in_colour(capsys, folder):
    overlay = ("--overlay", "truth.ome.zarr", "--axis", "y")
    assert run(capsys, "mip", "image.ome.zarr", "plain.png", "--axis", "y").code == 0
    assert run(capsys, "mip", "image.ome.zarr", "over.png", *overlay).code == 0
    plain, over = (np.asarray(Image.open(name)).astype(int) for name in ("plain.png", "over.png"))
    assert plain.shape == over.shape
    assert over.shape[0] / over.shape[1] == pytest.approx(16 * 2 / 48, rel=0.01)
    assert (plain[..., 0] == plain[..., 2]).all()
    assert (over[..., 0] > over[..., 2] + 30).mean() > 0.2


def test_the_overlay_follows_the_level(capsys, folder):
    write_multiscale(
        "labels.ome.zarr", array("truth.ome.zarr"), voxel_size_um=(2, 1, 1), levels=2, label=True
    )
    arguments = ("mip", "image.ome.zarr", "m.png", "--level", "1", "--overlay", "labels.ome.zarr", "--json")
    *_, finished = json_lines(run(capsys, *arguments))
    assert finished["shape"] == list(array("image.ome.zarr", 1).shape[1:])


def test_checkpoints_are_listed_shown_exported_and_imported(capsys, folder):
    cards = json_lines(run(capsys, "checkpoints", "list", "--json"))
    names = [card["name"] for card in cards]
    assert all(card["bundled"] for card in cards)
    assert all(name in run(capsys, "checkpoints", "list").out for name in names)
    (card,) = json_lines(run(capsys, "checkpoints", "show", names[0], "--json"))
    assert card["name"] == names[0]
    assert "calibration.threshold" in run(capsys, "checkpoints", "show", names[0]).out
    assert run(capsys, "checkpoints", "export", names[0], "mine.safetensors").code == 0
    assert run(capsys, "checkpoints", "import", "mine.safetensors").code == 0
    listed = json_lines(run(capsys, "checkpoints", "list", "--json"))
    assert [card["bundled"] for card in listed if Path(card["path"]).stem == "mine"] in ([False], [])
    assert json_lines(run(capsys, "checkpoints", "show", "mine", "--json"))[0]["bundled"] is False


def test_the_demo_without_a_display_leaves_its_files_and_scores(capsys, folder, monkeypatch):
    from napari_vesselkd.cli import demo
    from napari_vesselkd.phantoms import PhantomConfig, make_phantom

    small = PhantomConfig(shape=(16, 48, 48), seed=1, voxel_size_um=(2.0, 1.0, 1.0))
    monkeypatch.setattr(demo, "sample_phantom", lambda: make_phantom(small))
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(variable, raising=False)
    outcome = run(capsys, "demo", *([] if sys.platform == "linux" else ["--no-window"]))
    assert outcome.code == 0, outcome.err
    root = folder / "vesselkd-demo"
    assert str(root) in outcome.out
    assert "clDice" in outcome.out
    scores = json.loads((root / "metrics.json").read_text())
    expected = evaluate(root / "vessels.ome.zarr", root / "sample" / "label.ome.zarr")
    assert scores["dice"] == expected.dice
    with Image.open(root / "mip-z.png") as picture:
        assert min(picture.size) > 300
    before = on_disk(root)
    assert run(capsys, "demo", "--no-window").code == 0
    assert on_disk(root) == before


def test_with_a_display_the_demo_and_open_start_the_viewer(capsys, folder, monkeypatch):
    launch = pytest.importorskip("napari_vesselkd.plugin.launch")
    calls = []
    monkeypatch.setattr(launch, "open_viewer", lambda paths, **options: calls.append((list(paths), options)))
    monkeypatch.setenv("DISPLAY", ":99")
    assert run(capsys, "demo").code == 0
    assert run(capsys, "open", "image.ome.zarr").code == 0
    assert calls == [([], {"run_demo": True}), (["image.ome.zarr"], {"run_demo": False})]


# --- settings ------------------------------------------------------------------------------------------


def threshold(capsys, *arguments):
    reports = json_lines(
        run(capsys, "segment", "image.ome.zarr", "o.ome.zarr", *CPU, "--json", "--restart", *arguments)
    )
    return reports[0]["threshold"]


def test_named_options_win_over_set_over_the_file_over_the_defaults(capsys, folder):
    Path("c.toml").write_text("threshold = 0.1\n[segment]\nthreshold = 0.2\n[convert]\nlabel = true\n")
    Path("d.toml").write_text("threshold = 0.1\n")
    assert threshold(capsys, "--config", "d.toml") == 0.1
    assert threshold(capsys, "--config", "c.toml") == 0.2
    assert threshold(capsys, "--config", "c.toml", "--set", "threshold=0.3") == 0.3
    assert threshold(capsys, "--config", "c.toml", "--set", "threshold=0.3", "--threshold", "0.4") == 0.4


def test_a_flag_can_take_back_what_the_file_says(capsys, folder):
    Path("c.toml").write_text("probability = true\n")
    arguments = ("segment", "image.ome.zarr", "o.ome.zarr", *CPU, "--json", "--restart", "--config", "c.toml")
    assert json_lines(run(capsys, *arguments))[-1]["probability"]
    assert json_lines(run(capsys, *arguments, "--no-probability"))[-1]["probability"] is None


def test_set_reads_numbers_words_tuples_and_tables(capsys, folder):
    arguments = ("synth", "p", "--shape", "8,16,16", "--json", "--set", "scene=sparse", "--set", "density=1")
    outcome = run(capsys, *arguments, "--set", "voxel_size_um=3,1,1", "--set", "appearance={photons=50}")
    (folder_,) = json_lines(outcome)[-1]["folders"]
    config = json.loads((Path(folder_) / "phantom.json").read_text())["config"]
    assert config["scene"] == "sparse"
    assert config["density"] == 1.0
    assert config["voxel_size_um"] == [3, 1, 1]
    assert config["appearance"] == {"photons": 50}


# --- progress, cancelling, failing ---------------------------------------------------------------------


def test_progress_goes_to_stderr_and_results_to_stdout(capsys, folder):
    outcome = run(capsys, "convert", "image.ome.zarr", "o.ome.zarr")
    assert "chunks" in outcome.err
    assert "chunks" not in outcome.out
    quiet = run(capsys, "convert", "image.ome.zarr", "q.ome.zarr", "--quiet")
    assert quiet.err == ""
    assert "q.ome.zarr" in quiet.out


def test_ctrl_c_stops_between_two_blocks_and_the_same_command_goes_on(capsys, folder, monkeypatch):
    from napari_vesselkd.inference import BlockDone, predict

    whole = ("segment", "image.ome.zarr", "whole.ome.zarr", *CPU, "--block", "16")
    assert run(capsys, *whole).code == 0
    made, before = predict.BlockDone, signal.getsignal(signal.SIGINT)

    def press(*values, **options):
        monkeypatch.setattr(predict, "BlockDone", made)
        signal.raise_signal(signal.SIGINT)
        return BlockDone(*values, **options)

    monkeypatch.setattr(predict, "BlockDone", press)
    arguments = ("segment", "image.ome.zarr", "o.ome.zarr", *CPU, "--block", "16")
    cancelled = run(capsys, *arguments)
    assert cancelled.code == 130
    assert "Cancelled after 1 of" in cancelled.err
    assert "run the same command again to go on" in cancelled.err
    assert signal.getsignal(signal.SIGINT) is before
    again = json_lines(run(capsys, *arguments, "--json"))
    assert again[-1]["report"] == "SegmentFinished"
    assert next(report["resumed"] for report in again if report["report"] == "BlockDone") == 1
    assert np.array_equal(array("o.ome.zarr"), array("whole.ome.zarr"))


def test_after_a_restart_going_on_means_without_restart(capsys, folder, monkeypatch):
    from napari_vesselkd.volume import convert as task

    def interrupted(*arguments):
        for report in task(*arguments):
            signal.raise_signal(signal.SIGINT)
            yield report

    monkeypatch.setattr("napari_vesselkd.volume.convert", interrupted)
    outcome = run(capsys, "convert", "image.ome.zarr", "o.ome.zarr", "--restart")
    assert outcome.code == 130
    assert "again, without --restart, to go on" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_the_real_command_with_130(folder):
    large = np.zeros((8, 2000, 2000), np.uint8)
    tifffile.imwrite("large.tif", large)
    command = [sys.executable, "-m", "napari_vesselkd.cli", "convert", "large.tif", "o.ome.zarr"]
    command += ["--set", "chunk=8,16,16", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "run the same command again to go on" in errors
    assert "Traceback" not in errors


def test_an_unexpected_error_leaves_its_traceback_in_a_log_and_exits_with_1(
    capsys, folder, monkeypatch, tmp_path
):
    def broken(*arguments, **options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("napari_vesselkd.volume.open_volume", broken)
    outcome = run(capsys, "info", "image.ome.zarr")
    assert outcome.code == 1
    assert "Unexpected error: RuntimeError: a bug" in outcome.err
    assert "Traceback" not in outcome.err
    log = Path(outcome.err.strip().splitlines()[-1].removeprefix("The traceback is in "))
    assert tmp_path in log.parents
    text = log.read_text()
    assert "vesselkd info image.ome.zarr" in text
    assert 'raise RuntimeError("a bug")' in text


def test_an_unwritable_log_folder_does_not_hide_the_error(capsys, folder, monkeypatch):
    monkeypatch.setattr("platformdirs.user_log_dir", lambda name: str(folder / "shifted.tif" / "log"))
    monkeypatch.setattr("napari_vesselkd.volume.open_volume", None)
    outcome = run(capsys, "info", "image.ome.zarr")
    assert outcome.code == 1
    assert "Traceback" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_has_seen_enough_is_no_error(folder):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "napari_vesselkd.cli", "info", "image.ome.zarr"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert result.stderr == ""
    assert result.returncode == 0


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    from napari_vesselkd.cli.console import Console
    from napari_vesselkd.reports import Progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    Console().follow(Progress(done, 2, "blocks", float(done)) for done in (1, 2))
    shown = capsys.readouterr()
    assert "2/2 blocks, 1 blocks/s" in shown.err
    assert shown.out == ""


def test_plain_lines_come_now_and_then_and_at_the_end(capsys):
    from napari_vesselkd.cli.console import Console
    from napari_vesselkd.reports import Progress

    Console().follow(Progress(done, 100, "blocks", done / 10) for done in range(1, 101))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["1/100 blocks, 10 blocks/s, 0:00:10 left", "100/100 blocks, 10 blocks/s"]


def test_main_is_what_the_installed_command_calls():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="vesselkd")
    assert script.load() is cli.main
