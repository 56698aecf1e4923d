"""The commands that train; each works in a run folder, as a job."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.options import Assignments, ConfigFile, Device, Json, Quiet

COLUMNS = "image,label,group,voxel_size_um (and mask)"
Learned = Annotated[
    str, Parameter(help=f"PROJECT.vesselkd, or DATASET.csv: {COLUMNS}; rows without a label are unlabelled.")
]
Out = Annotated[
    str | None, Parameter(help="Run folder. Default: a new one in the project; a DATASET.csv needs it.")
]
HoldOut = Annotated[
    list[str] | None,
    Parameter(
        name="--hold-out",
        negative="",
        help="Group of the DATASET.csv that is not learned from; again for more. Default: none.",
    ),
]
PresetName = Literal["published", "evidence", "quick"]
PRESETS = (
    "Settings to start from: published (the paper's, for a GPU), evidence (what later work found better, for "
    "a GPU), quick (small, for a CPU). Default: published"
)
Preset = Annotated[PresetName | None, Parameter(help=f"{PRESETS}.")]


def finetune(
    source: Annotated[str, Parameter(help=f"PROJECT.vesselkd, or DATASET.csv: {COLUMNS}.")],
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(
            name="--from",
            help="Name or path of the checkpoint to start from: a student, or a teacher. Default: the "
            "project's current student, else the bundled one for the voxel size.",
        ),
    ] = None,
    preset: Annotated[
        PresetName | None,
        Parameter(help="For a teacher, the settings to start from, see distill. Default: published."),
    ] = None,
    out: Out = None,
    hold_out: HoldOut = None,
    device: Device = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a student, or a teacher, on the accepted blocks of a project, or on labelled volumes.

    A new student is added to the project and compared with the current one on the blocks that were held
    out; `vesselkd checkpoints promote` takes it into use. A new teacher is what `vesselkd distill` needs. The
    same command with the same --out goes on where it was stopped.

    Example: vesselkd finetune brain.vesselkd --set steps=300
    """
    from napari_vesselkd.cli.finetuning import run_finetune
    from napari_vesselkd.cli.staging import Given

    given = Given(preset, hold_out or (), settings, config, device)
    run_finetune(source, from_, out, given, Console(json, quiet))


def pretrain(
    source: Learned,
    /,
    *,
    out: Out = None,
    preset: Preset = None,
    hold_out: HoldOut = None,
    device: Device = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pretrain a teacher with its codebook: it learns to reconstruct volumes, whose labels are not used.

    Next comes `vesselkd finetune --from` the new teacher. The same command with the same --out goes on where
    it was stopped. Several GPUs: torchrun --nproc-per-node N -m napari_vesselkd.cli pretrain ..., with
    --set accumulate=N.

    Example: vesselkd pretrain volumes.csv --out pretrained --preset quick --set teacher.feature_size=24
    """
    from napari_vesselkd.cli.staging import Given, pretrain_request
    from napari_vesselkd.cli.training_jobs import run_job

    given = Given(preset, hold_out or (), settings, config, device)
    make = pretrain_request(source, given)
    run_job("pretrain", source, out, make, Console(json, quiet), shared=True)


def distill(
    source: Learned,
    /,
    *,
    teacher: Annotated[
        str | None,
        Parameter(
            help="Name or path of the fine-tuned teacher, for methods that need one. Default: a project's "
            "latest teacher, else the bundled one; a DATASET.csv needs it."
        ),
    ] = None,
    method: Annotated[
        str | None,
        Parameter(
            help="vpbsd, baseline, kd, fitnets, vid, ab, mean-teacher, ua-mt, entropy, vpbsd-without-codes, "
            "vpbsd-without-pseudo or hint-and-pseudo. Default: vpbsd."
        ),
    ] = None,
    out: Out = None,
    preset: Annotated[
        PresetName | None, Parameter(help=f"{PRESETS}; for a project without --method quick.")
    ] = None,
    hold_out: HoldOut = None,
    device: Device = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Teach a new student, from labels and, by most methods, from a teacher and unlabelled volumes.

    On a project without --method the teacher is first fine-tuned on the accepted blocks (--set teach.KEY and
    distill.KEY), and the new student is compared with the current one on the blocks that were held out. The
    same command with the same --out goes on where it was stopped.

    Example: vesselkd distill volumes.csv --teacher taught/checkpoints/teacher.safetensors --out student
    """
    from napari_vesselkd.cli.staging import Given, distill_request
    from napari_vesselkd.cli.training_jobs import run_job

    given = Given(preset, hold_out or (), settings, config, device)
    make = distill_request(source, teacher, method, given)
    run_job("distill", source, out, make, Console(json, quiet))


def crossval(
    source: Annotated[str, Parameter(help=f"DATASET.csv: {COLUMNS}; rows without a label are unlabelled.")],
    /,
    *,
    out: Annotated[str, Parameter(help="Folder for everything; the same one goes on where it was stopped.")],
    methods: Annotated[
        str | None,
        Parameter(help="Names of methods, see distill, with commas between them. Default: baseline,vpbsd."),
    ] = None,
    folds: Annotated[
        int | None, Parameter(help="Parts that the groups are divided into. Default: 5.")
    ] = None,
    seeds: Annotated[
        int | None, Parameter(help="Repetitions of everything, each from another seed. Default: 3.")
    ] = None,
    labelled: Annotated[
        int | None,
        Parameter(
            help="Labelled volumes per fold, chosen by the seed; the other ones to learn from count as "
            "unlabelled. Default: all."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        Parameter(
            help="Checkpoint that the teacher of each part begins with, such as teacher-small. Default: it "
            "is pretrained there."
        ),
    ] = None,
    student: Annotated[
        str | None,
        Parameter(
            help="Checkpoint that every student begins with; auto: the bundled one for the voxel size. "
            "Default: random weights."
        ),
    ] = None,
    processes: Annotated[
        int, Parameter(help="Processes that share the work, on graphics cards in turn where there are some.")
    ] = 1,
    preset: Preset = None,
    device: Device = None,
    settings: Assignments = None,
    config: ConfigFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare methods: train each without one part of the groups, score it there, for every part and seed.

    The teacher, which the methods of a part and seed share, and the best threshold of the image are scored
    too. The tables are table.md, table.csv, table.json and table.png. Settings are --set pretrain.KEY,
    teach.KEY and distill.KEY. The same command on another machine or in another process helps with what is
    left to do; with more methods or seeds it goes on with these, and what is finished stays. What
    failed is tried again.

    Example: vesselkd crossval volumes.csv --methods baseline,fitnets,vpbsd --folds 5 --seeds 3 --out compared
    """
    from napari_vesselkd.cli.comparing import run_crossval
    from napari_vesselkd.cli.staging import Given

    names = None
    if methods is not None:
        names = tuple(name.strip() for name in methods.split(",") if name.strip())
    asked = {
        "methods": names,
        "folds": folds,
        "seeds": seeds,
        "labelled": labelled,
        "teacher": teacher,
        "student": student,
    }
    given = Given(preset, (), settings, config, device)
    run_crossval(source, out, asked, given, Console(json, quiet), processes=processes)
