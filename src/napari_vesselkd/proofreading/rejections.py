"""Proposals that somebody rejected, kept in the project so that they are not made again.

PROJECT/rejections.jsonl: a line for each, with the voxels it would have written and a checksum of the labels
there, and a line where somebody asked to see those of a region again. A rejection holds while the labels in
its box, with a margin, are what they were. Notation: regions are in voxels (z, y, x) of the volume.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.geometry import Region
from napari_vesselkd.labels import Journal
from napari_vesselkd.labels.changes import packed, unpacked
from napari_vesselkd.labels.ledger import time_now
from napari_vesselkd.project import Project
from napari_vesselkd.proofreading.tools import Proposal
from napari_vesselkd.proofreading.tools.boxes import Source
from napari_vesselkd.proofreading.tools.walk import same_place

NAME = "rejections.jsonl"
MARGIN = (2, 2, 2)  # voxels around a proposal that count as there
Proposals = tuple[Proposal, ...]


@dataclass(frozen=True, eq=False)
class Rejected:
    """A proposal of a tool that was rejected, and the checksum of the labels as they were."""

    tool: str
    proposal: Proposal
    labels: int

    def holds(self, vessel: Source) -> bool:
        """Whether the labels there, given by `vessel`, are what they were."""
        return _checksum(self.proposal, vessel) == self.labels


class Rejections:
    """What was rejected in a project.

    A line that is damaged, or makes no sense, is a proposal that comes again.
    """

    def __init__(self, project: Project) -> None:
        self._project, self._path = project, project.path / NAME
        self._found: list[Rejected] = []
        for record in Journal.read(self._path)[0]:
            self._follow(record)

    def known(self, tool: str, region: Region, vessel: Source) -> Proposals:
        """Return what holds of the rejections of a tool that reach into a region."""
        return tuple(one.proposal for one in self._found if _is_of(one, tool, region) and one.holds(vessel))

    def add(self, tool: str, changes: Proposals, vessel: Source) -> None:
        """Keep that these proposals of a tool were rejected; `vessel` are the labels now.

        Raises
        ------
        ProjectBusyError, OutputError
            If the project is open read-only, or the disk is full: what is not written is not rejected.
        """
        for change in changes:
            rejected = Rejected(tool, change, _checksum(change, vessel))
            record = {
                "kind": "rejected",
                "tool": tool,
                "box": str(change.region),
                "mask": packed(change.mask.astype(np.uint8)),
                "value": change.value,
                "labels": rejected.labels,
            }
            self._append(record)
            self._found.append(rejected)

    def forget(self, tool: str, region: Region) -> None:
        """Let what was rejected of a tool in a region be proposed again; as `add`."""
        self._append({"kind": "forgotten", "tool": tool, "box": str(region)})
        self._found = [one for one in self._found if not _is_of(one, tool, region)]

    def _append(self, record: dict[str, Any]) -> None:
        self._project.require_writable()
        with Journal(self._path) as journal:
            journal.append({**record, "at": time_now()}, sync=False)

    def _follow(self, record: dict[str, Any]) -> None:
        try:
            tool, box = str(record["tool"]), Region.parse(record["box"], self._project.image.shape)
            if record["kind"] == "forgotten":
                self._found = [one for one in self._found if not _is_of(one, tool, box)]
            elif record["kind"] == "rejected":
                mask = unpacked(record["mask"], box.shape) > 0
                change = Proposal(tool, box, mask, int(record["value"]), "", 0.0)
                self._found.append(Rejected(tool, change, int(record["labels"])))
        except (VesselKDError, ValueError, KeyError, TypeError, AttributeError, zlib.error):
            return


def is_known(changes: Proposals, rejected: Proposals) -> bool:
    """Whether one of `changes` is at the place of one that was rejected."""
    return any(same_place(change, other) for change in changes for other in rejected)


def _is_of(one: Rejected, tool: str, region: Region) -> bool:
    return one.tool == tool and one.proposal.region.intersection(region) is not None


def _checksum(change: Proposal, vessel: Source) -> int:
    around = change.region.expanded(MARGIN).intersection(Region.whole(vessel.shape)) or change.region
    return zlib.crc32(np.packbits(np.asarray(vessel.read(around)) != 0).tobytes())
