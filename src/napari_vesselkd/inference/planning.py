"""Everything that is settled before the first block: what, with what, in which blocks, at which cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import psutil

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.errors import CheckpointError
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.devices import Backend, choose_backend, has_openvino
from napari_vesselkd.inference.memory import memory_at_hand
from napari_vesselkd.inference.reports import Preflight
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.models import StudentConfig
from napari_vesselkd.models.streaming import BlockPlan, Strides, exact_reach, plan_block
from napari_vesselkd.volume import Volume

LARGEST_CORE = {"cpu": 256, "mps": 256, "cuda": 384}
MEMORY_SHARE = 0.3
LEAST_CELL = 32
BASE_BYTES = 1_000_000_000  # libraries, and measuring statistics
START_SECONDS = 1.0
CONTEXT_WORK = 0.5  # of the whole net's, per voxel, with its halo
LABEL_BYTES_PER_VOXEL = 0.1
PROBABILITY_BYTES_PER_VOXEL = 0.8
# Mvoxel of outer boxes per second: of one CPU core, or of the device; rough, for the estimate only
RATES = {
    ("cpu", "onednn", "fp32"): 60e6,
    ("cpu", "onednn", "bf16"): 90e6,
    ("cpu", "openvino", "fp32"): 35e6,
    ("cpu", "openvino", "bf16"): 50e6,
    ("cpu", "torch", "fp32"): 12e6,
    ("cpu", "torch", "bf16"): 8e6,
    ("mps", "torch", "fp32"): 150e6,
    ("cuda", "torch", "fp32"): 500e6,
    ("cuda", "torch", "bf16"): 700e6,
}


@dataclass(frozen=True)
class Plan:
    """A run, settled.

    Attributes
    ----------
    volume : Volume
        At the level to work on.
    config : SegmentConfig
    checkpoint : Checkpoint
    backend : Backend
    grid : BlockGrid
    cell : tuple of int
        Smallest unit that is marked as done, (z, y, x).
    threshold : float
    """

    volume: Volume
    config: SegmentConfig
    checkpoint: Checkpoint
    backend: Backend
    grid: BlockGrid
    cell: Shape
    threshold: float

    def fingerprint(self) -> dict[str, Any]:
        """Return what must be the same for a run to continue an output."""
        card = self.checkpoint.card
        return {
            "volume": self.volume.signature(),
            "checkpoint": card.sha256,
            "threshold": self.threshold,
            "temperature": card.calibration["temperature"],
            "percentiles": [card.intensity["lower"], self.upper],
            "precision": self.backend.precision,
            "engine": self.backend.engine,
            "halo": list(self.grid.halo),
            "probability": self.config.probability,
        }

    @property
    def upper(self) -> float:
        """Upper percentile of the intensity window."""
        card = self.checkpoint.card
        return float(self.config.upper if self.config.upper is not None else card.intensity["upper"])

    @property
    def region(self) -> Region:
        return self.grid.asked


def make_plan(volume: Volume, config: SegmentConfig, record: RunRecord | None = None) -> Plan:
    """Settle a run on an open volume.

    Parameters
    ----------
    volume : Volume
    config : SegmentConfig
    record : RunRecord, optional
        Of the output to continue: where the settings say "auto", its precision is kept.

    Raises
    ------
    InvalidInputError, RegionError, CheckpointError, CheckpointNotFoundError, DeviceError
        Where the settings do not fit the volume or the machine.
    """
    volume = volume.at_level(config.level)
    registry = CheckpointRegistry()
    automatic = config.checkpoint == "auto"
    checkpoint = registry.choose(volume.voxel_size_um) if automatic else registry.get(config.checkpoint)
    if checkpoint.card.normalisation == "live":
        raise CheckpointError(
            "The checkpoint's normalisation is live: its result would depend on the blocks",
            value=checkpoint.card.name,
            remedy="Freeze its statistics, or choose another checkpoint",
        )
    region = config.region_in(volume.shape)
    backend = _backend(config, record)
    strides = strides_of(checkpoint.card.config)
    stride = strides.total
    halo = _halo(config, checkpoint.card.halo, strides)
    cell = as_shape([-(-LEAST_CELL // step) * step for step in stride])
    grid = BlockGrid(volume.shape, cell, halo, stride, region)
    grid = replace(grid, core=_core(config, grid, cell, backend, checkpoint.card.config))
    threshold = config.threshold
    if threshold is None:
        threshold = checkpoint.card.threshold_on(volume.signature)
    return Plan(volume, config, checkpoint, backend, grid, cell, threshold)


def describe(plan: Plan, record: RunRecord | None = None) -> Preflight:
    """Return the pre-flight report of a plan."""
    grid, backend, card = plan.grid, plan.backend, plan.checkpoint.card
    voxels = grid.asked.size
    left = _share_left(grid, record)
    rate = RATES.get((backend.device.split(":")[0], backend.engine, backend.precision), 8e6)
    if backend.device == "cpu":
        rate *= plan.config.threads or physical_cpus()
    strides = strides_of(card.config)
    largest = largest_read(grid, strides)
    work = left * _voxels_read(grid, strides) * _work(card.config)
    seconds = START_SECONDS + work / rate if left else 0.0
    device_bytes = int(bytes_per_voxel(card.config, backend) * largest)
    on_cpu = backend.device == "cpu"
    raw = plan.volume.dtype.itemsize + 4
    host = BASE_BYTES + 2 * raw * largest + (device_bytes if on_cpu else 0)
    disk = voxels * left * (LABEL_BYTES_PER_VOXEL + PROBABILITY_BYTES_PER_VOXEL * plan.config.probability)
    report = Preflight(
        voxels=voxels,
        blocks=len(grid),
        block=grid.core,
        halo=grid.halo,
        seconds=seconds,
        ram_bytes=host,
        vram_bytes=0 if on_cpu else device_bytes,
        disk_bytes=int(disk) + 1_000_000,
        device=backend.device,
        precision=backend.precision,
        engine=backend.engine,
        checkpoint=card.name,
        threshold=plan.threshold,
        text="",
    )
    return replace(report, text=_line(report))


def strides_of(config: dict[str, Any]) -> Strides:
    """Return the strides of a student from its card, without loading it.

    Raises
    ------
    CheckpointError
        If it is not a net in three dimensions.
    """
    student = StudentConfig.from_dict(config)
    if student.spatial_dims != 3:
        raise CheckpointError(
            "The checkpoint is for 2D images",
            limit="a net in three dimensions",
            remedy="Choose another checkpoint",
        )
    return Strides(cast(Shape, student.stem_stride or (1, 1, 1)), cast(tuple[Shape, ...], student.strides))


def bytes_per_voxel(config: dict[str, Any], backend: Backend) -> float:
    """Return the peak memory of a pass of the net, in bytes per voxel of the outer box."""
    stem: Any = config.get("stem_stride") or (1, 1, 1)
    cells = 1 / math.prod((stem,) * 3 if isinstance(stem, int) else stem)
    features = 6 * cells * float(config["widths"][0]) * 4
    return 12 + (features / 2 if backend.precision == "bf16" else features)


def physical_cpus() -> int:
    """Return the number of cores of this machine that the process may use."""
    return psutil.cpu_count(logical=False) or 1


def _backend(config: SegmentConfig, record: RunRecord | None) -> Backend:
    found = choose_backend(config.device, config.precision)
    earlier = {} if record is None else record.fingerprint
    if found.engine == "onednn" and earlier.get("engine") == "openvino" and has_openvino():
        found = replace(found, engine="openvino")
    if config.precision == "auto":
        found = replace(found, precision=str(earlier.get("precision", found.precision)))
    return found


def _halo(config: SegmentConfig, card: Shape, strides: Strides) -> Shape:
    """Return the context on each side: by default what makes seams impossible, as its cost is small."""
    wanted = [max(sides) for sides in zip(card, exact_reach(strides), strict=True)]
    if config.halo is not None:
        wanted = [config.halo] * 3
    return as_shape([-(-side // step) * step for side, step in zip(wanted, strides.total, strict=True)])


def _core(
    config: SegmentConfig, grid: BlockGrid, cell: Shape, backend: Backend, model: dict[str, Any]
) -> Shape:
    """Return the core: as asked, or the largest that the memory at hand allows, no larger than needed."""
    if config.block is not None:
        return _fitted(config.block, grid, cell)
    budget = memory_at_hand(backend.device) * MEMORY_SHARE
    side = LARGEST_CORE.get(backend.device.split(":")[0], 256)
    while side > LEAST_CELL:
        core = _fitted(side, grid, cell)
        voxels = largest_read(replace(grid, core=core), strides_of(model))
        if bytes_per_voxel(model, backend) * voxels <= budget:
            return core
        side -= LEAST_CELL
    return _fitted(side, grid, cell)


def _fitted(side: int, grid: BlockGrid, cell: Shape) -> Shape:
    """Return about `side` along each axis: multiples of the cell, and blocks of the volume about equal."""
    core = []
    for size, step in zip(grid.extended.shape, cell, strict=True):
        whole = max(1, -(-side // step)) * step
        count = -(-size // whole)
        core.append(-(-size // (count * step)) * step)
    return as_shape(core)


def largest_read(grid: BlockGrid, strides: Strides) -> int:
    """Return the voxels that are read and computed at once, at most."""
    return _typical(grid, strides).voxels.size


def _voxels_read(grid: BlockGrid, strides: Strides) -> int:
    """Return about how many voxels the net sees: all blocks with their margins, and all once for context."""
    share = _typical(grid, strides).voxels.size / math.prod(grid.core)
    return int(grid.asked.aligned(grid.multiple).size * (CONTEXT_WORK + share))


def _typical(grid: BlockGrid, strides: Strides) -> BlockPlan:
    """Return the plan of the block in the middle."""
    box = grid.indices_range
    middle = [(low + high) // 2 for low, high in zip(box.start, box.stop, strict=True)]
    return plan_block(grid.extended.shape, grid.block(middle).core, grid.halo, strides)


def _share_left(grid: BlockGrid, record: RunRecord | None) -> float:
    if record is None or record.shape != grid.volume_shape:
        return 1.0
    return 1.0 - record.share_done(grid.asked)


def _work(config: dict[str, Any]) -> float:
    """Return how much dearer a voxel is than that of the net with a stem of 2 along every axis."""
    stem: Any = config.get("stem_stride") or (1, 1, 1)
    return 8 / math.prod((stem,) * 3 if isinstance(stem, int) else stem)


def _line(report: Preflight) -> str:
    minutes, seconds = divmod(round(report.seconds), 60)
    time = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    vram = f", VRAM {report.vram_bytes / 1e9:.1f} GB" if report.vram_bytes else ""
    block = "x".join(str(side) for side in report.block)
    return (
        f"{report.voxels / 1e6:.1f} Mvoxel in {report.blocks} blocks of {block} "
        f"(halo {'x'.join(str(side) for side in report.halo)}): about {time}, "
        f"RAM {report.ram_bytes / 1e9:.1f} GB{vram}, disk up to {report.disk_bytes / 1e6:.0f} MB; "
        f"{report.checkpoint}, {report.device}, {report.precision} ({report.engine})"
    )
