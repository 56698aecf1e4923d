"""Projections as files: PNG figures and TIFF with the raw values; complete or not there at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_vesselkd.errors import OutputError
from napari_vesselkd.projections.picture import Rgb, square_pixels, with_scale_bar
from napari_vesselkd.volume.output import new_folder, output_errors

PNG_ENDINGS = (".png",)
TIFF_ENDINGS = (".tif", ".tiff")


def check_picture_path(path: str | Path) -> Path:
    """Return the path of a picture to write.

    Raises
    ------
    OutputError
        If its ending is not that of a PNG or TIFF file, or its folder cannot be written.
    """
    output = Path(path).expanduser()
    if output.suffix.lower() not in PNG_ENDINGS + TIFF_ENDINGS:
        raise OutputError(
            "The picture has an unknown ending",
            value=output.name,
            limit=", ".join(PNG_ENDINGS + TIFF_ENDINGS),
            remedy=f"For example {output.stem or 'mip'}.png",
        )
    folder = output.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if output.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(
            "The picture cannot be written there",
            value=output,
            remedy="Choose another folder or change its permissions",
        )
    return output


def save_png(path: str | Path, rgb: Rgb, pixel_size_um: tuple[float, float] | None = None) -> None:
    """Write a picture with square pixels and a scale bar.

    Parameters
    ----------
    path : str or Path
    rgb : ndarray (rows, columns, 3) uint8
    pixel_size_um : (row, column) in um, optional
        Of `rgb`. Without it the picture is written as it is.
    """
    if pixel_size_um is not None:
        rgb, pixel_um = square_pixels(rgb, pixel_size_um)
        rgb = with_scale_bar(rgb, pixel_um)
    write_png(path, rgb)


def write_png(path: str | Path, rgb: Rgb) -> None:
    """Write a finished picture (rows, columns, 3) uint8 as it is."""
    note = PngInfo()
    note.add_text("Software", "napari-vesselkd")
    with _aside(Path(path)) as temporary:
        Image.fromarray(rgb).save(temporary, format="PNG", optimize=True, pnginfo=note)


def save_tiff(
    path: str | Path, image: npt.NDArray[Any], pixel_size_um: tuple[float, float] | None = None
) -> None:
    """Write raw values (rows, columns), or rgb (rows, columns, 3), as OME-TIFF with its resolution.

    Parameters
    ----------
    pixel_size_um : (row, column) in um, optional
        Left out of the file where it is not known.
    """
    rgb = image.ndim == 3
    metadata: dict[str, Any] = {"axes": "YXS" if rgb else "YX"}
    resolution: dict[str, Any] = {}
    if pixel_size_um is not None:
        row, column = pixel_size_um
        metadata.update(
            PhysicalSizeX=column, PhysicalSizeXUnit="µm", PhysicalSizeY=row, PhysicalSizeYUnit="µm"
        )
        resolution = {"resolution": (1e4 / column, 1e4 / row), "resolutionunit": "CENTIMETER"}
    values = image.astype(np.uint8) if image.dtype.kind == "b" else image
    with _aside(Path(path)) as temporary:
        tifffile.imwrite(
            temporary,
            values,
            ome=True,
            photometric="rgb" if rgb else "minisblack",
            compression="zlib",
            metadata=metadata,
            **resolution,
        )


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, which takes its place when all went well."""
    with output_errors(path), new_folder(path.parent):
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
