"""The net in OpenVINO: on CPUs several times as fast as PyTorch, for blocks of any shape.

The graphs are built from the weights, operation by operation; the bounds of a block's crops (`BlockPlan`) are
an input, so that one compiled graph serves every block.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op
from torch import nn

from napari_vesselkd.geometry import Shape
from napari_vesselkd.inference.devices import Backend, openvino_core
from napari_vesselkd.inference.memory import is_out_of_memory, return_freed_memory
from napari_vesselkd.inference.uncertainty import every_second, every_second_of_cells, sample_of_cells
from napari_vesselkd.models.streaming import BlockPlan, StreamingStudent

Node = Any
Floats = npt.NDArray[np.float32]
PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}
CUTS_PER_LEVEL = 3


class OpenVinoEngine:
    """A streaming student on the CPU; see `Engine`.

    Parameters
    ----------
    student : StreamingStudent
    backend : Backend
        Its precision is "fp32" or "bf16".
    threads : int, optional
        CPU threads; all by default.
    """

    def __init__(self, student: StreamingStudent, backend: Backend, threads: int | None = None) -> None:
        return_freed_memory()
        self.student = student
        self.settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[backend.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self.settings["INFERENCE_NUM_THREADS"] = threads
        self._requests: dict[str, Any] = {}

    def context(self, voxels: Floats) -> Floats:
        """See `Engine.context`."""
        return cast(Floats, self._run("context", voxels[None, None]).copy())

    def logits(self, voxels: Floats, context: Floats, plan: BlockPlan) -> Floats:
        """See `Engine.logits`."""
        cells = self._run("block", voxels[None, None], context[None], crop_bounds(plan))
        return _in_place(cells, self.student.strides.stem)

    def labels(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float
    ) -> npt.NDArray[np.uint8]:
        """See `Engine.labels`."""
        cells = self._run("block", voxels[None, None], context[None], crop_bounds(plan))
        return _in_place((cells >= np.float32(threshold)).view(np.uint8), self.student.strides.stem)

    def labels_and_sample(
        self, voxels: Floats, context: Floats, plan: BlockPlan, threshold: float, first: Shape
    ) -> tuple[npt.NDArray[np.uint8], Floats]:
        """See `Engine.labels_and_sample`."""
        stem = self.student.strides.stem
        cells = self._run("block", voxels[None, None], context[None], crop_bounds(plan))
        labels = _in_place((cells >= np.float32(threshold)).view(np.uint8), stem)
        part = every_second_of_cells(cells.reshape(*cells.shape[:3], *stem), first)
        if part is None:
            return labels, every_second(_in_place(cells, stem), first)
        return labels, sample_of_cells(part)

    def _run(self, kind: str, *inputs: npt.NDArray[Any]) -> Any:
        """Return the graph's output without its batch axis; the next pass reuses its memory."""
        try:
            return self._infer(kind, *inputs)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._requests.clear()
            raise MemoryError(str(error)) from error

    def _infer(self, kind: str, *inputs: npt.NDArray[Any]) -> Any:
        if kind not in self._requests:
            graph = context_graph(self.student) if kind == "context" else block_graph(self.student)
            self._requests[kind] = (
                openvino_core().compile_model(graph, "CPU", self.settings).create_infer_request()
            )
        request = self._requests[kind]
        request.infer(dict(enumerate(inputs)), share_inputs=True)
        return request.get_output_tensor(0).data[0]


def context_graph(student: StreamingStudent) -> ov.Model:
    """Return the graph from voxels (1, 1, Z, Y, X) to their context (1, C, z, y, x)."""
    voxels = op.parameter(ov.PartialShape([1, 1, -1, -1, -1]), np.float32)
    x = _stemmed(voxels, student)
    for level in range(student.strides.split):
        x = _two_convolutions(x, student.encoder[level], student.slope)
        x = _convolved(x, student.down[level])
    return ov.Model([x], [voxels])


