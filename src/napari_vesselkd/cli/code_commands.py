"""The command for codes. What it needs is imported when it runs, so that ``--help`` stays fast."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.options import (
    Assignments,
    Channel,
    ConfigFile,
    Device,
    Json,
    Quiet,
    RegionText,
    Restart,
    VoxelSizeText,
    voxel_size,
)
from napari_vesselkd.cli.settings import build_config

GO_ON = "Nothing is lost: run the same command again{} to go on."


def codes(
    source: Annotated[str, Parameter(help="A volume, as for `vesselkd info`; or a PROJECT.vesselkd.")],
    output: Annotated[
        str | None,
        Parameter(
            help="Code map to write, NAME.codes.ome.zarr; or the PROJECT.vesselkd of this volume. "
            "Default: in the project that is the source."
        ),
    ] = None,
    /,
    *,
    checkpoint: Annotated[str, Parameter(help="Name or path of a teacher, for example teacher-small.")],
    region: RegionText = None,
    level: Annotated[int | None, Parameter(help="Resolution level, 0 the finest. Default: 0.")] = None,
    channel: Channel = None,
    voxel_size_text: VoxelSizeText = None,
    device: Device = None,
    block: Annotated[
        int | None, Parameter(help="Voxels along each side of a block. Default: by the device.")
    ] = None,
    csv: Annotated[
        str | None,
        Parameter(help="Table of the codes, NAME.csv: how often, and what --labels says. Default: none."),
    ] = None,
    labels: Annotated[
        str | None,
        Parameter(
            help="Vessel labels of the volume: also find share of vessel, radius, tortuosity, intensity and "
            "depth under each code. Default: none."
        ),
    ] = None,
    compare: Annotated[
        str | None,
        Parameter(
            help="Another code map. Of this volume by another checkpoint: how many places have another code. "
            "Of another volume by this checkpoint: how the usage differs. Default: none."
        ),
    ] = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    restart: Restart = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Map which code of a teacher's codebook each place has, block by block, and count the codes.

    Example: vesselkd codes brain.ome.zarr brain.codes.ome.zarr --checkpoint teacher-small --csv usage.csv
    """
    from napari_vesselkd.cli.coding import CodesCounted, CodesRequest, run_codes, usage_lines
    from napari_vesselkd.patterns.config import CodesConfig

    chosen = build_config(
        CodesConfig,
        "codes",
        config,
        settings,
        checkpoint=checkpoint,
        region=region,
        level=level,
        device=device,
        block=block,
        restart=restart or None,
    )
    request = CodesRequest(source, output, chosen, channel, voxel_size(voxel_size_text), csv, labels, compare)
    console = Console(json, quiet)
    last = console.follow(run_codes(request), again=GO_ON.format(", without --restart," if restart else ""))
    if isinstance(last, CodesCounted):
        console.print(usage_lines(last))
