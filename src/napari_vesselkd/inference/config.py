"""What can be chosen about a segmentation."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.geometry import Region, Shape

PRECISIONS = ("auto", "fp32", "bf16", "int8")


@dataclass(frozen=True)
class SegmentConfig:
    """Settings of one segmentation.

    Attributes
    ----------
    checkpoint : str
        Name in the registry, path of a .safetensors file, or "auto": the bundled one for the voxel size.
    threshold : float, optional
        Probability in [0, 1] from which a voxel is vessel; the checkpoint's own by default.
    region : str or Region, optional
        Part to segment in voxels of `level`, "z0:z1,y0:y1,x0:x1"; everything by default. The output always
        covers the whole volume, so that more regions can be added to it by further runs.
    level : int
        Resolution level of the volume, 0 the finest.
    device : str
        "auto", "cpu", "cuda", "cuda:N" or "mps".
    precision : str
        "auto", "fp32", "bf16" or "int8".
    block : int, optional
        Voxels along each side of a block's core, rounded up to what fits the net; from the memory at hand by
        default. The result does not depend on it.
    halo : int, optional
        Context voxels on each side, rounded up to what fits the net; the checkpoint's measured reach by
        default. With less, seams may show.
    probability : bool
        Also write the probability as an image of bytes (0..255) beside the output.
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

    checkpoint: str = "auto"
    threshold: float | None = None
    region: str | Region | None = None
    level: int = 0
    device: str = "auto"
    precision: str = "auto"
    block: int | None = None
    halo: int | None = None
    probability: bool = False
    restart: bool = False
    upper: float | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InvalidInputError("The threshold is not a probability", value=self.threshold, limit="0..1")
        if self.precision not in PRECISIONS:
            raise InvalidInputError(
                "There is no such precision", value=self.precision, limit=", ".join(PRECISIONS)
            )
        for name, value, least in (
            ("block", self.block, 1),
            ("halo", self.halo, 0),
            ("threads", self.threads, 1),
        ):
            if value is not None and value < least:
                raise InvalidInputError(f"The {name} is too small", value=value, limit=f"at least {least}")
        if self.upper is not None and not 0 < self.upper <= 100:
            raise InvalidInputError("The upper percentile is out of range", value=self.upper, limit="0..100")

    def region_in(self, shape: Shape) -> Region:
        """Return the region asked for in a volume of `shape`; RegionError where it does not fit."""
        if self.region is None:
            return Region.whole(shape)
        if isinstance(self.region, Region):
            return self.region.checked(shape)
        return Region.parse(self.region, shape)
