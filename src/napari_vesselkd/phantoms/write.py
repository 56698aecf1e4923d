"""Phantoms on disk: ``image.ome.zarr``, ``label.ome.zarr``, ``centreline.graphml`` and ``phantom.json``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import networkx as nx
import numpy as np

from napari_vesselkd.errors import InvalidInputError, OutputError
from napari_vesselkd.phantoms.config import PhantomConfig
from napari_vesselkd.phantoms.phantom import Phantom, make_phantom
from napari_vesselkd.reports import Progress, Report
from napari_vesselkd.volume import output_errors, write_multiscale

MAX_COUNT = 100_000


@dataclass(frozen=True)
class SynthesiseFinished(Report):
    """All phantoms are written; `folders` are their paths, in the order of their seeds."""

    folders: tuple[str, ...]
    seconds: float


def synthesise(output_dir: str | Path, config: PhantomConfig, count: int = 1) -> Iterator[Report]:
    """Write `count` phantoms with the seeds ``config.seed``, ``config.seed + 1``, ... into `output_dir`.

    Each gets its own folder, ``phantom-SEED``, which appears when it is complete. Folders that are there
    already are kept, so that the same call goes on where it was stopped.

    Yields
    ------
    Progress
        One per phantom.
    SynthesiseFinished
        At the end.

    Raises
    ------
    InvalidInputError
        If `count` is not a whole number from 1 to 100000.
    OutputError
        If a folder cannot be written, or holds a phantom of another configuration.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise InvalidInputError(
            "The number of phantoms cannot be used",
            value=count,
            limit=f"a whole number from 1 to {MAX_COUNT}",
        )
    return _synthesise(Path(output_dir).expanduser(), config, count)


def _synthesise(output_dir: Path, config: PhantomConfig, count: int) -> Iterator[Report]:
    began, found, folders = monotonic(), 0, []
    for number in range(count):
        each = replace(config, seed=config.seed + number)
        folder = output_dir / f"phantom-{each.seed}"
        folders.append(str(folder))
        if _holds(folder, each):
            found += 1
        else:
            write_phantom(make_phantom(each), folder)
        yield Progress(number + 1, count, "phantoms", monotonic() - began, resumed=found)
    yield SynthesiseFinished(tuple(folders), monotonic() - began)


def _holds(folder: Path, config: PhantomConfig) -> bool:
    """Return whether `folder` holds the phantom of `config`; refuse one of another configuration."""
    if not folder.exists():
        return False
    try:
        stored = json.loads((folder / "phantom.json").read_text(encoding="utf-8")).get("config")
    except (OSError, ValueError, AttributeError):
        stored = None
    if stored != json.loads(json.dumps(asdict(config), default=_plain)):
        raise OutputError(
            "The folder exists and is not this phantom",
            value=folder,
            remedy="Choose another output folder or another seed",
        )
    return True


def write_phantom(phantom: Phantom, folder: str | Path) -> None:
    """Write a phantom into `folder`, aside first and then renamed: it is there in full or not at all.

    Raises
    ------
    OutputError
        If the folder exists and is not empty, or cannot be written.
    """
    target = Path(folder).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(
            "The phantom's folder exists and is not empty",
            value=target,
            remedy="Choose another output folder",
        )
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
    try:
        with output_errors(target):
            _write_parts(phantom, aside)
            if target.is_dir():
                target.rmdir()
            aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_parts(phantom: Phantom, folder: Path) -> None:
    size = phantom.voxel_size_um
    write_multiscale(folder / "image.ome.zarr", phantom.image, voxel_size_um=size, name="image")
    write_multiscale(folder / "label.ome.zarr", phantom.label, voxel_size_um=size, name="label", label=True)
    nx.write_graphml(plain_graph(phantom.graph), folder / "centreline.graphml")
    text = json.dumps(phantom.params, indent=1, default=_plain)
    (folder / "phantom.json").write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return dict(value)


def plain_graph(graph: nx.Graph) -> nx.Graph:
    """Return a copy of a centreline graph whose attributes GraphML can hold.

    Nodes get ``z_um``, ``y_um``, ``x_um`` and ``tree``; edges get ``kind``, ``length_um``, the mean
    ``radius_um``, and as JSON text ``points_um`` (a list of [z, y, x]) and ``radii_um``.
    """
    plain = nx.Graph(unit="micrometer", axes="zyx")
    for node, data in graph.nodes(data=True):
        z, y, x = data["pos_um"]
        plain.add_node(node, z_um=z, y_um=y, x_um=x, tree=int(data["tree"]))
    for a, b, data in graph.edges(data=True):
        points, radii = data["points"], data["radius_um"]
        plain.add_edge(
            a,
            b,
            kind=data["kind"],
            length_um=float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()),
            radius_um=float(radii.mean()),
            points_um=json.dumps(np.round(points, 4).tolist()),
            radii_um=json.dumps(np.round(radii, 4).tolist()),
        )
    return plain


def read_graph(path: str | Path) -> nx.Graph:
    """Read ``centreline.graphml`` back into the form that `napari_vesselkd.phantoms.network` describes."""
    stored = nx.read_graphml(path, node_type=int)
    graph = nx.Graph()
    for node, data in stored.nodes(data=True):
        graph.add_node(node, pos_um=(data["z_um"], data["y_um"], data["x_um"]), tree=data["tree"])
    for a, b, data in stored.edges(data=True):
        points, radii = np.array(json.loads(data["points_um"])), np.array(json.loads(data["radii_um"]))
        graph.add_edge(a, b, points=points, radius_um=radii, kind=data["kind"])
    return graph
