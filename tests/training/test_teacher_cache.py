"""What the teacher said is kept as it was said, asked for once, and turned with the patch it belongs to."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_vesselkd.errors import OutputError
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.training import AugmentConfig
from napari_vesselkd.training.lessons import Lessons
from napari_vesselkd.training.streams import Source, Stream
from napari_vesselkd.training.teacher_cache import TeacherCache
from napari_vesselkd.volume import IntensityWindow, volume_from_arrays

SHAPE = (32, 64, 64)
MIRRORINGS = [[axis for axis in range(3) if flips >> axis & 1] for flips in range(8)]


def turned(array, axes, turns):
    return np.rot90(np.flip(array, axes), turns, (1, 2))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    config = TeacherConfig(network="segresnet", feature_size=12, quantiser=QuantiserConfig(codes=16, width=8))
    return Teacher(config).eval()


@pytest.fixture
def stream():
    image = np.random.default_rng(0).integers(0, 40, (40, 80, 80)).astype(np.uint16)
    image[10:16, :, 20:27] += 61
    image[:, 50:54, 30:33] += 61
    volume = volume_from_arrays([image], voxel_size_um=(1, 1, 1), name="volume")
    labels = (1 + (image > 60)).astype(np.uint8)
    return Stream([Source("volume", volume, IntensityWindow(0, 100), lambda box: labels[box.slices])], SHAPE)


def cache(folder, stream, count=3, *, soft=False):
    return TeacherCache(folder, stream, stream.places(count, seed=1), soft=soft)


def asked(teacher, stream, place):
    with torch.inference_mode():
        return teacher.view(torch.from_numpy(stream.read(place).image)[None, None])


def test_hard_answers_are_the_teachers_codes_and_the_sign_of_its_logits(tmp_path, teacher, stream):
    kept = cache(tmp_path, stream)
    list(kept.fill(teacher))
    for entry, place in enumerate(kept.places):
        view = asked(teacher, stream, place)
        indices, said = kept.read(entry)
        np.testing.assert_array_equal(indices, view.indices[0])
        np.testing.assert_array_equal(said, (view.logits[0, 0] > 0).numpy() * 255)
    assert (tmp_path / "pseudo-labels.npy").stat().st_size < 3 * 32 * 64 * 64 / 8 + 200


def test_soft_answers_are_the_mean_over_the_eight_mirrorings(tmp_path, teacher, stream):
    kept = cache(tmp_path, stream, 1, soft=True)
    list(kept.fill(teacher))
    image = torch.from_numpy(stream.read(kept.places[0]).image)
    total = 0
    for axes in MIRRORINGS:
        with torch.inference_mode():
            total = total + torch.sigmoid(teacher(image.flip(axes)[None, None]))[0, 0].flip(axes)
    np.testing.assert_allclose(kept.read(0)[1] / 255, total / 8, atol=0.003)


def test_a_place_is_asked_about_once_even_after_a_kill(tmp_path, teacher, stream, monkeypatch):
    calls = []

    def counted(self, teacher, image):
        calls.append(1)
        return np.zeros((1, 2, 2), np.int16), np.zeros(32 * 64 * 64 // 8, np.uint8)

    monkeypatch.setattr(TeacherCache, "_ask", counted)
    part = cache(tmp_path, stream, 20)
    for report in part.fill(teacher):
        assert report.done == 16
        break
    whole = cache(tmp_path, stream, 20)
    list(whole.fill(teacher))
    assert len(calls) == 20
    list(cache(tmp_path, stream, 20).fill(teacher))
    assert len(calls) == 20


def test_a_full_disk_is_said_and_what_is_there_stays(tmp_path, teacher, stream, monkeypatch):
    def full(self, files, done):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TeacherCache, "_note", full)
    with pytest.raises(OutputError, match=r"[Ss]pace|full"):
        list(cache(tmp_path, stream).fill(teacher))


def test_a_disk_that_is_too_small_is_said_before_the_teacher_is_asked(tmp_path, teacher, stream, monkeypatch):
    asked = []
    monkeypatch.setattr(TeacherCache, "_ask", lambda *of: asked.append(of))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 0, 1000))
    with pytest.raises(OutputError, match=r"too little space: .* free .*needed.* Free some space"):
        list(cache(tmp_path / "answers", stream).fill(teacher))
    assert not asked and not (tmp_path / "answers").exists()


FULL = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from napari_vesselkd.errors import OutputError
from napari_vesselkd.training import teacher_cache
from napari_vesselkd.training.teacher_cache import TeacherCache

class Kept(TeacherCache):
    def _ask(self, teacher, image):
        return np.ones((2, 2, 2), np.int16), np.full(64**3 // 8, 255, np.uint8)

teacher_cache.check_disk_space = lambda *of: None  # others took the space meanwhile
stream = SimpleNamespace(shape=(64, 64, 64), read=lambda place: SimpleNamespace(image=None))
folder = Path(sys.argv[1]) / "answers"
ballast = Path(sys.argv[1]) / "ballast"
ballast.write_bytes(bytes(2**20))
def filled():
    kept = Kept(folder, stream, range(40), soft=False)
    list(kept.fill(SimpleNamespace(total_stride=(32, 32, 32))))
    return kept
try:
    filled()
except OutputError as error:
    print(error)
print((folder / "done.json").read_text())
ballast.unlink()
kept = filled()
print(all(kept.read(entry)[1].min() == 255 for entry in range(40)))
"""


