"""A look at the codebook during training: which codes are chosen, and whether the decoder needs them.

Notation: B batch, * voxels (Z, Y, X) or (Y, X), `grid` the cells of the bottleneck.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_vesselkd.models.teacher import Teacher, TeacherView
from napari_vesselkd.projections.saving import save_png
from napari_vesselkd.reports import Report
from napari_vesselkd.training.fit import FitProgress
from napari_vesselkd.training.patches import Batch
from napari_vesselkd.training.validation import image_and_reconstruction


@dataclass(frozen=True)
class CodebookReport(Report):
    """How the codebook is used.

    Attributes
    ----------
    step : int
    usage : float
        Share of the codes that were chosen since the last report.
    perplexity : float
        ``exp(-sum p log p)`` of their frequencies p.
    dead : int
        Codes that were not chosen.
    reliance : float
        ``MSE(reconstruction from shuffled codes) / MSE(reconstruction)`` without skip connections; about 1
        says that the decoder does not look at the codes.
    mse : float
        Of the reconstruction of the patches looked at, without skip connections.
    picture : str or None
        File name in the run's folder: patches above their reconstructions (projections); None for none.
    """

    step: int
    usage: float
    perplexity: float
    dead: int
    reliance: float
    mse: float
    picture: str | None = None

    @property
    def text(self) -> str:
        """The figures in one line."""
        return (
            f"Step {self.step}: {self.usage:.0%} of the codes used, perplexity {self.perplexity:.0f}, "
            f"codebook reliance {self.reliance:.2f}, MSE {self.mse:.4f}"
        )


class CodebookWatch:
    """Counts the codes that are chosen while a teacher learns, and looks at its codebook now and then.

    Parameters
    ----------
    teacher : Teacher
        The one that learns.
    patches : Tensor (B, 1, *)
        To look at, in [0, 1].
    picture : Path, optional
        Where patches and their reconstructions are painted at each look.

    Attributes
    ----------
    last : CodebookReport or None
        Of the last look.
    """

    def __init__(self, teacher: Teacher, patches: Tensor, picture: Path | None = None) -> None:
        self.teacher, self.picture = teacher, picture
        self.patches = patches.to(next(teacher.parameters()).device)
        self.last: CodebookReport | None = None
        self._counts = torch.zeros(teacher.config.quantiser.codes)

    def count(self, indices: Tensor) -> None:
        """Count codes (B, *grid) that were chosen in a pass of the training."""
        self._counts.add_(torch.bincount(indices.flatten().cpu(), minlength=len(self._counts)))

    def over(self, reports: Iterable[Report], every: int) -> Iterator[Report]:
        """Pass the reports of `fit` on, with a `CodebookReport` every so many steps and at the end."""
        for report in reports:
            yield report
            if isinstance(report, FitProgress) and report.due(every):
                self.last = self._look(report.done)
                self._counts.zero_()
                yield self.last

    @torch.no_grad()
    def _look(self, step: int) -> CodebookReport:
        teacher, patches, counts = self.teacher, self.patches, self._counts
        teacher.eval()
        view = teacher.view(patches, skip_keep=0.0, reconstruct=True)
        shuffled = view.indices.flatten()[torch.randperm(view.indices.numel())].view_as(view.indices)
        other = teacher.reconstruct(patches, shuffled)
        mse, mse_shuffled = (float(((one - patches) ** 2).mean()) for one in (_image(view), other))
        if self.picture is not None:
            images, found = (one[:, 0].float().cpu().numpy() for one in (patches, _image(view)))
            save_png(self.picture, image_and_reconstruction(list(images), list(found)))
        frequencies = counts / counts.sum().clamp_min(1)
        entropy = -(frequencies * frequencies.clamp_min(1e-12).log()).sum()
        used = int((counts > 0).sum())
        return CodebookReport(
            step=step,
            usage=used / len(counts),
            perplexity=float(entropy.exp()),
            dead=len(counts) - used,
            reliance=mse_shuffled / max(mse, 1e-9),
            mse=mse,
            picture=None if self.picture is None else self.picture.name,
        )


def reconstruction_error(view: TeacherView, batch: Batch) -> Tensor:
    """Return the mean squared error of a reconstruction where the batch is valid (eq. 5), a scalar."""
    squares = (_image(view) - batch.image) ** 2 * batch.valid
    return squares.sum() / batch.valid.sum().clamp_min(1)


def _image(view: TeacherView) -> Tensor:
    assert view.reconstruction is not None  # noqa: S101  (it was asked for)
    return view.reconstruction


def facts_of(report: CodebookReport) -> dict[str, float]:
    """Return the figures of a report for a card."""
    names = ("usage", "perplexity", "dead", "reliance", "mse")
    return {name: round(float(getattr(report, name)), 5) for name in names}
