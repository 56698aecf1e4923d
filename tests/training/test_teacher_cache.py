"""What the teacher said is kept as it was said, asked for once, and turned with the patch it belongs to."""

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
