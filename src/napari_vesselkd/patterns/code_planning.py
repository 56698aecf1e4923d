"""Everything that is settled before the first block of a code map."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.costs import LIVE_FEATURES, MACS_PER_VOXEL, OVERHEAD, TEACHER_RATES
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.inference.memory import memory_at_hand
from napari_vesselkd.inference.planning import BASE_BYTES, MEMORY_SHARE, START_SECONDS, physical_cpus
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.models import TeacherConfig
from napari_vesselkd.patterns.config import CodesConfig
from napari_vesselkd.patterns.encoder import backend_of
from napari_vesselkd.patterns.grid import CodeGrid, grid_of
from napari_vesselkd.patterns.reports import CodesPreflight
from napari_vesselkd.volume import Volume

SIDES = {"cpu": 64, "mps": 128, "cuda": 128}  # so that the first codes come soon
ENCODER_SHARE = {"segresnet": 0.55, "swin_unetr": 0.5, "unetr": 0.08}  # of the whole net's time, about
BYTES_PER_CELL = 4


@dataclass(frozen=True)
class CodesPlan:
    """A run, settled.

    Attributes
    ----------
    volume : Volume
        At the level to work on.
    config : CodesConfig
    checkpoint : Checkpoint
    backend : Backend
    codes : CodeGrid
        Where codes lie.
    grid : BlockGrid
        The blocks, in voxels; what is read for them is said by `codes`.
    level : int
        Of the image, 0 the finest.
    """

    volume: Volume
    config: CodesConfig
    checkpoint: Checkpoint
    backend: Backend
    codes: CodeGrid
    grid: BlockGrid
    level: int

    @property
    def cells(self) -> Region:
        """All cells of the volume."""
        return self.codes.cells(Region.whole(self.volume.shape))

    @property
    def asked(self) -> Region:
        """The cells to map."""
        return self.codes.cells(self.grid.asked)

    @property
    def percentiles(self) -> tuple[float, float]:
        """Of the intensity window."""
        kept = self.checkpoint.card.intensity
        return float(kept["lower"]), float(kept["upper"] if self.config.upper is None else self.config.upper)

    @cached_property
    def signature(self) -> str:
        """Of the volume."""
        return self.volume.signature()

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for a run to continue an output."""
        return {
            "volume": self.signature,
            "checkpoint": self.checkpoint.card.sha256,
            "percentiles": list(self.percentiles),
            "windows": [self.codes.patch, self.codes.lead],
        }


def make_plan(
    volume: Volume, config: CodesConfig, checkpoint: Checkpoint | None = None, level: int | None = None
) -> CodesPlan:
    """Settle a run on an open volume.

    Parameters
    ----------
    volume : Volume
    config : CodesConfig
    checkpoint : Checkpoint, optional
        In place of the one that the settings name.
    level : int, optional
        That `volume` is of, where it is not the image from its finest level on.

    Raises
    ------
    InvalidInputError, RegionError, CheckpointError, CheckpointNotFoundError, DeviceError
        Where the settings do not fit the volume or the machine.
    """
    volume = volume.at_level(config.level)
    checkpoint = checkpoint or CheckpointRegistry().get(config.checkpoint)
    codes = grid_of(checkpoint.card)
    backend = backend_of(config.device)
    whole = Region.whole(volume.shape)
    asked = cast(Region, config.region_in(volume.shape).aligned(codes.unit).intersection(whole))
    core = _core(config.sides, volume, codes, backend)
    grid = BlockGrid(volume.shape, core, (0, 0, 0), codes.unit, asked)
    return CodesPlan(
        volume, config, checkpoint, backend, codes, grid, config.level if level is None else level
    )


