"""The codebook: every place of the bottleneck takes the nearest of N codes (VpbSD, arXiv 2411.09567).

Three ways to learn it: moving averages of what chose a code, with revival of codes that nothing chooses
(VQ-VAE, arXiv 1711.00937; methods 1.3), Gumbel-softmax as published (vq-wav2vec, arXiv 1910.05453, with
distances for logits), and finite scalar quantisation without a table (arXiv 2309.15505).

Notation: B batch, W width of a code, N codes, T tokens = B x cells of the grid, (z, y, x) or (y, x).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models import ranks

SMOOTHING = 1e-5


@dataclass(frozen=True)
class QuantiserConfig:
    """Shape and learning of a codebook.

    Attributes
    ----------
    kind : {"ema", "gumbel", "fsq"}
    codes, width : int
        N and W; of "fsq" the number of codes follows from `levels`.
    decay : float
        Of the moving averages ("ema").
    revival : float
        A code that fewer than this share of an even spread of the tokens choose is set to a random token
        ("ema"). The usual fixed threshold of 2 would replace every code at each step: a patch has 8 tokens.
    commitment : float
        Weight of the term that keeps the encoder near its codes, beta of eq. 3.
    temperature : (float, float)
        Of the softmax at the start and from `annealed` of the training on ("gumbel").
    annealed : float
    levels : tuple of int
        Values that each scalar takes ("fsq").

    Raises
    ------
    InvalidInputError
        If a value is outside its range.
    """

    kind: str = "ema"
    codes: int = 256
    width: int = 32
    decay: float = 0.99
    revival: float = 0.2
    commitment: float = 0.25
    temperature: tuple[float, float] = (2.0, 0.5)
    annealed: float = 0.7
    levels: tuple[int, ...] = (5, 5, 5, 5, 5, 5)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInputError("There is no such codebook", value=self.kind, limit=", ".join(KINDS))
        for name, value, least in (("codes", self.codes, 2), ("width", self.width, 1)):
            if value < least:
                raise InvalidInputError(f"A codebook's {name} are too few", value=value, limit=f">= {least}")
        for name, share in (("decay", self.decay), ("revival", self.revival)):
            if not 0 <= share <= 1:
                raise InvalidInputError(f"A codebook's {name} is out of range", value=share, limit="0..1")
        if not 0 < self.annealed <= 1:
            raise InvalidInputError(
                "A codebook's annealed is out of range", value=self.annealed, limit="above 0, at most 1"
            )
        if not 0 <= self.commitment < math.inf:
            raise InvalidInputError(
                "A codebook's commitment cannot be a weight", value=self.commitment, limit="0 or more"
            )
        if not all(0 < value < math.inf for value in self.temperature):
            raise InvalidInputError(
                "A codebook's temperature is out of range", value=self.temperature, limit="above 0"
            )
        if any(level < 2 for level in self.levels):
            raise InvalidInputError("A level has fewer than two values", value=self.levels, limit=">= 2 each")
        object.__setattr__(self, "levels", tuple(int(level) for level in self.levels))
        object.__setattr__(self, "temperature", tuple(float(value) for value in self.temperature))
        if self.kind == "fsq":
            object.__setattr__(self, "codes", math.prod(self.levels))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Quantised:
    """What the codebook makes of a feature.

    Attributes
    ----------
    q : Tensor (B, W, *grid)
        The codes; gradients pass straight through to the feature.
    indices : Tensor (B, *grid) int64
    loss : Tensor
        Scalar: what is to be minimised beside the reconstruction, eq. 6.
    """

    q: Tensor
    indices: Tensor
    loss: Tensor


class Quantiser(nn.Module):
    """Base of the three kinds. In evaluation, and once frozen, it is the nearest code and changes nothing.

    Attributes
    ----------
    progress : Tensor
        Share of the training that is done, 0..1, set by who trains.
    is_frozen : Tensor
        Whether the codes stay as they are even in training mode; part of the state.
    """

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__()
        self.config = config
        self.progress: Tensor
        self.is_frozen: Tensor
        self.register_buffer("progress", torch.zeros(()))
        self.register_buffer("is_frozen", torch.tensor(False))

    @property
    def learning(self) -> bool:
        """Whether the codes change."""
        return self.training and not bool(self.is_frozen)

    @property
    def scale(self) -> Tensor:
        """Root mean square of all codes, a scalar: divided by it, codes of any kind are of one size."""
        return self.table().detach().float().pow(2).mean().sqrt().clamp_min(1e-6)

    def freeze(self, frozen: bool = True) -> None:
        """Keep the codes from now on, or let them be learned again."""
        self.is_frozen.fill_(frozen)
        for parameter in self.code_parameters():
            parameter.requires_grad_(not frozen)

    def table(self) -> Tensor:
        """Return all codes (N, W)."""
        raise NotImplementedError

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the codes are made of."""
        return []

    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes (B, W, *grid) of indices (B, *grid)."""
        return F.embedding(indices, self.table()).movedim(-1, 1)

    def distances(self, tokens: Tensor) -> Tensor:
        """Return how far tokens (T, W) are from each code, (T, N); the nearest one is what they become.

        Lengths are divided by the root mean square length of the codes: 1 is as far as a typical code is
        from 0.
        """
        length = self.scale * math.sqrt(self.config.width)
        return squared_distances(tokens.float(), self.table()).sqrt() / length

    def forward(self, u: Tensor) -> Quantised:
        """Return what the codebook makes of `u` (B, W, *grid); computed in float32."""
        tokens = u.movedim(1, -1).float()
        with torch.autocast(u.device.type, enabled=False):
            q, indices, loss = self._quantise(tokens.reshape(-1, tokens.shape[-1]))
        grid = tokens.shape[:-1]
        return Quantised(q.view(tokens.shape).movedim(-1, 1), indices.view(grid), loss)

    def _quantise(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return codes (T, W), indices (T,) and the loss for tokens (T, W)."""
        raise NotImplementedError

    def _committed(self, tokens: Tensor, codes: Tensor) -> Tensor:
        return self.config.commitment * F.mse_loss(tokens, codes.detach())


