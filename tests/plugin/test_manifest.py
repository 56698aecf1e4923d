"""The manifest: valid, reachable from the top of the repository, and every command runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_vesselkd

NAME = "napari-vesselkd"
MANIFEST = Path(napari_vesselkd.__file__).with_name("napari.yaml")


def test_npe2_finds_the_manifest_valid():
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(MANIFEST)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_package_gives_this_manifest():
    assert PluginManifest.from_distribution(NAME).contributions.widgets[0].display_name == "VesselKD"


def test_the_link_at_the_top_of_the_repository_is_the_same_file():
    top = Path(__file__).parents[2] / "napari.yaml"
    if not top.exists():
        pytest.skip("not a checkout")
    assert top.resolve() == MANIFEST.resolve()


def test_every_command_can_be_imported():
    for command in PluginManifest.from_file(MANIFEST).contributions.commands:
        module, _, attribute = command.python_name.partition(":")
        assert callable(getattr(__import__(module, fromlist=[attribute]), attribute)), command.id


def test_the_samples_open_with_the_image_and_its_hidden_truth(make_napari_viewer):
    viewer = make_napari_viewer()
    image, truth = viewer.open_sample(NAME, "capillaries")
    assert image.data.shape == truth.data.shape
    assert tuple(image.scale) == tuple(truth.scale)
    assert not truth.visible
    image, _ = viewer.open_sample(NAME, "coarse_z")
    assert image.scale[0] / image.scale[1] > 3


def test_the_menu_commands_open_the_dock_at_their_tab_once(viewer):
    from napari_vesselkd.plugin.commands import open_look, open_segment, show_dock

    open_look(viewer)
    dock = show_dock(viewer)
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Look"
    open_segment(viewer)
    assert show_dock(viewer) is dock
    assert dock.tabs.tabText(dock.tabs.currentIndex()) == "Segment"


def test_the_menu_commands_are_in_napari_s_menus_and_find_the_viewer(viewer):
    from napari._app_model import get_app_model

    app = get_app_model()
    for command, menu in (("open_segment", "napari/layers/segment"), ("open_look", "napari/layers/project")):
        assert f"{NAME}.{command}" in {
            item.command.id for item in app.menus.get_menu(menu) if hasattr(item, "command")
        }
        app.commands.execute_command(f"{NAME}.{command}").result()
    assert any("VesselKD" in name for name in viewer.window.dock_widgets)
