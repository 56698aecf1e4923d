"""Segment, look at, correct and learn 3D vessel volumes of any size.

The names below are the public Python API; they are loaded on first use, so that importing the package loads
neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_vesselkd.checkpoints import CheckpointRegistry
    from napari_vesselkd.geometry import Region
    from napari_vesselkd.inference import SegmentConfig, preflight, segment, segment_project
    from napari_vesselkd.learning import judge, learn
    from napari_vesselkd.measure import evaluate
    from napari_vesselkd.patterns.code_map import CodeMap
    from napari_vesselkd.patterns.codes import map_codes, map_project_codes, preflight_codes
    from napari_vesselkd.patterns.config import CodesConfig
    from napari_vesselkd.patterns.nearest import nearest_codes
    from napari_vesselkd.phantoms import PhantomConfig, make_phantom, write_phantom
    from napari_vesselkd.project import Project
    from napari_vesselkd.projections import mip
    from napari_vesselkd.training.finetune import FinetuneConfig
    from napari_vesselkd.volume import Volume, convert, measure_intensity_window, open_volume

_HOME = {
    "CheckpointRegistry": "checkpoints",
    "CodeMap": "patterns.code_map",
    "CodesConfig": "patterns.config",
    "FinetuneConfig": "training.finetune",
    "PhantomConfig": "phantoms",
    "Project": "project",
    "Region": "geometry",
    "SegmentConfig": "inference",
    "Volume": "volume",
    "convert": "volume",
    "evaluate": "measure",
    "judge": "learning",
    "learn": "learning",
    "make_phantom": "phantoms",
    "map_codes": "patterns.codes",
    "map_project_codes": "patterns.codes",
    "measure_intensity_window": "volume",
    "mip": "projections",
    "nearest_codes": "patterns.nearest",
    "open_volume": "volume",
    "preflight": "inference",
    "preflight_codes": "patterns.codes",
    "segment": "inference",
    "segment_project": "inference",
    "write_phantom": "phantoms",
}

__version__ = version("napari-vesselkd")
__all__ = [
    "CheckpointRegistry",
    "CodeMap",
    "CodesConfig",
    "FinetuneConfig",
    "PhantomConfig",
    "Project",
    "Region",
    "SegmentConfig",
    "Volume",
    "convert",
    "evaluate",
    "judge",
    "learn",
    "make_phantom",
    "map_codes",
    "map_project_codes",
    "measure_intensity_window",
    "mip",
    "nearest_codes",
    "open_volume",
    "preflight",
    "preflight_codes",
    "segment",
    "segment_project",
    "write_phantom",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"napari_vesselkd.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
