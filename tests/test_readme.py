"""What the README shows works as it is written."""

import re
import shlex
from pathlib import Path

import pytest

from napari_vesselkd.phantoms import PhantomConfig, make_phantom

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SLOW = "vk.FinetuneConfig()"
SMALL = {
    "0:256,0:1024,0:1024": "0:64,0:80,0:96",
    "--shape 64,256,256": "--shape 16,48,48",
    "--count 10": "--count 2",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    code = "".join(blocks("python"))
    assert SLOW in code
    code = code.replace(SLOW, "vk.FinetuneConfig(steps=4, phantom_share=0, threads=1)")
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "SegmentFinished" in printed and "Judgement" in printed


@pytest.fixture
def brain(tmp_path, monkeypatch):
    import tifffile

    phantom = make_phantom(PhantomConfig(shape=(64, 96, 96), seed=3))
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("brain.tif", phantom.image, metadata={"axes": "ZYX"})
    tifffile.imwrite("truth.tif", phantom.label, metadata={"axes": "ZYX"})
    return tmp_path


def test_the_commands_of_the_readme_run_one_after_the_other(brain):
    from napari_vesselkd.cli import main

    (console,) = blocks("console")
    for large, small in SMALL.items():
        assert large in console
        console = console.replace(large, small)
    for line in console.splitlines():
        assert main(shlex.split(line.removeprefix("$ vesselkd "))) == 0, line
    assert {path.name for path in brain.iterdir()} >= {
        "brain.ome.zarr",
        "vessels.ome.zarr",
        "figure.png",
        "phantoms",
    }


def test_every_link_of_the_readme_leads_somewhere():
    root = Path(__file__).parents[1]
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert target.startswith("https://") or (root / target).exists(), target
