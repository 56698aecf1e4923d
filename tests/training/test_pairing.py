"""Student, teacher, method and patch that do not fit are said; options are of the types that a method has."""

import pytest

from napari_vesselkd.distillation import METHODS
from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.quantiser import QuantiserConfig
from napari_vesselkd.models.teacher import Teacher, TeacherConfig
from napari_vesselkd.training.distill import DistillConfig
from napari_vesselkd.training.pairing import check_networks, method_config

SIZE = (1.0, 1.0, 1.0)
SMALL = TeacherConfig(network="segresnet", feature_size=12)


@pytest.fixture(scope="module")
def teacher():
    return Teacher(SMALL)


@pytest.mark.parametrize("given", ["0.2,0.8", [0.2, 0.8], (0.2, 0.8)])
def test_options_are_read_as_the_types_of_the_methods_fields(given):
    made = method_config(DistillConfig(options={"confident": given, "pseudo": 2, "soft": True}))
    assert (made.confident, made.pseudo, made.soft) == ((0.2, 0.8), 2.0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pseudo": "abc"}, r"options.pseudo.*'abc' .*allowed: number"),
        ({"confident": "0.1"}, r"options.confident.*float,float"),
        ({"soft": "no"}, "true or false"),
        ({"soft": 1}, "true or false"),
        ({"codes": -1.0}, "codes is out of range: -1.0"),
        ({"codes": float("nan")}, "codes is out of range"),
        ({"depth": 3}, "no such option: depth"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        method_config(DistillConfig(options=options))


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("kd", "temperature", 0),
        ("vid", "variance", 0.0),
        ("mean-teacher", "decay", 2.0),
        ("ua-mt", "decay", 2.0),
        ("ua-mt", "passes", 0),
        ("ua-mt", "dropout", 1.0),
    ],
)
def test_options_that_a_method_cannot_work_with_are_refused(method, option, value):
    with pytest.raises(InvalidInputError, match=f"option {option} is out of range"):
        method_config(DistillConfig(method=method, options={option: value}))


@pytest.mark.parametrize("patch", [(0, 64, 64), (64, -64, 64), (64, 64)])
def test_a_patch_without_voxels_is_refused(patch):
    with pytest.raises(InvalidInputError, match="patch is out of range"):
        DistillConfig(patch=patch)


@pytest.mark.parametrize(
    ("student", "message"),
    [("paper", "does not fit the student: 40,64,64"), ("coarse-z", "does not fit the teacher: 40,64,64")],
)
def test_a_patch_that_fits_not_both_networks_is_refused_with_one_that_does(teacher, student, message):
    config = DistillConfig(patch=(40, 64, 64), student=student)
    with pytest.raises(InvalidInputError, match=rf"{message} .*multiples of .*give 64,64,64"):
        check_networks(SIZE, teacher, config)


def test_a_patch_of_one_cell_does_not_fit_swin():
    small = Teacher(TeacherConfig(feature_size=12))
    with pytest.raises(InvalidInputError, match=r"does not fit the teacher: 32,32,32 .*more than one cell"):
        check_networks(SIZE, small, DistillConfig(patch=(32, 32, 32), student="paper"))


def test_codes_of_another_width_than_the_students_are_refused():
    narrow = Teacher(TeacherConfig(network="segresnet", feature_size=12, quantiser=QuantiserConfig(width=16)))
    with pytest.raises(InvalidInputError, match="32 and 16"):
        check_networks(SIZE, narrow, DistillConfig())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [SIZE, (5.0, 1.0, 1.0)])
def test_every_method_fits_the_networks_that_come_with_it(teacher, method, size):
    check_networks(size, teacher if METHODS[method].needs_teacher else None, DistillConfig(method=method))