def block_graph(student: StreamingStudent) -> ov.Model:
    """Return the graph from voxels, context and crops (see `crop_bounds`) to the logits of a core.

    The output (1, z, y, x, voxels of a cell) lies in memory as the CPU computes it, channels last.
    """
    split, depth = student.strides.split, len(student.strides.levels)
    channels = cast(nn.Conv3d, student.down[split - 1]).out_channels
    voxels = op.parameter(ov.PartialShape([1, 1, -1, -1, -1]), np.float32)
    context = op.parameter(ov.PartialShape([1, channels, -1, -1, -1]), np.float32)
    bounds = op.parameter([CUTS_PER_LEVEL * depth + 1, 2, 3], np.int64)
    x = _stemmed(voxels, student)
    skips = []
    for level in range(depth):
        x = _two_convolutions(context if level == split else x, student.encoder[level], student.slope)
        skips.append(_cut(x, bounds, CUTS_PER_LEVEL * level + 2))
        x = _convolved(x, student.down[level])
    for level in reversed(range(depth)):
        x = _upsampled(_cut(x, bounds, CUTS_PER_LEVEL * level), student.strides.levels[level])
        x = op.add(_cut(x, bounds, CUTS_PER_LEVEL * level + 1), skips[level])
        x = _two_convolutions(x, student.decoder[level], student.slope)
    x = _convolved(_cut(x, bounds, CUTS_PER_LEVEL * depth), student.head)
    x = op.transpose(x, op.constant(np.array([0, 2, 3, 4, 1])))
    return ov.Model([x], [voxels, context, bounds])


def crop_bounds(plan: BlockPlan) -> npt.NDArray[np.int64]:
    """Return start and stop, (z, y, x), of every cut: source, fine, skip of each level, then the head's."""
    boxes = [box for level in plan.levels for box in (level.source, level.fine, level.skip)]
    return np.array([(box.start, box.stop) for box in (*boxes, plan.head)], np.int64)


def _stemmed(x: Node, student: StreamingStudent) -> Node:
    return x if student.stem is None else _activated(_convolved(x, student.stem), student.slope)


def _convolved(x: Node, module: nn.Module) -> Node:
    convolution = cast(nn.Conv3d, module)
    padding = cast(tuple[int, ...], convolution.padding)
    weight = convolution.weight.detach().numpy()
    bias = cast(Any, convolution.bias).detach().numpy().reshape(1, -1, 1, 1, 1)
    found = op.convolution(
        x, op.constant(weight), list(convolution.stride), list(padding), list(padding), [1, 1, 1]
    )
    return op.add(found, op.constant(bias))


def _activated(x: Node, slope: float) -> Node:
    return op.prelu(x, op.constant(np.array([slope], np.float32)))


def _two_convolutions(x: Node, modules: nn.Module, slope: float) -> Node:
    for module in modules.modules():
        if isinstance(module, nn.Conv3d):
            x = _activated(_convolved(x, module), slope)
    return x


def _upsampled(x: Node, factors: Shape) -> Node:
    axes = op.constant(np.array([2, 3, 4]))
    return op.interpolate(x, op.constant(np.array(factors, np.float32)), "linear_onnx", "scales", axes=axes)


def _cut(x: Node, bounds: Node, row: int) -> Node:
    first = op.constant(np.array(0))
    box = op.gather(bounds, op.constant(np.array(row)), first)  # (2, 3)
    start = op.gather(box, op.constant(np.array(0)), first)
    stop = op.gather(box, op.constant(np.array(1)), first)
    return op.slice(x, start, stop, op.constant(np.array([1, 1, 1])), op.constant(np.array([2, 3, 4])))


def _in_place(cells: npt.NDArray[Any], cell: Shape) -> npt.NDArray[Any]:
    """Put the voxels of cells (z, y, x, voxels of a cell) to their places; returns a copy, (z, y, x).

    Voxels that are neighbours along x are moved as one item.
    """
    z, y, x, _ = cells.shape
    runs = cells.view(np.dtype((np.void, cells.itemsize * cell[2])))  # (z, y, x, cz * cy)
    result = np.empty((z, cell[0], y, cell[1], x), runs.dtype)
    for n, (dz, dy) in enumerate(np.ndindex(*cell[:2])):
        result[:, dz, :, dy] = runs[..., n]
    return result.view(cells.dtype).reshape(z * cell[0], y * cell[1], x * cell[2])
