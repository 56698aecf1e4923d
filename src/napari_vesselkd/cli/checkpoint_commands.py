"""``vesselkd checkpoints``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.options import Json, OneJson

checkpoints = App(name="checkpoints", help="The models at hand: bundled ones, your own, those of a project.")

Name = Annotated[str, Parameter(help="Name or path of a checkpoint.")]
InProject = Annotated[
    str | None,
    Parameter(
        name="--project",
        help="PROJECT.vesselkd whose checkpoints are meant. Default: your own folder of checkpoints.",
    ),
]


@checkpoints.command(name="list")
def list_(*, project: InProject = None, json: Json = False) -> None:
    """List the checkpoints, one line each; of a project also which one is in use.

    Example: vesselkd checkpoints list --project brain.vesselkd
    """
    from napari_vesselkd.cli.models import list_checkpoints

    list_checkpoints(Console(json), project)


@checkpoints.command
def show(name: Name, /, *, project: InProject = None, json: OneJson = False) -> None:
    """Show the card of a checkpoint: what it is, what it is for, where it comes from.

    Example: vesselkd checkpoints show student-isotropic
    """
    from napari_vesselkd.cli.models import show_checkpoint

    show_checkpoint(name, Console(json), project)


@checkpoints.command
def promote(
    name: Annotated[str, Parameter(help="Name of a checkpoint, or auto: the bundled one.")],
    /,
    *,
    project: Annotated[str, Parameter(help="PROJECT.vesselkd that is to use it.")],
    json: OneJson = False,
) -> None:
    """Take a checkpoint into use in a project; an earlier one, or auto, is the way back.

    Labels stay as they are until they are segmented again.

    Example: vesselkd checkpoints promote brain-001 --project brain.vesselkd
    """
    from napari_vesselkd.cli.models import promote_checkpoint

    promote_checkpoint(name, project, Console(json))


@checkpoints.command
def export(
    name: Name,
    target: Annotated[str, Parameter(help="Folder, or path ending in .safetensors.")],
    /,
    *,
    project: InProject = None,
) -> None:
    """Copy a checkpoint's two files (weights and card) to where others can take them.

    Example: vesselkd checkpoints export student-isotropic /tmp/models
    """
    from napari_vesselkd.cli.models import registry_of

    Console().print([str(registry_of(project).export(name, target))])


@checkpoints.command(name="import")
def import_(
    path: Annotated[str, Parameter(help="The .safetensors file, with its .json card beside it.")],
    /,
    *,
    project: InProject = None,
) -> None:
    """Check a checkpoint and copy it into your own folder of checkpoints, or into a project.

    Example: vesselkd checkpoints import /tmp/models/mine.safetensors
    """
    from napari_vesselkd.cli.models import registry_of

    Console().print([str(registry_of(project).import_(path).path)])
