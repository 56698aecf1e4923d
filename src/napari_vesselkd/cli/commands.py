"""The commands. What they need is imported when they run, so that ``--help`` stays fast."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from napari_vesselkd.cli.checkpoint_commands import checkpoints
from napari_vesselkd.cli.code_commands import codes
from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.job_commands import jobs
from napari_vesselkd.cli.journal_commands import journal
from napari_vesselkd.cli.options import (
    Assignments,
    Channel,
    ConfigFile,
    Device,
    Json,
    Level,
    OneJson,
    Precision,
    Quiet,
    RegionText,
    Restart,
    Source,
    VoxelSizeText,
    voxel_size,
)
from napari_vesselkd.cli.settings import build_config, whole_numbers
from napari_vesselkd.cli.training_commands import crossval, distill, finetune, pretrain

GO_ON = "Nothing is lost: run the same command again{} to go on."


def _version() -> str:
    from importlib.metadata import version

    return version("napari-vesselkd")


app = App(
    name="vesselkd",
    help="Segment, look at and measure 3D vessel volumes of any size.\n\n"
    "Run `vesselkd demo` first. Running a command again resumes it.",
    version=_version,
    help_format="plaintext",
)
for command in (codes, finetune, pretrain, distill, crossval):
    app.command(command)
app.command(jobs)
app.command(checkpoints)
app.command(journal)


@app.command
def demo(
    *,
    out: Annotated[str, Parameter(help="Folder for the files.")] = "vesselkd-demo",
    window: Annotated[
        bool | None, Parameter(help="Open a napari window. Default: where there is a display.")
    ] = None,
    device: Device = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment the bundled sample: in a napari window, or into files where there is no display.

    The files are the sample, its labels, an overlay picture and the score against the exact ground truth.
    They come back unchanged when the demo runs again.

    Example: vesselkd demo --no-window --out /tmp/demo
    """
    from napari_vesselkd.cli.window import display_available, open_window

    if display_available() if window is None else window:
        open_window([], run_demo=True)
        return
    from napari_vesselkd.cli.demo import DemoFinished, demo_lines, run_demo

    console = Console(json, quiet)
    last = console.follow(run_demo(out, device or "auto"), again=GO_ON.format(""))
    if isinstance(last, DemoFinished):
        console.print(demo_lines(last))


@app.command(name="open")
def open_(
    *paths: Annotated[
        str, Parameter(help="Volumes to show, or one PROJECT.vesselkd; none opens an empty viewer.")
    ],
) -> None:
    """Open napari with the VesselKD dock and these volumes, or a project with everything that is in it.

    Example: vesselkd open brain.ome.zarr
    """
    from napari_vesselkd.cli.window import open_window

    open_window(paths)


@app.command
def info(
    source: Source,
    /,
    *,
    level: Level = 0,
    channel: Channel = None,
    voxel_size_text: VoxelSizeText = None,
    json: OneJson = False,
) -> None:
    """Show what a volume is: shape, type, voxel size, chunks, levels, bytes, channels.

    Example: vesselkd info brain.ome.zarr --json
    """
    from napari_vesselkd.cli.info import describe, info_lines
    from napari_vesselkd.volume import open_volume

    with open_volume(
        source, channel=channel, level=level, voxel_size_um=voxel_size(voxel_size_text)
    ) as volume:
        found = describe(volume)
    Console(json).result(found, info_lines(found))


