"""Promises of the package as a whole: what importing loads, what the wheel holds, what the engine needs."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_QT = """
import importlib.abc, sys

QT = {"napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6"}

class NoQt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in QT:
            raise ModuleNotFoundError(f"{name} is blocked in this test", name=name)

sys.meta_path.insert(0, NoQt())
"""


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_neither_torch_nor_napari():
    loaded = run_python(
        """
        import sys
        import napari_vesselkd
        heavy = {"torch", "monai", "napari", "qtpy", "zarr", "skimage", "openvino"}
        print(sorted(heavy & set(sys.modules)))
        """
    )
    assert loaded.strip() == "[]"


def test_every_public_name_can_be_loaded():
    import napari_vesselkd

    for name in napari_vesselkd.__all__:
        assert getattr(napari_vesselkd, name) is not None
    assert set(napari_vesselkd.__all__) <= set(dir(napari_vesselkd))


def test_an_unknown_name_is_an_attribute_error():
    import napari_vesselkd

    with pytest.raises(AttributeError, match="no_such_name"):
        napari_vesselkd.no_such_name  # noqa: B018


def test_the_engine_runs_where_no_qt_is_installed(tmp_path):
    printed = run_python(
        NO_QT
        + textwrap.dedent(
            """
            import numpy as np
            import napari_vesselkd as vk
            from napari_vesselkd.phantoms import PhantomConfig, write_phantom

            phantom = vk.make_phantom(PhantomConfig(shape=(32, 64, 64), seed=1))
            write_phantom(phantom, sys.argv[1])
            for report in vk.segment(sys.argv[1] + "/image.ome.zarr", sys.argv[1] + "/out.ome.zarr"):
                last = report
            print(type(last).__name__)
            metrics = vk.evaluate(sys.argv[1] + "/out.ome.zarr", sys.argv[1] + "/label.ome.zarr")
            print(0.0 <= metrics.dice <= 1.0)
            """
        ),
        str(tmp_path),
    )
    assert printed.split() == ["SegmentFinished", "True"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_manifest_types_and_weights(wheel):
    names = set(wheel.namelist())
    assert "napari_vesselkd/napari.yaml" in names
    assert "napari_vesselkd/py.typed" in names
    weights = [name for name in names if name.endswith(".safetensors")]
    cards = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    assert weights
    assert {name.removesuffix(".safetensors") for name in weights} <= cards


def test_the_weights_in_the_wheel_take_less_than_11_mb(wheel):
    weights = [entry for entry in wheel.infolist() if entry.filename.endswith(".safetensors")]
    assert 0 < sum(entry.file_size for entry in weights) < 11_000_000


def test_the_wheel_holds_no_image_data(wheel):
    endings = (".tif", ".tiff", ".nii", ".gz", ".h5", ".mha", ".nrrd", ".npy", ".npz", ".pkl", ".pt")
    assert [name for name in wheel.namelist() if name.endswith(endings) or ".zarr/" in name] == []
