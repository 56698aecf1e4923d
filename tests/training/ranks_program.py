"""Run by torchrun in test_ranks.py: what process N found goes to OUT/N.json and OUT/N.safetensors."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from napari_vesselkd.errors import VesselKDError
from napari_vesselkd.models import Student, StudentConfig, ranks
from napari_vesselkd.models.quantiser import AveragedCodebook, QuantiserConfig
from napari_vesselkd.training import Batch, FitConfig, fit, segmentation_terms

CONFIG = FitConfig(steps=4, warmup=2, accumulate=2, save_every=2, report_every=2)


def model():
    torch.manual_seed(0)
    return Student(StudentConfig(widths=(4, 8), strides=(2, 2)))


def batch_of(number):
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(number))
    label = (image > 0.6).float()
    return Batch(image, label, label, torch.ones_like(label), names=(f"patch {number}",))


def terms_of(net, batch, _step):
    net.drawn = [*getattr(net, "drawn", []), float(torch.rand(()))]
    return segmentation_terms(net(batch.image), batch)


def broken(net, batch, step):
    terms = terms_of(net, batch, step)
    return {key: term * float("nan") for key, term in terms.items()} if batch.names == ("patch 3",) else terms


def codebook_of(tokens):
    """Return a codebook after three lessons; of all tokens each process sees its share."""
    torch.manual_seed(1)
    book = AveragedCodebook(QuantiserConfig(codes=8, width=4, revival=0.0)).train()
    book.codebook.copy_(tokens[0, :8])
    book.counts.fill_(1.0)
    book.sums.copy_(book.codebook)
    book.begun.fill_(True)
    for lesson in tokens:
        book(lesson[ranks.number() :: ranks.count(), :, None, None, None])
    return book


def main(out: Path) -> None:
    ranks.join()
    torch.manual_seed(100 + ranks.number())  # of the model's drawing, which must not depend on it
    net = model()
    if not ranks.is_first():
        with torch.no_grad():
            next(net.parameters()).add_(1.0)  # whatever a process begins with, the first one's counts
    reports = list(fit(net, batch_of, terms_of, CONFIG, out / "state.safetensors"))
    found = {"reports": [type(report).__name__ for report in reports], "drawn": net.drawn}
    tokens = torch.randn(3, 64, 4, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        book = codebook_of(tokens)
    for name, config, terms in (("uneven", replace(CONFIG, accumulate=3), terms_of), ("nan", CONFIG, broken)):
        try:
            list(fit(model(), batch_of, terms, config, out / f"{name}.safetensors"))
        except VesselKDError as error:
            found[name] = str(error)
    number = ranks.number()
    save_file({**net.state_dict(), "book": book.codebook}, out / f"{number}.safetensors")
    (out / f"{number}.json").write_text(json.dumps(found))
    ranks.leave()


main(Path(sys.argv[1]))
