"""The options that several commands share, with their help."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from napari_vesselkd.geometry import VoxelSize, parse_voxel_size

Source = Annotated[
    str,
    Parameter(
        help="A volume: OME-Zarr or zarr folder, TIFF file or folder of slices, NIfTI, "
        "HDF5 (file.h5:/dataset), MHA or NRRD."
    ),
]
RegionText = Annotated[
    str | None,
    Parameter(
        name="--region",
        allow_leading_hyphen=True,
        help="Part to work on, z0:z1,y0:y1,x0:x1 in voxels of the level, half open. Default: everything.",
    ),
]
Level = Annotated[int, Parameter(name="--level", help="Resolution level, 0 the finest.")]
Channel = Annotated[int | None, Parameter(name="--channel", help="Channel, from 0. Default: the first.")]
VoxelSizeText = Annotated[
    str | None,
    Parameter(
        name="--voxel-size",
        allow_leading_hyphen=True,
        help="Voxel size z,y,x in um, instead of the file's. Default: what the file says.",
    ),
]
Assignments = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="key=value for any other setting; again for more. Stronger than --config. Default: none.",
    ),
]
ConfigFile = Annotated[
    str | None,
    Parameter(
        name="--config",
        help="TOML file of settings, at its top level or in a table with the command's name. Default: none.",
    ),
]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print the reports as JSON lines on stdout.")
]
OneJson = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout.")]
Quiet = Annotated[bool, Parameter(name="--quiet", negative="", help="No progress and no notes on stderr.")]
Restart = Annotated[
    bool, Parameter(name="--restart", negative="", help="Begin again instead of resuming the output.")
]
Device = Annotated[
    str | None, Parameter(name="--device", help="auto, cpu, cuda, cuda:N or mps. Default: auto.")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"] | None,
    Parameter(name="--precision", help="Arithmetic of the network. Default: auto."),
]


def voxel_size(text: str | None) -> VoxelSize | None:
    """Read the value of ``--voxel-size``; None stays None."""
    return None if text is None else parse_voxel_size(text)
