"""What the Segment tab shows, without a window."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from napari_vesselkd.errors import DeviceError
from napari_vesselkd.geometry import Region
from napari_vesselkd.plugin.chosen_volume import Chosen, default_output
from napari_vesselkd.plugin.failure import describe_failure
from napari_vesselkd.plugin.progress_text import duration
from napari_vesselkd.plugin.segment_state import (
    Estimate,
    Form,
    Phase,
    RunState,
    Target,
    Where,
    check_output,
    command_line,
    draw,
)
from napari_vesselkd.reports import Progress

SHAPE = (96, 256, 256)


@pytest.fixture
def chosen(tmp_path):
    return Chosen("brain", SHAPE, "uint16", (3.0, 1.6, 1.6), True, path=tmp_path / "brain.ome.zarr")


@pytest.fixture
def form(chosen):
    return Form(
        chosen=chosen, region=Region.whole(SHAPE), where=Where.WHOLE, output=str(default_output(chosen))
    )


def paint(form, estimate=Estimate(), run=RunState()):  # noqa: B008 (frozen)
    return draw(form, estimate, run)


def test_a_complete_form_can_be_run(form):
    picture = paint(form)
    assert picture.run.enabled
    assert picture.reason == ""
    assert not picture.bar_visible


def test_without_a_volume_run_says_to_open_one():
    picture = paint(Form())
    assert not picture.run.enabled
    assert "Open a volume first" in picture.reason == picture.run.tooltip


def test_a_refused_layer_says_why_in_place_of_its_facts(form):
    picture = paint(replace(form, chosen=None, refusal="'a' is an RGB image"))
    assert "RGB" in picture.volume_text
    assert "RGB" in picture.reason


def test_an_empty_view_and_an_empty_box_say_what_to_do(form):
    assert "on screen" in paint(replace(form, region=None, where=Where.VIEW)).reason
    assert "larger than its start" in paint(replace(form, region=None, where=Where.BOX)).reason


def test_a_failed_preflight_disables_run_with_its_message(form):
    picture = paint(form, Estimate(problem="There is no CUDA device"))
    assert picture.run.tooltip == "There is no CUDA device"
    assert picture.estimate_is_problem


@pytest.mark.parametrize("name", ["labels.png", "labels", "labels.zip"])
def test_an_unknown_ending_is_a_problem_with_the_known_ones_named(form, tmp_path, name):
    problem = check_output(replace(form, output=str(tmp_path / name)))
    assert name in problem
    assert ".ome.zarr" in problem


def test_the_volume_itself_is_not_an_output(form):
    assert "the volume itself" in check_output(replace(form, output=str(form.chosen.path)))


def test_a_read_only_folder_is_found_before_the_run(form, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"No permission to write in {tmp_path}" in check_output(
        replace(form, output=str(tmp_path / "new" / "a.tif"))
    )


def test_the_default_output_lies_beside_the_volume_and_names_the_channel(chosen, tmp_path):
    assert default_output(chosen) == tmp_path / "brain-vessels.ome.zarr"
    assert default_output(replace(chosen, channel=2)).name == "brain-c2-vessels.ome.zarr"


def test_the_default_output_of_a_layer_without_file_has_a_harmless_name(chosen):
    path = default_output(replace(chosen, path=None, name="../my layer [1]"))
    assert path == Path.home() / "vesselkd" / "my-layer-1-vessels.ome.zarr"


def test_a_volume_in_a_read_only_folder_goes_to_the_home_folder(chosen, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert default_output(chosen) == Path.home() / "vesselkd" / "brain-vessels.ome.zarr"


def test_the_command_line_holds_exactly_what_differs_from_the_defaults(form):
    text, complete = command_line(form)
    assert complete
    assert shlex.split(text) == ["vesselkd", "segment", str(form.chosen.path), form.output]
    changed = replace(
        form,
        region=Region((0, 8, 0), (32, 64, 64)),
        checkpoint="my net",
        device="cpu",
        precision="bf16",
        threshold=0.4,
        block=128,
        probability=True,
        restart=True,
    )
    words = shlex.split(command_line(changed)[0])
    assert words[4:] == [
        "--checkpoint", "my net", "--region", "0:32,8:64,0:64", "--device", "cpu", "--precision", "bf16",
        "--threshold", "0.4", "--block", "128", "--probability", "--restart",
    ]  # fmt: skip


LEVELS = (SHAPE, (96, 128, 128), (48, 64, 64))


def test_a_coarser_level_is_worked_on_in_its_own_voxels(form):
    chosen = replace(form.chosen, level_shapes=LEVELS)
    coarse = replace(form, chosen=chosen, level=1, region=Region((0, 64, 0), (32, 128, 256)))
    assert coarse.level_region == Region((0, 32, 0), (32, 64, 128))
    words = shlex.split(command_line(coarse)[0])
    assert words[4:] == ["--level", "1", "--region", "0:32,32:64,0:128"]
    whole = replace(coarse, region=Region.whole(SHAPE), level=2)
    assert shlex.split(command_line(whole)[0])[4:] == ["--level", "2"]
    assert paint(coarse).level_visible
    assert not paint(form).level_visible


def test_a_coarser_level_gets_an_output_of_its_own(chosen):
    assert default_output(chosen, 2).name == "brain-level2-vessels.ome.zarr"


def test_a_voxel_size_that_was_typed_goes_into_the_command_line(form):
    words = shlex.split(command_line(replace(form, chosen=replace(form.chosen, size_typed=True)))[0])
    assert words[4:] == ["--voxel-size", "3,1.6,1.6"]


def test_an_unknown_voxel_size_is_not_filled_in_and_can_be_typed(form):
    picture = paint(replace(form, chosen=replace(form.chosen, voxel_size_known=False)))
    assert picture.voxel_size_um is None
    assert picture.size_visible
    assert picture.size_locked == ""
    assert paint(form).voxel_size_um == (3.0, 1.6, 1.6)


@pytest.mark.parametrize(
    ("changes", "word"), [({"project_open": True}, "project"), ({"chosen": {"tilted": True}}, "rotated")]
)
def test_a_locked_voxel_size_says_why(form, changes, word):
    if "chosen" in changes:
        changes = {"chosen": replace(form.chosen, **changes["chosen"])}
    assert word in paint(replace(form, **changes)).size_locked


@pytest.fixture
def into(form, tmp_path):
    """The form with labels going into a project."""
    target = Target(tmp_path / "brain.vesselkd", "finetune-001", corrections=2)
    return replace(form, target=target, project_open=True, output="")


def test_labels_can_go_into_the_open_project_and_the_tab_says_so(into):
    picture = paint(into)
    assert picture.run.enabled
    assert picture.output_text == "Into brain.vesselkd. Your 2 accepted blocks stay on top."
    assert picture.into_visible
    assert not picture.output_visible
    assert shlex.split(picture.command) == [
        "vesselkd", "segment", str(into.chosen.path), str(into.target.path),
    ]  # fmt: skip


def test_a_file_can_still_be_chosen_while_a_project_is_open(form):
    picture = paint(replace(form, project_open=True))
    assert picture.into_visible
    assert picture.output_visible


def test_after_a_promotion_run_reads_segment_again_and_says_what_made_the_labels(into):
    picture = paint(into, Estimate(text="About 3 s", again="The labels were made by student-coarse-z"))
    assert picture.run.text == "Segment again"
    assert picture.estimate_text.startswith("The labels were made by student-coarse-z")
    assert "About 3 s" in picture.estimate_text


def test_a_layer_without_file_has_no_runnable_command_line(form):
    text, complete = command_line(replace(form, chosen=replace(form.chosen, path=None)))
    assert not complete
    assert "SOURCE" in text


def test_a_running_task_locks_the_inputs_and_shows_rate_and_time_left(form):
    progress = Progress(done=12, total=30, unit="blocks", seconds=4.0, resumed=2)
    picture = paint(form, run=RunState(phase=Phase.RUNNING, progress=progress))
    assert not picture.inputs_enabled
    assert not picture.run.enabled
    assert picture.pause.enabled
    assert picture.cancel.enabled
    assert picture.bar_permille == 400
    assert picture.bar_text == "12 of 30 blocks · 2.5 blocks/s · 7.2 s left"


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (Phase.STARTING, "Starting"),
        (Phase.PAUSING, "after this block"),
        (Phase.PAUSED, "Paused"),
        (Phase.CANCELLING, "after this block"),
        (Phase.CANCELLED, "goes on where it stopped"),
        (Phase.FAILED, "Stopped by an error"),
    ],
)
def test_every_phase_says_what_it_is(form, phase, word):
    assert word in paint(form, run=RunState(phase=phase)).bar_text


def test_a_paused_task_can_go_on_or_be_cancelled(form):
    picture = paint(form, run=RunState(phase=Phase.PAUSED))
    assert picture.pause.text == "Go on"
    assert picture.pause.enabled
    assert picture.cancel.enabled


def test_cancel_cannot_be_pressed_twice_and_says_so(form):
    picture = paint(form, run=RunState(phase=Phase.CANCELLING))
    assert not picture.cancel.enabled
    assert "after this block" in picture.cancel.tooltip


def test_after_an_error_the_form_can_be_run_again_and_the_error_stays(form):
    failure = describe_failure(DeviceError("There is no GPU", value="cuda", remedy="Choose cpu"))
    picture = paint(form, run=RunState(phase=Phase.FAILED, failure=failure))
    assert picture.run.enabled
    assert picture.failure.headline == "There is no GPU: cuda."
    assert picture.failure.remedy == "Choose cpu"
    assert "DeviceError" in picture.failure.details


def test_an_unexpected_error_keeps_its_traceback():
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError as error:
        failure = describe_failure(error)
    assert not failure.expected
    assert failure.headline == "ZeroDivisionError: x"
    assert "test_segment_state.py" in failure.details


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (59.6, "1 min 0 s"), (75, "1 min 15 s"), (7500, "2 h 5 min")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_voxel_sizes_of_medical_volumes_read_in_millimetres(form):
    chosen = replace(form.chosen, voxel_size_um=(1500.0, 879.0, 879.0))
    assert "1.5 × 0.879 × 0.879 mm" in paint(replace(form, chosen=chosen)).volume_text
