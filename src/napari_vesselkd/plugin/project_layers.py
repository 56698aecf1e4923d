"""The layers of an open project: its image, `vesselkd: student`, `vesselkd: corrections`.

Notation: corrections are 0 unlabelled, 1 background, 2 vessel.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import LabelStore
from napari_vesselkd.plugin.layers import (
    STUDENT,
    current_steps,
    find_layer,
    is_candidate,
    live_levels,
    refusal,
    show_labels,
    shown_by,
    volume_of,
)
from napari_vesselkd.plugin.live_level import LiveLevel
from napari_vesselkd.plugin.reader import image_layer, kept_open
from napari_vesselkd.plugin.streaming import mark_changed
from napari_vesselkd.project import Project
from napari_vesselkd.volume import Volume

CORRECTIONS = "vesselkd: corrections"
BACKGROUND_COLOUR = (0.35, 0.65, 1.0, 0.22)
VESSEL_COLOUR = "#ff9a2e"
CORRECTION_COLOURS: dict[Any, Any] = {
    None: "transparent",
    0: "transparent",
    1: BACKGROUND_COLOUR,
    2: VESSEL_COLOUR,
}


@dataclass(frozen=True, eq=False)
class ProjectLabels:
    """The label images of a project, opened in a worker.

    Attributes
    ----------
    stores : tuple of (name of the layer, LabelStore, its levels as layers show them)
    """

    stores: tuple[tuple[str, LabelStore, tuple[LiveLevel, ...]], ...]


def open_labels(project: Project) -> ProjectLabels:
    """Open the labels, where there are any, and the corrections."""
    found = [(STUDENT, project.labels), (CORRECTIONS, project.corrections)]
    return ProjectLabels(tuple((name, store, live_levels(store)) for name, store in found if store))


def show_project(viewer: Any, labels: ProjectLabels, image: Any) -> None:
    """Show the label images of a project over its image, in the layers that showed them before."""
    for name, store, live in labels.stores:
        colours = CORRECTION_COLOURS if name == CORRECTIONS else None
        show_labels(viewer, store, image, live=live, name=name, colours=colours).visible = True


def hide_project(viewer: Any, project: Project) -> None:
    """Hide the layers that show label images inside the project's folder.

    They are not removed: where several Labels layers are removed one after the other, vispy crashes when the
    next one is drawn (napari 0.9.2, seen with Mesa's llvmpipe). Opened again, the project shows them again.
    """
    for layer in viewer.layers:
        handle = shown_by(layer)
        if handle is not None and handle.store is not None and project.path in handle.store.path.parents:
            layer.visible = False


def levels_shown(viewer: Any, image: Any) -> list[tuple[LiveLevel, ...]]:
    """Return the levels of the student's and the corrections' layers, to be told what changes."""
    layers = [find_layer(viewer, name, image) for name in (STUDENT, CORRECTIONS)]
    handles = [shown_by(layer) for layer in layers if layer is not None]
    return [handle.live for handle in handles if handle is not None and handle.live]


def decode_again(levels: Sequence[tuple[LiveLevel, ...]], region: Region) -> None:
    """Decode what changed inside `region` (voxels of the volume), in the worker that calls this."""
    for live in levels:
        mark_changed(live, region)


def refresh_labels(viewer: Any, image: Any) -> None:
    """Draw the student's and the corrections' layers again."""
    for name in (STUDENT, CORRECTIONS):
        layer = find_layer(viewer, name, image)
        if layer is not None:
            layer.refresh()


def remove_layer(viewer: Any, layer: Any, drawings: deque[Any]) -> None:
    """Take a layer away, but let its drawing live on for a while.

    Where two Labels layers were removed and another is added, drawing crashes in glDrawArrays (plain
    napari 0.9.2 with Mesa's llvmpipe; cause unknown). With the drawing kept it was not seen again.
    """
    with suppress(AttributeError, KeyError):
        drawings.append(viewer.window._qt_viewer.canvas.layer_to_visual[layer])
    viewer.layers.remove(layer)


def image_volumes(viewer: Any) -> list[tuple[Any, Volume]]:
    """Return the image layers that can be segmented, with their volumes."""
    found = []
    for layer in viewer.layers:
        if is_candidate(layer) and refusal(layer) is None:
            with suppress(VesselKDError):
                found.append((layer, volume_of(layer, current_steps(viewer, layer)).volume))
    return found


def layer_of(viewer: Any, volume: Volume) -> Any:
    """Return the layer that shows the file of `volume`; it is added where there is none."""
    for layer in viewer.layers:
        handle = shown_by(layer)
        shown = None if handle is None or handle.store is not None else handle.volume
        if is_candidate(layer) and shown is not None and _same_file(shown, volume):
            return layer
    data, kwargs, _ = image_layer(kept_open(volume))
    return viewer.add_image(data, **kwargs)


def _same_file(one: Volume, other: Volume) -> bool:
    if one.path is None or other.path is None:
        return False
    same = Path(one.path).absolute() == Path(other.path).absolute()
    return same and (one.shape, one.channel) == (other.shape, other.channel)
