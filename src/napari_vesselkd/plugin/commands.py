"""Commands of napari's menus: they open the dock at one of its tabs."""

from typing import Any

from napari.viewer import Viewer

PLUGIN = "napari-vesselkd"
DOCK = "VesselKD"
PROJECTIONS = "VesselKD projections"


def open_segment(viewer: Viewer) -> None:
    """Open the dock at Segment."""
    show_dock(viewer).show_tab("Segment")


def open_look(viewer: Viewer) -> None:
    """Open the dock at Look."""
    show_dock(viewer).show_tab("Look")


def open_correct(viewer: Viewer) -> None:
    """Open the dock at Correct."""
    show_dock(viewer).show_tab("Correct")


def open_learn(viewer: Viewer) -> None:
    """Open the dock at Learn."""
    show_dock(viewer).show_tab("Learn")


def show_projections(viewer: Any) -> Any:
    """Return this viewer's dock of the three projections, opened if it was not."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, PROJECTIONS, tabify=True)
    dock.show()
    dock.raise_()
    return widget


def show_dock(viewer: Any) -> Any:
    """Return this viewer's VesselKD dock, opened if it was not."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK, tabify=True)
    dock.show()
    dock.raise_()
    return widget
