"""What was found about a block, and the file in the project that keeps it: ``queue.json``.

All of it can be computed again, so a file that is broken, of a newer version or of another project counts as
none. It is written aside and renamed.

Notation: z, y, x axes; shares are 0..1; None is what was not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.proofreading.calibration import Reliability
from napari_vesselkd.proofreading.queue_topology import Topology
from napari_vesselkd.volume import output_errors

FILE = "queue.json"
KIND = "napari-vesselkd review queue"
VERSION = 1


@dataclass(frozen=True)
class Findings:
    """What is known of a block.

    Attributes
    ----------
    region : Region
        In voxels of the volume.
    state : str
        Of the labels and corrections it was found in; another one asks for another look.
    uncertainty : float or None
        Mean entropy of the probability, in bits, as the segmentation noted it.
    doubt : float or None
        Voxels of centreline to expect wrong, by the calibrated probability, see `queue_lines.line_doubt`.
    flips : float or None
        Voxels of centreline that come or go when the net looks at the mirrored image, mean over mirrorings.
    teacher : float or None
        Voxels of centreline that only one of teacher and student has.
    artefact, rare : float or None
        Shares of its code cells, see `patterns.code_scores`.
    topology : Topology or None
    look : tuple of float
        What it looks like, to tell whether two blocks are alike, see `queue_order.look_of`.
    """

    region: Region
    state: str = ""
    uncertainty: float | None = None
    doubt: float | None = None
    flips: float | None = None
    teacher: float | None = None
    artefact: float | None = None
    rare: float | None = None
    topology: Topology | None = None
    look: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values, "region": [list(self.region.start), list(self.region.stop)]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_dict` made; ValueError, KeyError or TypeError where it is something else."""
        low, high = values["region"]
        shape = values["topology"]
        return cls(
            **{
                **values,
                "region": Region(as_shape(low), as_shape(high)),
                "topology": None if shape is None else Topology(**shape),
                "look": tuple(float(value) for value in values["look"]),
            }
        )


@dataclass(frozen=True)
class QueueFile:
    """Everything that is kept of a queue.

    Attributes
    ----------
    project : str
        Id of the project.
    side : int
        Of its blocks, in voxels.
    findings : tuple of Findings
    reliability : Reliability or None
        Of the checkpoint that made the labels; None where too little is held out to tell.
    """

    project: str
    side: int
    findings: tuple[Findings, ...] = ()
    reliability: Reliability | None = None

    @property
    def by_start(self) -> dict[Shape, Findings]:
        return {one.region.start: one for one in self.findings}

    def with_findings(self, found: Iterable[Findings]) -> QueueFile:
        """Return it with these findings in the place of those of the same blocks."""
        known = self.by_start
        known.update({one.region.start: one for one in found})
        return replace(self, findings=tuple(known[start] for start in sorted(known)))

    def save(self, folder: Path) -> None:
        """Write it into the folder of the project.

        Raises
        ------
        OutputError
            If the disk is full or read-only.
        """
        values = {
            "kind": KIND,
            "version": VERSION,
            "project": self.project,
            "side": self.side,
            "reliability": None if self.reliability is None else self.reliability.to_dict(),
            "findings": [one.to_dict() for one in self.findings],
        }
        target = folder / FILE
        aside = target.with_name(f"{FILE}.part")
        with output_errors(target):
            aside.write_text(json.dumps(values), encoding="utf-8")
            aside.replace(target)

    @classmethod
    def load(cls, folder: Path, project: str, side: int) -> QueueFile:
        """Return the one in a project's folder; an empty one where there is none that can be used."""
        empty = cls(project, side)
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if (values["kind"], values["version"]) != (KIND, VERSION) or values["project"] != project:
                return empty
            curve = values["reliability"]
            reliability = None if curve is None else Reliability.from_dict(curve)
            if values["side"] != side:
                return replace(empty, reliability=reliability)
            findings = tuple(Findings.from_dict(one) for one in values["findings"])
            return cls(project, side, findings, reliability)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return empty
