"""Projections of volumes that do not fit into memory, and pictures of them; no torch."""

from napari_vesselkd.projections.crop import Crop, cropping
from napari_vesselkd.projections.depth_colour import depth_coloured, with_depth_key
from napari_vesselkd.projections.over import LabelOverlay
from napari_vesselkd.projections.picture import coloured, contrast_window, figure, overlay, picture
from napari_vesselkd.projections.project import Projection, mip, parse_slab, pixel_size_um, projecting
from napari_vesselkd.projections.saving import check_picture_path, save_png, save_tiff, write_png
from napari_vesselkd.projections.slabs import SlabProjection, SlabProjector

__all__ = [
    "Crop",
    "LabelOverlay",
    "Projection",
    "SlabProjection",
    "SlabProjector",
    "check_picture_path",
    "coloured",
    "contrast_window",
    "cropping",
    "depth_coloured",
    "figure",
    "mip",
    "overlay",
    "parse_slab",
    "picture",
    "pixel_size_um",
    "projecting",
    "save_png",
    "save_tiff",
    "with_depth_key",
    "write_png",
]
