"""Everything that is settled before the first block: what, with what, in which blocks, at which cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psutil

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import Checkpoint, CheckpointRegistry
from napari_vesselkd.geometry import Region, Shape, as_shape
from napari_vesselkd.inference.config import SegmentConfig
from napari_vesselkd.inference.costs import Costs, costs_of
from napari_vesselkd.inference.devices import Backend, choose_backend, has_openvino
from napari_vesselkd.inference.memory import memory_at_hand
from napari_vesselkd.inference.reports import Preflight
from napari_vesselkd.labels import RunRecord
from napari_vesselkd.volume import Volume

MEMORY_SHARE = 0.3
LEAST_CELL = 32
BASE_BYTES = 1_000_000_000  # libraries, and measuring statistics
START_SECONDS = 1.0
LABEL_BYTES_PER_VOXEL = 0.1
PROBABILITY_BYTES_PER_VOXEL = 0.8


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
    region = config.region_in(volume.shape)
    costs = costs_of(checkpoint.card)
    backend = _backend(config, record, checkpoint)
    stride = costs.multiple
    cell = as_shape([-(-LEAST_CELL // step) * step for step in stride])
    grid = BlockGrid(volume.shape, cell, costs.halo(config.halo), stride, region)
    grid = replace(grid, core=_core(config, grid, cell, backend, costs))
    threshold = config.threshold
    if threshold is None:
        threshold = checkpoint.card.threshold_on(volume.signature)
    return Plan(volume, config, checkpoint, backend, grid, cell, threshold)


def describe(plan: Plan, record: RunRecord | None = None) -> Preflight:
    """Return the pre-flight report of a plan."""
    grid, backend, card = plan.grid, plan.backend, plan.checkpoint.card
    voxels = grid.asked.size
    left = _share_left(grid, record)
    costs, cores = costs_of(card), 1
    if backend.device == "cpu":
        cores = plan.config.threads or physical_cpus()
    largest = costs.largest_read(grid)
    seconds = START_SECONDS + left * costs.seconds(grid, backend, cores) if left else 0.0
    device_bytes = costs.bytes_at_once(grid, backend)
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


def physical_cpus() -> int:
    """Return the number of cores of this machine that the process may use."""
    return psutil.cpu_count(logical=False) or 1


def _backend(config: SegmentConfig, record: RunRecord | None, checkpoint: Checkpoint) -> Backend:
    found = choose_backend(config.device, config.precision)
    earlier = {} if record is None else record.fingerprint
    if checkpoint.card.architecture == "teacher":
        found = _of_teachers(found, automatic=config.precision == "auto")
    if found.engine == "onednn" and earlier.get("engine") == "openvino" and has_openvino():
        found = replace(found, engine="openvino")
    if config.precision == "auto":
        found = replace(found, precision=str(earlier.get("precision", found.precision)))
    return found


def _of_teachers(found: Backend, *, automatic: bool) -> Backend:
    """Return the same device as teachers use it: always with PyTorch, which is no faster in bf16 on a CPU."""
    precision = "fp32" if automatic and found.device == "cpu" else found.precision
    return replace(found, engine="torch", precision=precision)


def _core(config: SegmentConfig, grid: BlockGrid, cell: Shape, backend: Backend, costs: Costs) -> Shape:
    """Return the core: as asked, or the largest that the memory at hand allows, no larger than needed."""
    if config.block is not None:
        return _fitted(config.block, grid, cell)
    budget = memory_at_hand(backend.device) * MEMORY_SHARE
    side = costs.largest_core.get(backend.device.split(":")[0], 256)
    while side > LEAST_CELL:
        core = _fitted(side, grid, cell)
        if costs.bytes_at_once(replace(grid, core=core), backend) <= budget:
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


def _share_left(grid: BlockGrid, record: RunRecord | None) -> float:
    if record is None or record.shape != grid.volume_shape:
        return 1.0
    return 1.0 - record.share_done(grid.asked)


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