@app.command
def convert(
    source: Source,
    output: Annotated[str, Parameter(help="OME-Zarr folder to write, NAME.ome.zarr.")],
    /,
    *,
    ome_version: Annotated[
        Literal["0.5", "0.4"] | None,
        Parameter(help="OME-Zarr version: 0.5 (zarr v3) or 0.4 (v2). Default: 0.5."),
    ] = None,
    level: Level = 0,
    channel: Channel = None,
    voxel_size_text: VoxelSizeText = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    restart: Restart = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a volume to a multiscale OME-Zarr, in bounded memory.

    Example: vesselkd convert slices/ brain.ome.zarr --voxel-size 3,1.625,1.625
    """
    from napari_vesselkd.volume import ConvertConfig, open_volume
    from napari_vesselkd.volume import convert as task

    chosen = build_config(
        ConvertConfig, "convert", config, settings, ome_version=ome_version, restart=restart or None
    )
    console = Console(json, quiet)
    with open_volume(
        source, channel=channel, level=level, voxel_size_um=voxel_size(voxel_size_text)
    ) as volume:
        done = console.follow(task(volume, output, chosen), again=_go_on(restart))
    values = done.to_dict()
    state = "was complete already" if values["already_done"] else f"written in {values['seconds']:.1f} s"
    console.print([f"{values['output']}: {values['levels']} levels, {state}"])


@app.command
def synth(
    output_dir: Annotated[str, Parameter(help="Folder to write phantom-SEED folders into.")],
    /,
    *,
    shape: Annotated[str | None, Parameter(help="Z,Y,X in voxels. Default: 32,160,160.")] = None,
    seed: Annotated[
        int | None, Parameter(help="Of the first phantom; the next ones count on. Default: 0.")
    ] = None,
    count: Annotated[int, Parameter(help="Number of phantoms.")] = 1,
    voxel_size_text: Annotated[
        str | None,
        Parameter(name="--voxel-size", allow_leading_hyphen=True, help="z,y,x in um. Default: random."),
    ] = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make phantom volumes with exact labels and centrelines.

    Each folder holds image.ome.zarr, label.ome.zarr and centreline.graphml.

    Example: vesselkd synth phantoms --shape 64,256,256 --seed 1 --count 4
    """
    from napari_vesselkd.phantoms import PhantomConfig, synthesise

    chosen = build_config(
        PhantomConfig,
        "synth",
        config,
        settings,
        shape=whole_numbers("--shape", shape),
        seed=seed,
        voxel_size_um=voxel_size(voxel_size_text),
    )
    console = Console(json, quiet)
    done = console.follow(synthesise(output_dir, chosen, count), again=GO_ON.format(""))
    console.print(done.to_dict()["folders"])


@app.command
def segment(
    source: Source,
    output: Annotated[
        str,
        Parameter(
            help="Labels to write: .ome.zarr (with pyramid), .tif or .nii.gz; or PROJECT.vesselkd, which is "
            "made if it is not there."
        ),
    ],
    /,
    *,
    checkpoint: Annotated[
        str | None,
        Parameter(
            help="Name or path of a checkpoint. Default: the one that the project uses, else the bundled one "
            "for the voxel size."
        ),
    ] = None,
    region: RegionText = None,
    level: Annotated[int | None, Parameter(help="Resolution level, 0 the finest. Default: 0.")] = None,
    channel: Channel = None,
    voxel_size_text: VoxelSizeText = None,
    device: Device = None,
    precision: Precision = None,
    block: Annotated[
        int | None, Parameter(help="Voxels along each side of a block. Default: from the memory at hand.")
    ] = None,
    halo: Annotated[
        int | None, Parameter(help="Context voxels on each side. Default: the network's reach.")
    ] = None,
    threshold: Annotated[
        float | None,
        Parameter(
            allow_leading_hyphen=True,
            help="Probability, 0..1, from which a voxel is vessel. Default: the checkpoint's.",
        ),
    ] = None,
    probability: Annotated[
        bool | None, Parameter(help="Also write the probability, as uint8 0..255. Default: no.")
    ] = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    restart: Restart = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Segment the vessels of a volume, block by block; in a project, corrections stay on top.

    Example: vesselkd segment brain.ome.zarr vessels.ome.zarr --region 0:64,0:512,0:512
    """
    from napari_vesselkd.cli.segmenting import segment_into
    from napari_vesselkd.inference import SegmentConfig, SegmentFinished
    from napari_vesselkd.volume import open_volume

    chosen = build_config(
        SegmentConfig,
        "segment",
        config,
        settings,
        checkpoint=checkpoint,
        region=region,
        level=level,
        device=device,
        precision=precision,
        block=block,
        halo=halo,
        threshold=threshold,
        probability=probability,
        restart=restart or None,
    )
    console = Console(json, quiet)
    with open_volume(source, channel=channel, voxel_size_um=voxel_size(voxel_size_text)) as volume:
        done = console.follow(segment_into(volume, output, chosen), again=_go_on(restart))
    if isinstance(done, SegmentFinished):
        console.print(
            [
                f"{done.output}: {done.vessel_voxels:,} vessel voxels, "
                f"{done.vessel_fraction:.2%} of the region, {done.seconds:.1f} s",
                *([] if done.probability is None else [f"{done.probability}: probability"]),
            ]
        )


@app.command
def evaluate(
    prediction: Annotated[str, Parameter(help="Labels to score; every value above 0 is vessel.")],
    reference: Annotated[str, Parameter(help="Labels to score against, of the same shape.")],
    /,
    *,
    region: RegionText = None,
    voxel_size_text: VoxelSizeText = None,
    figure: Annotated[
        str | None,
        Parameter(help="Picture NAME.png of where the two differ, along z, y and x. Default: none."),
    ] = None,
    json: OneJson = False,
    quiet: Quiet = False,
) -> None:
    """Score a segmentation: Dice, accuracy, Jaccard, HD95, clDice, SMD, Betti errors.

    Example: vesselkd evaluate vessels.ome.zarr truth.tif --voxel-size 5,0.994,0.994
    """
    from napari_vesselkd.cli.scoring import EvaluateRequest, run_evaluate

    size = voxel_size(voxel_size_text)
    run_evaluate(EvaluateRequest(prediction, reference, region, size, figure), Console(json, quiet))


@app.command
def mip(
    source: Source,
    output: Annotated[str, Parameter(help="Picture: .png (contrast, scale bar) or .tif (raw values).")],
    /,
    *,
    axis: Annotated[Literal["z", "y", "x"], Parameter(help="Axis to look along.")] = "z",
    slab: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="Range a:b of voxels along the axis. Default: all of it."),
    ] = None,
    how: Annotated[
        Literal["max", "min", "mean", "depth"],
        Parameter(
            help="What is shown: the maximum, minimum or mean, or the maximum in the colours of its depth."
        ),
    ] = "max",
    overlay: Annotated[str | None, Parameter(help="Labels to draw over the image. Default: none.")] = None,
    region: RegionText = None,
    level: Level = 0,
    channel: Channel = None,
    voxel_size_text: VoxelSizeText = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Save a projection (maximum intensity by default), chunk by chunk, with labels over it if asked for.

    Example: vesselkd mip brain.ome.zarr mip.png --axis z --slab 100:150 --overlay vessels.ome.zarr
    """
    from napari_vesselkd.cli.projecting import MipFinished, MipRequest, run_mip

    request = MipRequest(
        source, output, axis, slab, overlay, region, level, channel, voxel_size(voxel_size_text), how
    )
    console = Console(json, quiet)
    done = console.follow(run_mip(request))
    if isinstance(done, MipFinished):
        rows, columns = done.shape
        console.print([f"{done.output}: {columns} x {rows} pixels, region {done.region}"])


def _go_on(restart: bool) -> str:
    return GO_ON.format(", without --restart," if restart else "")
