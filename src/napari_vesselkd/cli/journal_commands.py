"""``vesselkd journal``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from napari_vesselkd.cli.console import Console
from napari_vesselkd.cli.options import OneJson, Quiet

journal = App(name="journal", help="Corrections of one image by several people: export them, merge them.")

InProject = Annotated[str, Parameter(help="PROJECT.vesselkd.")]


@journal.command
def export(
    project: InProject,
    file: Annotated[str, Parameter(help="The file to write, for example brain-anna.jsonl.")],
    /,
    *,
    json: OneJson = False,
) -> None:
    """Write the accepted blocks and what was painted anywhere, with their journals, into one file.

    It holds who did what and when. Blocks that are open or skipped are not in it.

    Example: vesselkd journal export brain.vesselkd brain-anna.jsonl
    """
    from napari_vesselkd.cli.exchanging import export_corrections

    export_corrections(project, file, Console(json))


@journal.command(name="import")
def import_(
    project: InProject,
    file: Annotated[str, Parameter(help="What another person has exported, of the same image.")],
    /,
    *,
    take: Annotated[
        Literal["mine", "theirs"] | None,
        Parameter(
            help="Whose corrections win where they differ. Default: list the differences, change nothing."
        ),
    ] = None,
    json: OneJson = False,
    quiet: Quiet = False,
) -> None:
    """Merge another person's corrections into a project; one undo takes all of them back.

    What only they have corrected is taken. Where both have, and differently, the places are listed by block
    and box, and nothing is changed until --take says whose corrections win.

    Example: vesselkd journal import brain.vesselkd brain-anna.jsonl --take theirs
    """
    from napari_vesselkd.cli.exchanging import import_corrections

    import_corrections(project, file, take, Console(json, quiet))
