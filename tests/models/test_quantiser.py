"""Codes are the nearest ones, gradients go where they belong, and what is frozen stays."""

import math

import pytest
import torch
import torch.nn.functional as F

from napari_vesselkd.errors import InvalidInputError
from napari_vesselkd.models.quantiser import QuantiserConfig, make_quantiser

SMALL = {"codes": 64, "width": 8, "levels": (5, 4, 3)}
KINDS = ("ema", "gumbel", "fsq")


def quantiser_of(kind, **changes):
    torch.manual_seed(0)
    return make_quantiser(QuantiserConfig(**{**SMALL, "kind": kind, **changes}))


def features(batch=2, grid=(2, 3, 4), width=8, scale=2.0):
    return scale * torch.randn(batch, width, *grid, generator=torch.Generator().manual_seed(1))


def brute_force(u, table):
    tokens = u.movedim(1, -1).double()
    return torch.stack([(tokens - code.double()).pow(2).sum(-1) for code in table.detach()]).argmin(0)


@pytest.mark.parametrize("kind", ["ema", "gumbel"])
@pytest.mark.parametrize("grid", [(2, 3, 4), (5, 6)])
def test_the_nearest_code_is_taken_in_evaluation(kind, grid):
    quantiser, u = quantiser_of(kind).eval(), features(grid=grid)
    found = quantiser(u)
    assert torch.equal(found.indices, brute_force(u, quantiser.table()))
    assert torch.allclose(found.q, quantiser.lookup(found.indices), atol=1e-5)
    assert found.q.shape == u.shape and found.indices.shape == (2, *grid)


def test_the_nearest_code_is_found_far_from_the_origin():
    quantiser = quantiser_of("ema").eval()
    quantiser.codebook += 1e4
    u = features() + 1e4
    assert torch.equal(quantiser(u).indices, brute_force(u, quantiser.table()))


def test_scalars_are_rounded_to_the_nearest_level_and_indices_lead_back_to_the_codes():
    quantiser = quantiser_of("fsq").eval()
    found = quantiser(features(grid=(8, 8, 8), scale=3))
    assert quantiser.config.codes == 60 and len(quantiser.table()) == 60
    assert len(found.indices.unique()) > 30 and found.indices.min() >= 0 and found.indices.max() < 60
    assert torch.allclose(found.q, quantiser.lookup(found.indices), atol=1e-5)
    assert len(quantiser.table().detach().unique(dim=0)) == 60


def test_drawn_codes_are_the_nearest_as_the_temperature_goes_to_zero():
    quantiser, u = quantiser_of("gumbel", temperature=(2.0, 1e-3), codes=16).train(), features(scale=30)
    quantiser.progress.fill_(1.0)
    assert (quantiser(u).indices == brute_force(u, quantiser.table())).float().mean() >= 0.95
    quantiser.progress.fill_(0.0)
    near = features(scale=0.1)  # here noise decides
    assert (quantiser(near).indices == brute_force(near, quantiser.table())).float().mean() < 0.9


def test_the_temperature_falls_to_its_second_value_at_seventy_percent():
    quantiser, temperatures = quantiser_of("gumbel"), []
    for progress in (0.0, 0.35, 0.7, 1.0):
        quantiser.progress.fill_(progress)
        temperatures.append(quantiser.temperature)
    assert temperatures == pytest.approx([2.0, 1.0, 0.5, 0.5])


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_encoder(kind):
    quantiser, u = quantiser_of(kind).train(), features().requires_grad_()
    quantiser(u).q.pow(2).sum().backward()
    assert u.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["gumbel", "fsq"])
def test_gradients_reach_codes_that_are_parameters(kind):
    quantiser = quantiser_of(kind).train()
    quantiser(features()).q.pow(2).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in quantiser.code_parameters())


def test_averaged_codes_move_towards_the_tokens_that_chose_them():
    quantiser = quantiser_of("ema", codes=2, width=1, revival=0.0, decay=0.9).train()
    quantiser.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    quantiser.counts.fill_(1.0)
    quantiser.sums.copy_(quantiser.codebook)
    quantiser.begun.fill_(True)
    u = torch.tensor([3.0, 5.0]).view(1, 1, 2, 1)
    assert quantiser(u).indices.tolist() == [[[1], [1]]]
    # counts .9 and .9 + .1 * 2, sums -.9 and .9 + .1 * 8
    assert quantiser.table().flatten().tolist() == pytest.approx([-1.0, 1.7 / 1.1], abs=1e-3)


def test_averaged_codes_are_those_of_an_independent_implementation():
    oracle = pytest.importorskip("vector_quantize_pytorch").VectorQuantize(
        dim=8,
        codebook_size=64,
        decay=0.9,
        commitment_weight=0.25,
        rotation_trick=False,
        learnable_codebook=False,
    )
    quantiser = quantiser_of("ema", decay=0.9, revival=0.0).train()
    table, counts = torch.randn(64, 8), torch.ones(64)
    book = oracle._codebook
    for buffer, value in ((book.embed, table), (book.embed_avg, table), (book.cluster_size, counts)):
        buffer.data.copy_(value[None])
    for buffer, value in ((quantiser.codebook, table), (quantiser.sums, table), (quantiser.counts, counts)):
        buffer.copy_(value)
    quantiser.begun.fill_(True)
    for step in range(3):
        u = features(grid=(4, 4)) + step
        found = quantiser(u)
        _, indices, loss = oracle(u.movedim(1, -1).reshape(2, 16, 8))
        assert torch.equal(found.indices.view(2, 16), indices)
        assert float(found.loss) == pytest.approx(float(loss.detach()), rel=1e-4)
        assert torch.allclose(quantiser.table(), book.embed[0], atol=1e-4)