class AveragedCodebook(Quantiser):
    """Codes that are moving averages of the tokens that chose them, in all processes that train together."""

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__(config)
        self.codebook: Tensor
        self.counts: Tensor
        self.sums: Tensor
        self.begun: Tensor
        self.register_buffer("codebook", torch.randn(config.codes, config.width))
        self.register_buffer("counts", torch.zeros(config.codes))
        self.register_buffer("sums", torch.zeros(config.codes, config.width))
        self.register_buffer("begun", torch.tensor(False))

    def table(self) -> Tensor:
        return self.codebook

    def _quantise(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.learning and not self.begun:
            self._begin(ranks.joined(tokens.detach()))
            self._agree()
        indices = nearest(tokens.detach(), self.codebook)
        codes = self.codebook[indices]
        loss = self._committed(tokens, codes)
        if self.learning:
            self._learn(ranks.joined(tokens.detach()), ranks.joined(indices))
            self._agree()
        return tokens + (codes - tokens).detach(), indices, loss

    @torch.no_grad()
    def _begin(self, tokens: Tensor) -> None:
        """Start from random tokens, a little apart from each other."""
        chosen = tokens[torch.randint(len(tokens), (self.config.codes,), device=tokens.device)]
        apart = 0.1 * tokens.std() * torch.randn_like(chosen)
        self.codebook.copy_(chosen + apart)
        self.counts.fill_(len(tokens) / self.config.codes)
        self.sums.copy_(self.codebook * self.counts[:, None])
        self.begun.fill_(True)

    @torch.no_grad()
    def _learn(self, tokens: Tensor, indices: Tensor) -> None:
        chosen = F.one_hot(indices, self.config.codes).to(tokens.dtype)
        self.counts.lerp_(chosen.sum(0), 1 - self.config.decay)
        self.sums.lerp_(chosen.T @ tokens, 1 - self.config.decay)
        total = self.counts.sum()
        smooth = (self.counts + SMOOTHING) / (total + self.config.codes * SMOOTHING) * total
        self.codebook.copy_(self.sums / smooth[:, None])
        self._revive(tokens)

    def _agree(self) -> None:
        """Take what is drawn at random from the first process."""
        for value in (self.codebook, self.counts, self.sums):
            ranks.copy_from_first(value)

    def _revive(self, tokens: Tensor) -> None:
        least = self.config.revival * len(tokens) / self.config.codes
        dead = torch.nonzero(self.counts < least)[:, 0]
        if len(dead) == 0:
            return
        order = torch.randperm(len(tokens), device=tokens.device)
        dead = dead[torch.randperm(len(dead), device=dead.device)[: len(tokens)]]
        even = len(tokens) / self.config.codes
        self.codebook[dead] = tokens[order[: len(dead)]]
        self.counts[dead] = even
        self.sums[dead] = self.codebook[dead] * even


class GumbelCodebook(Quantiser):
    """Codes learned by gradient; while they are learned, a code is drawn by its distance."""

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__(config)
        self.codebook = nn.Parameter(torch.randn(config.codes, config.width))

    def table(self) -> Tensor:
        return self.codebook

    def code_parameters(self) -> list[nn.Parameter]:
        return [self.codebook]

    @property
    def temperature(self) -> float:
        """Of the softmax: falls exponentially from the first to the second value, then stays."""
        high, low = self.config.temperature
        return float(high * (low / high) ** min(1.0, float(self.progress) / self.config.annealed))

    def _quantise(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not self.learning:
            indices = nearest(tokens.detach(), self.codebook)
            codes = self.codebook[indices]
            return tokens + (codes - tokens).detach(), indices, self._committed(tokens, codes)
        logits = -squared_distances(tokens, self.codebook)
        drawn = F.gumbel_softmax(logits, self.temperature, hard=True)
        indices = drawn.argmax(dim=1)
        codes = self.codebook[indices]  # `drawn @ codebook` would move the encoder by the first term
        loss = F.mse_loss(codes, tokens.detach()) + self._committed(tokens, codes)
        return drawn @ self.codebook, indices, loss


class ScalarCodebook(Quantiser):
    """Each of a few scalars is rounded to one of its levels; the codes are all their combinations."""

    def __init__(self, config: QuantiserConfig) -> None:
        super().__init__(config)
        scalars = len(config.levels)
        self.down = nn.Linear(config.width, scalars)
        self.up = nn.Linear(scalars, config.width)
        self.levels: Tensor
        self.basis: Tensor
        self.register_buffer("levels", torch.tensor(config.levels, dtype=torch.float32))
        steps = torch.tensor([1, *config.levels[:-1]]).cumprod(0)
        self.register_buffer("basis", steps)

    def code_parameters(self) -> list[nn.Parameter]:
        return list(self.up.parameters())

    def table(self) -> Tensor:
        indices = torch.arange(self.config.codes, device=self.basis.device)
        places = indices[:, None] // self.basis % self.levels.long()
        return cast(Tensor, self.up(self._values(places.float())))

    def _quantise(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        places = torch.sigmoid(self.down(tokens)) * (self.levels - 1)
        rounded = places + (places.round() - places).detach()
        indices = (places.detach().round().long() * self.basis).sum(dim=1)
        return self.up(self._values(rounded)), indices, tokens.new_zeros(())

    def distances(self, tokens: Tensor) -> Tensor:
        """Return how far tokens (T, W) are from each code, (T, N), in steps from one level to the next."""
        indices = torch.arange(self.config.codes, device=self.basis.device)
        codes = (indices[:, None] // self.basis % self.levels.long()).float()
        places = torch.sigmoid(self.down(tokens.float())) * (self.levels - 1)
        return squared_distances(places, codes).sqrt()

    def _values(self, places: Tensor) -> Tensor:
        """Return places 0..level-1 as values in [-1, 1]."""
        return 2 * places / (self.levels - 1) - 1


def squared_distances(tokens: Tensor, codes: Tensor) -> Tensor:
    """Return ``|u - e|^2`` (T, N), from the differences: a patch has few tokens, and no digits are lost."""
    return (tokens[:, None] - codes).square().sum(2)


def nearest(tokens: Tensor, codes: Tensor) -> Tensor:
    """Return the index of the nearest code of each token, (T,); the first of equally near ones (eq. 2)."""
    return squared_distances(tokens, codes).argmin(dim=1)


KINDS: dict[str, Callable[[QuantiserConfig], Quantiser]] = {
    "ema": AveragedCodebook,
    "gumbel": GumbelCodebook,
    "fsq": ScalarCodebook,
}


def make_quantiser(config: QuantiserConfig) -> Quantiser:
    """Return a new codebook."""
    return KINDS[config.kind](config)
