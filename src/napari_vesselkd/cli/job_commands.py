"""``vesselkd jobs``, for the runs that there are."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.options import Json, OneJson, Quiet

jobs = App(name="jobs", help="Commands that run in the background, each in a run folder.")

Run = Annotated[str, Parameter(help="The run folder.")]


@jobs.command(name="list")
def list_(
    place: Annotated[
        str | None,
        Parameter(help="A project, a folder of run folders, or a run folder. Default: all that you started."),
    ] = None,
    /,
    *,
    json: Json = False,
) -> None:
    """List the runs, the newest first: state, progress, when it was started, folder.

    Example: vesselkd jobs list brain.vesselkd
    """
    from napari_vesselkd.cli.job_view import list_jobs

    list_jobs(place, Console(json))


@jobs.command
def attach(run: Run, /, *, json: Json = False, quiet: Quiet = False) -> None:
    """Watch a run until it ends; Ctrl-C leaves it running.

    Example: vesselkd jobs attach brain.vesselkd/runs/finetune-001
    """
    from napari_vesselkd.cli.job_view import attach_to

    attach_to(run, Console(json, quiet))


@jobs.command
def stop(
    run: Run,
    /,
    *,
    wait: Annotated[
        float, Parameter(help="Seconds for it to stop by itself, after which its process is ended.")
    ] = 30.0,
    json: OneJson = False,
) -> None:
    """Stop a run; nothing is lost, `vesselkd jobs resume` goes on.

    Example: vesselkd jobs stop brain.vesselkd/runs/finetune-001
    """
    from napari_vesselkd.cli.job_view import stop_job

    stop_job(run, wait, Console(json))


@jobs.command
def resume(run: Run, /, *, json: OneJson = False) -> None:
    """Go on with a run that was stopped, failed or crashed, in the background.

    Example: vesselkd jobs resume brain.vesselkd/runs/finetune-001
    """
    from napari_vesselkd.cli.job_view import resume_job

    resume_job(run, Console(json))