@pytest.mark.parametrize(("commitment", "moves"), [(0.0, False), (0.25, True)])
@pytest.mark.parametrize("kind", ["ema", "gumbel"])
def test_only_the_commitment_term_moves_the_encoder(kind, commitment, moves):
    quantiser, u = quantiser_of(kind, commitment=commitment).train(), features().requires_grad_()
    loss = quantiser(u).loss + 0 * u.sum()
    loss.backward()
    assert bool(u.grad.abs().sum() > 0) is moves


def test_only_the_codebook_term_moves_the_codes():
    gradients = []
    for commitment in (0.0, 0.25, 5.0):
        quantiser = quantiser_of("gumbel", commitment=commitment).train()
        torch.manual_seed(2)
        quantiser(features()).loss.backward()
        gradients.append(quantiser.codebook.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(gradients[0], gradients[2])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_evaluated_or_frozen_nothing_changes_and_nothing_is_random(kind, frozen):
    quantiser, u = quantiser_of(kind).train(), features()
    quantiser(u)  # something has been learned
    if frozen:
        quantiser.freeze()
    else:
        quantiser.eval()
    before = {key: value.clone() for key, value in quantiser.state_dict().items()}
    first, second = quantiser(u), quantiser(u)
    assert torch.equal(first.indices, second.indices) and torch.equal(first.q, second.q)
    assert all(torch.equal(value, before[key]) for key, value in quantiser.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_codes_get_no_gradient_and_the_state_remembers_it(kind):
    quantiser = quantiser_of(kind).train()
    quantiser.freeze()
    u = features().requires_grad_()
    found = quantiser(u)
    (found.q.pow(2).sum() + found.loss).backward()
    assert u.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in quantiser.code_parameters())
    other = quantiser_of(kind)
    other.load_state_dict(quantiser.state_dict())
    assert not other.train().learning


def test_with_few_tokens_codes_jump_less_and_less():
    """Methods 1.3: a fixed threshold has one code per token jump at every step, forever."""
    quantiser = quantiser_of("ema", codes=256).train()
    centres = 3 * torch.randn(24, 8, generator=torch.Generator().manual_seed(5))
    draw, shares = torch.Generator().manual_seed(6), []
    for _ in range(600):
        chosen = centres[torch.randint(24, (16,), generator=draw)]
        tokens = chosen + 0.1 * torch.randn(16, 8, generator=draw)
        quantiser(tokens.T.reshape(1, 8, 16, 1))
        jumped = (quantiser.table()[:, None] == tokens).all(2).any(1)
        shares.append(float(jumped.float().mean()))
    early, late = sum(shares[150:300]) / 150, sum(shares[450:]) / 150
    assert late < 16 / 256 / 4
    assert late <= early + 1e-9


def test_unused_codes_are_put_onto_tokens():
    quantiser = quantiser_of("ema", codes=16).train()
    u = features(grid=(8, 8)) + 50
    quantiser(torch.zeros(1, 8, 4, 4))  # all codes begin at 0
    for _ in range(300):
        quantiser(u)
    assert len(quantiser.eval()(u).indices.unique()) == 16


@pytest.mark.parametrize("kind", KINDS)
def test_scale_is_the_root_mean_square_of_all_codes(kind):
    quantiser = quantiser_of(kind)
    table = quantiser.table().detach()
    assert float(quantiser.scale) == pytest.approx(math.sqrt(float(table.pow(2).mean())), rel=1e-5)
    assert not quantiser.scale.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_that_is_taken_is_the_one_at_the_least_distance(kind):
    quantiser, u = quantiser_of(kind).eval(), features()
    distances = quantiser.distances(u.movedim(1, -1).flatten(0, -2))
    assert distances.shape == (48, quantiser.config.codes)
    assert torch.equal(distances.argmin(1), quantiser(u).indices.flatten())


@pytest.mark.parametrize("kind", ["ema", "gumbel"])
def test_a_distance_of_1_is_the_length_of_a_typical_code(kind):
    quantiser = quantiser_of(kind).eval()
    found = quantiser.distances(torch.zeros(1, 8))[0]
    assert found.square().mean().item() == pytest.approx(1)


def test_a_distance_of_1_is_a_level_for_codes_of_scalars():
    quantiser = quantiser_of("fsq").eval()
    quantiser.down.weight.data.zero_()
    quantiser.down.bias.data.copy_(torch.logit(torch.tensor([0.25, 1 / 3, 0.5])))  # places 1, 1, 1
    found = quantiser.distances(torch.randn(1, 8))[0]
    assert found[[1 + 5 + 20, 2 + 5 + 20, 1 + 5]].tolist() == pytest.approx([0, 1, 1], abs=1e-5)


def test_distances_are_computed_in_single_precision_under_autocast():
    quantiser, u = quantiser_of("gumbel").eval(), features()
    with torch.autocast("cpu", torch.bfloat16):
        found = quantiser(u)
    assert found.q.dtype == found.loss.dtype == torch.float32
    assert torch.equal(found.indices, quantiser(u).indices)


def test_the_loss_of_averaged_codes_is_the_commitment():
    quantiser, u = quantiser_of("ema", commitment=0.5).eval(), features()
    found = quantiser(u)
    assert float(found.loss) == pytest.approx(0.5 * float(F.mse_loss(u, found.q)), rel=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"kind": "nearest"}, {"codes": 1}, {"width": 0}, {"kind": "fsq", "levels": (5, 1)}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        QuantiserConfig(**wrong)