def describe(plan: CodesPlan, record: RunRecord | None = None) -> CodesPreflight:
    """Return the pre-flight report of a plan; `record` is that of the output to continue."""
    asked, card = plan.asked, plan.checkpoint.card
    left = 1.0 if record is None or record.shape != plan.cells.shape else 1.0 - record.share_done(asked)
    seconds = START_SECONDS + left * asked.size * _seconds_per_window(plan) if left else 0.0
    device, host = _window_bytes(plan), BASE_BYTES + _read_bytes(plan.grid.core, plan.volume, plan.codes)
    on_cpu = plan.backend.device == "cpu"
    report = CodesPreflight(
        voxels=plan.grid.asked.size,
        cells=asked.size,
        blocks=len(plan.grid),
        block=plan.grid.core,
        stride=plan.codes.stride,
        codes=plan.codes.codes,
        seconds=seconds,
        ram_bytes=host + (device if on_cpu else 0),
        vram_bytes=0 if on_cpu else device,
        disk_bytes=int(asked.size * left * BYTES_PER_CELL) + 1_000_000,
        device=plan.backend.device,
        checkpoint=card.name,
        text="",
    )
    return replace(report, text=_line(report))


def _core(sides: Shape | None, volume: Volume, codes: CodeGrid, backend: Backend) -> Shape:
    """Return the core: about as asked, else as device and memory allow; multiples of the unit."""
    if sides is not None:
        return _fitted(sides, volume.shape, codes)
    side = SIDES.get(backend.device.split(":")[0], 64)
    budget = memory_at_hand("cpu") * MEMORY_SHARE
    core = _fitted((side,) * 3, volume.shape, codes)
    while side > codes.unit[0] and _read_bytes(core, volume, codes) > budget:
        side -= codes.unit[0]
        core = _fitted((side,) * 3, volume.shape, codes)
    return core


def _fitted(sides: Shape, shape: Shape, codes: CodeGrid) -> Shape:
    """Return `sides` rounded up to multiples of the unit, no larger than the volume needs."""
    rounded = [
        -(-min(side, size) // step) * step for side, size, step in zip(sides, shape, codes.unit, strict=True)
    ]
    return as_shape(rounded)


def _read_bytes(core: Shape, volume: Volume, codes: CodeGrid) -> int:
    """Return the memory of a block that is read and one that is worked on, raw and scaled."""
    voxels = math.prod(side + codes.patch - codes.step for side in core)
    return 2 * (volume.dtype.itemsize + 4) * voxels


def _window_bytes(plan: CodesPlan) -> int:
    teacher = TeacherConfig.from_dict(plan.checkpoint.card.config)
    features = LIVE_FEATURES[teacher.network] * teacher.feature_size * 4 * teacher.patch**3
    return int(features + 4 * 28_000 * teacher.feature_size**2)


def _seconds_per_window(plan: CodesPlan) -> float:
    teacher = TeacherConfig.from_dict(plan.checkpoint.card.config)
    kind = plan.backend.device.split(":")[0]
    cores = (plan.config.threads or physical_cpus()) if kind == "cpu" else 1
    macs = MACS_PER_VOXEL[teacher.network] * teacher.feature_size**2
    overhead = OVERHEAD[teacher.network] * (1.0 if kind == "cpu" else 0.01)
    rate = TEACHER_RATES.get((kind, "fp32"), 40e9)
    whole = teacher.patch**3 * (macs / rate + overhead) / cores
    return float(ENCODER_SHARE[teacher.network] * whole)


def _line(report: CodesPreflight) -> str:
    minutes, seconds = divmod(round(report.seconds), 60)
    time = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    vram = f", VRAM {report.vram_bytes / 1e9:.1f} GB" if report.vram_bytes else ""
    cell = "x".join(str(step) for step in report.stride)
    return (
        f"{report.voxels / 1e6:.1f} Mvoxel, {report.cells:,} cells of {cell} in {report.blocks} blocks of "
        f"{'x'.join(str(side) for side in report.block)}: about {time}, RAM {report.ram_bytes / 1e9:.1f} GB"
        f"{vram}, disk up to {report.disk_bytes / 1e6:.0f} MB; "
        f"{report.checkpoint} with {report.codes} codes, {report.device}"
    )
