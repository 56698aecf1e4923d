"""Tools that offer a correction and apply nothing: each returns proposals.

Notation: z, y, x axes; a vessel source is 0 where there is no vessel; points are in voxels, lengths in um;
the values to write are those of corrections, 1 background and 2 vessel. No torch, no Qt.
"""

from napari_vesselkd.proofreading.tools.boxes import OnlyValue
from napari_vesselkd.proofreading.tools.brush import threshold_brush
from napari_vesselkd.proofreading.tools.components import (
    accept_components,
    component_proposals,
    delete_component,
)
from napari_vesselkd.proofreading.tools.connect import connect
from napari_vesselkd.proofreading.tools.cut import cut
from napari_vesselkd.proofreading.tools.fill import bounded_fill, hollow_fill
from napari_vesselkd.proofreading.tools.fit_image import fit_to_image
from napari_vesselkd.proofreading.tools.gaps import gap_proposals
from napari_vesselkd.proofreading.tools.interpolate import interpolate
from napari_vesselkd.proofreading.tools.proposal import BACKGROUND, VESSEL, Proposal, ProposalsFound
from napari_vesselkd.proofreading.tools.quality import Quality, agreement, quality
from napari_vesselkd.proofreading.tools.seeded import merge, split
from napari_vesselkd.proofreading.tools.spurs import delete_spur, spur_proposals
from napari_vesselkd.proofreading.tools.walk import walk_gaps

__all__ = [
    "BACKGROUND",
    "VESSEL",
    "OnlyValue",
    "Proposal",
    "ProposalsFound",
    "Quality",
    "accept_components",
    "agreement",
    "bounded_fill",
    "component_proposals",
    "connect",
    "cut",
    "delete_component",
    "delete_spur",
    "fit_to_image",
    "gap_proposals",
    "hollow_fill",
    "interpolate",
    "merge",
    "quality",
    "split",
    "spur_proposals",
    "threshold_brush",
    "walk_gaps",
]