def test_a_disk_that_becomes_full_is_an_error_and_the_same_call_goes_on(tmp_path):
    """On a real disk of 2 MiB, half of which is freed in between."""
    mount = 'mount -t tmpfs -o size=2m tmpfs "$1" && shift && exec "$@"'
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh", tmp_path]
    try:
        able = subprocess.run([*inside, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        able = False
    if not able:
        pytest.skip("a small disk cannot be mounted here")
    words = [*inside, sys.executable, "-c", FULL, tmp_path]
    outcome = subprocess.run(words, check=False, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    said, done, whole = outcome.stdout.splitlines()
    assert "disk is full" in said and done == '{"done": 16}' and whole == "True"


def test_a_teacher_in_training_mode_is_refused(tmp_path, teacher, stream):
    teacher.train()
    try:
        with pytest.raises(AssertionError):
            list(cache(tmp_path, stream).fill(teacher))
    finally:
        teacher.eval()


def test_labels_and_answers_turn_with_the_image(tmp_path, teacher, stream):
    kept = cache(tmp_path, stream, 4)
    list(kept.fill(teacher))
    batches = Lessons([stream], (3, 0), None, seed=2, caches=[kept])
    images = [stream.read(place).image for place in kept.places]
    for number in range(4):
        lesson = batches(number)
        for n in range(3):
            image, label = lesson.batch.image[n, 0].numpy(), lesson.batch.label[n, 0].numpy()
            np.testing.assert_array_equal(label > 0, image > 0.6 + 1e-6)  # as the labels were made
            matches = [
                (axes, turns, *kept.read(entry))
                for entry in range(4)
                for axes in MIRRORINGS
                for turns in range(4)
                if np.array_equal(turned(images[entry], axes, turns), image)
            ]
            assert matches
            axes, turns, indices, said = matches[0]
            np.testing.assert_array_equal(lesson.taught.indices[n], turned(indices, axes, turns))
            np.testing.assert_array_equal(lesson.taught.probability[n, 0], turned(said, axes, turns) / 255)


def test_each_place_is_met_once_before_any_is_met_again(tmp_path, teacher, stream):
    kept = cache(tmp_path, stream, 4)
    list(kept.fill(teacher))
    batches = Lessons([stream], (2, 0), None, seed=2, caches=[kept])
    names = [name for number in range(6) for name in batches(number).names]
    laps = [names[at : at + 4] for at in range(0, 12, 4)]
    assert all(sorted(lap) == sorted(map(stream.name, kept.places)) for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 1


def test_a_lesson_has_labelled_patches_first_and_no_labels_beyond_them(stream):
    plain = Stream([Source("other", stream.sources[0].volume, stream.sources[0].window)], SHAPE)
    lesson = Lessons([stream, plain], (2, 3), AugmentConfig(), seed=0)(7)
    assert lesson.batch.image.shape == (5, 1, *SHAPE) and lesson.labelled == 2
    assert lesson.batch.label[:2].any() and not lesson.batch.label[2:].any()
    assert lesson.supervised.image.shape[0] == 2
    again = Lessons([stream, plain], (2, 3), AugmentConfig(), seed=0)(7)
    assert torch.equal(lesson.batch.image, again.batch.image)
