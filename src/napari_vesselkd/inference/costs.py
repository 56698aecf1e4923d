"""What a model asks of its blocks, and what they cost: a student in one go, a teacher in windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, cast

from napari_vesselkd.blocks import BlockGrid
from napari_vesselkd.checkpoints import CheckpointCard
from napari_vesselkd.errors import CheckpointError, InvalidInputError
from napari_vesselkd.geometry import Shape, as_shape
from napari_vesselkd.inference.devices import Backend
from napari_vesselkd.models import StudentConfig, TeacherConfig
from napari_vesselkd.models.streaming import BlockPlan, Strides, exact_reach, plan_block

CONTEXT_WORK = 0.5  # of the whole net's, per voxel, with its halo
# Voxels of outer boxes per second: of one CPU core, or of the device; rough, for the estimate only
STUDENT_RATES = {
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
# Multiply-accumulates per second, likewise
TEACHER_RATES = {
    ("cpu", "fp32"): 80e9,
    ("cpu", "bf16"): 40e9,
    ("mps", "fp32"): 1e12,
    ("cuda", "fp32"): 10e12,
    ("cuda", "bf16"): 20e12,
}
MACS_PER_VOXEL = {"swin_unetr": 160.0, "unetr": 245.0, "segresnet": 63.0}  # times the feature size squared
# s per voxel of one CPU core beside them: attention in small pieces; devices take a hundredth
OVERHEAD = {"swin_unetr": 7e-6, "unetr": 4e-7, "segresnet": 2e-7}
LIVE_FEATURES = {"swin_unetr": 12, "unetr": 12, "segresnet": 6}  # of full resolution, at once in a pass


class Costs(Protocol):
    """What one model asks for."""

    @property
    def multiple(self) -> Shape:
        """Sides of cores must be multiples of it, (z, y, x)."""
        ...

    @property
    def largest_core(self) -> dict[str, int]:
        """Side of the largest core by kind of device."""
        ...

    def halo(self, wanted: int | None) -> Shape:
        """Return the context on each side, (z, y, x) voxels; `wanted` is what the user asked for."""
        ...

    def bytes_at_once(self, grid: BlockGrid, backend: Backend) -> int:
        """Return the peak memory of a pass over a block."""
        ...

    def largest_read(self, grid: BlockGrid) -> int:
        """Return the voxels that are read at once, at most."""
        ...

    def seconds(self, grid: BlockGrid, backend: Backend, cores: int) -> float:
        """Return about how long all blocks take, in s."""
        ...


@dataclass(frozen=True)
class StudentCosts:
    """Of a student: context once per place, then blocks with a few voxels around their cores."""

    config: dict[str, Any]
    card_halo: Shape
    strides: Strides
    largest_core = {"cpu": 256, "mps": 256, "cuda": 384}  # noqa: RUF012

    @property
    def multiple(self) -> Shape:
        """See `Costs.multiple`."""
        return self.strides.total

    def halo(self, wanted: int | None) -> Shape:
        """Return by default what makes seams impossible, as its cost is small."""
        sides = [max(pair) for pair in zip(self.card_halo, exact_reach(self.strides), strict=True)]
        if wanted is not None:
            sides = [wanted] * 3
        return as_shape([-(-side // step) * step for side, step in zip(sides, self.multiple, strict=True)])

    def bytes_at_once(self, grid: BlockGrid, backend: Backend) -> int:
        """See `Costs.bytes_at_once`."""
        stem: Any = self.config.get("stem_stride") or (1, 1, 1)
        cells = 1 / math.prod((stem,) * 3 if isinstance(stem, int) else stem)
        features = 6 * cells * float(self.config["widths"][0]) * 4
        per_voxel = 12 + (features / 2 if backend.precision == "bf16" else features)
        return int(per_voxel * self.largest_read(grid))

    def largest_read(self, grid: BlockGrid) -> int:
        """See `Costs.largest_read`."""
        return self._typical(grid).voxels.size

    def seconds(self, grid: BlockGrid, backend: Backend, cores: int) -> float:
        """See `Costs.seconds`."""
        share = self.largest_read(grid) / math.prod(grid.core)
        seen = grid.asked.aligned(grid.multiple).size * (CONTEXT_WORK + share)
        rate = STUDENT_RATES.get((_kind(backend), backend.engine, backend.precision), 8e6)
        return seen * self._work() / (rate * cores)

    def _typical(self, grid: BlockGrid) -> BlockPlan:
        """Return the plan of the block in the middle."""
        box = grid.indices_range
        middle = [(low + high) // 2 for low, high in zip(box.start, box.stop, strict=True)]
        return plan_block(grid.extended.shape, grid.block(middle).core, grid.halo, self.strides)

    def _work(self) -> float:
        """Return how much dearer a voxel is than that of the net with a stem of 2 along every axis."""
        stem: Any = self.config.get("stem_stride") or (1, 1, 1)
        return 8 / math.prod((stem,) * 3 if isinstance(stem, int) else stem)


@dataclass(frozen=True)
class TeacherCosts:
    """Of a teacher: windows that overlap by one half, see `windows`."""

    config: TeacherConfig
    largest_core = {"cpu": 128, "mps": 192, "cuda": 256}  # noqa: RUF012

    @property
    def multiple(self) -> Shape:
        """Half a window, along every axis."""
        return (self.config.patch // 2,) * 3

    def halo(self, wanted: int | None) -> Shape:
        """Return half a window; InvalidInputError where anything else is asked for."""
        if wanted not in (None, self.multiple[0]):
            raise InvalidInputError(
                "A teacher's windows need their own halo",
                value=wanted,
                limit=str(self.multiple[0]),
                remedy="Leave --halo out",
            )
        return self.multiple

    def bytes_at_once(self, grid: BlockGrid, backend: Backend) -> int:
        """See `Costs.bytes_at_once`."""
        size = 2 if backend.precision == "bf16" else 4
        window = LIVE_FEATURES[self.config.network] * self.config.feature_size * size * self.config.patch**3
        weights = 4 * 28_000 * self.config.feature_size**2
        return window + weights + 8 * self.largest_read(grid)

    def largest_read(self, grid: BlockGrid) -> int:
        """See `Costs.largest_read`."""
        return math.prod(side + self.config.patch for side in self._core(grid))

    def seconds(self, grid: BlockGrid, backend: Backend, cores: int) -> float:
        """See `Costs.seconds`."""
        half, core = self.config.patch // 2, self._core(grid)
        per_block = math.prod(side // half + 1 for side in core)
        blocks = grid.asked.aligned(grid.multiple).size / math.prod(core)
        voxels = blocks * per_block * self.config.patch**3
        macs = MACS_PER_VOXEL[self.config.network] * self.config.feature_size**2
        rate = TEACHER_RATES.get((_kind(backend), backend.precision), 40e9)
        overhead = OVERHEAD[self.config.network] * (1.0 if _kind(backend) == "cpu" else 0.01)
        return voxels * (macs / rate + overhead) / cores

    def _core(self, grid: BlockGrid) -> Shape:
        whole = grid.asked.aligned(grid.multiple).shape
        return as_shape([min(side, most) for side, most in zip(grid.core, whole, strict=True)])


def costs_of(card: CheckpointCard) -> Costs:
    """Return what the model of a checkpoint asks for, from its card, without loading it.

    Raises
    ------
    CheckpointError
        If it is not a net in three dimensions, or does not segment.
    """
    if card.architecture != "teacher":
        return StudentCosts(card.config, card.halo, strides_of(card.config))
    teacher = TeacherConfig.from_dict(card.config)
    _check_dims(teacher.spatial_dims)
    if card.lineage.get("stage") == "pretrain":
        raise CheckpointError(
            "The teacher is only pretrained: it does not segment yet",
            value=card.name,
            remedy="Fine-tune it on labels first",
        )
    return TeacherCosts(teacher)


def strides_of(config: dict[str, Any]) -> Strides:
    """Return the strides of a student from its card, without loading it.

    Raises
    ------
    CheckpointError
        If it is not a net in three dimensions.
    """
    student = StudentConfig.from_dict(config)
    _check_dims(student.spatial_dims)
    return Strides(cast(Shape, student.stem_stride or (1, 1, 1)), cast(tuple[Shape, ...], student.strides))


def _check_dims(dims: int) -> None:
    if dims != 3:
        raise CheckpointError(
            "The checkpoint is for 2D images",
            limit="a net in three dimensions",
            remedy="Choose another checkpoint",
        )


def _kind(backend: Backend) -> str:
    return backend.device.split(":")[0]
