"""Projections of volumes that do not fit into memory, and pictures of them; no torch."""

from napari_vesselkd.projections.picture import contrast_window, overlay, picture
from napari_vesselkd.projections.project import Projection, mip, parse_slab, pixel_size_um, projecting
from napari_vesselkd.projections.saving import check_picture_path, save_png, save_tiff, write_png
from napari_vesselkd.projections.slabs import SlabProjection, SlabProjector

__all__ = [
    "Projection",
    "SlabProjection",
    "SlabProjector",
    "check_picture_path",
    "contrast_window",
    "mip",
    "overlay",
    "parse_slab",
    "picture",
    "pixel_size_um",
    "projecting",
    "save_png",
    "save_tiff",
    "write_png",
]
