"""What can be chosen about a code map."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape, as_shape


@dataclass(frozen=True)
class CodesConfig:
    """Settings of one code map.

    Attributes
    ----------
    checkpoint : str
        A teacher: its name in the registry, or path of a .safetensors file.
    region : str or Region, optional
        Part to map in voxels of `level`, "z0:z1,y0:y1,x0:x1"; everything by default. Whole code cells are
        computed. The map always covers the whole volume, so that more regions can be added by further runs.
    level : int
        Resolution level of the volume, 0 the finest.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    block : int or (z, y, x), optional
        Voxels along each side of a block, rounded up to what fits the windows; by the device by default. The
        map does not depend on it.
    restart : bool
        Replace what the output holds instead of resuming it.
    upper : float, optional
        Upper percentile of the intensity window; the checkpoint's own by default.
    threads : int, optional
        CPU threads of the net; all by default.

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    checkpoint: str
    region: str | Region | None = None
    level: int = 0
    device: str = "auto"
    block: int | Shape | None = None
    restart: bool = False
    upper: float | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InvalidInputError("The threads are too few", value=self.threads, limit="at least 1")
        if self.sides is not None and min(self.sides) < 1:
            raise InvalidInputError("The block is too small", value=self.block, limit="at least 1")
        if self.upper is not None and not 0 < self.upper <= 100:
            raise InvalidInputError("The upper percentile is out of range", value=self.upper, limit="0..100")

    @property
    def sides(self) -> Shape | None:
        """The block asked for, (z, y, x) voxels."""
        if self.block is None:
            return None
        return (self.block,) * 3 if isinstance(self.block, int) else as_shape(self.block)

    def region_in(self, shape: Shape) -> Region:
        """Return the region asked for in a volume of `shape`; RegionError where it does not fit."""
        if self.region is None:
            return Region.whole(shape)
        if isinstance(self.region, Region):
            return self.region.checked(shape)
        return Region.parse(self.region, shape)
