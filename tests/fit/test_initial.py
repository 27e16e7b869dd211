"""Initial estimates: from the right measurements, through a first stage, and a bank of splits with theirs."""

from typing import Any

import pytest
import torch
from scans import small_operator
from torch import Tensor

import ugodit.fit.initial
from ugodit.fit.initial import MU_RANGE, FirstStage, InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.operators.noise_level import noise_from_surplus
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

OPTIONS: dict[str, Any] = {
    "splitting": "random",
    "iterations": 1,
    "next_input": "fixed",
    "initial_estimate": "conjugate_gradient",
    "solve_iterations": 20,
}
FORM = ModelConfig(**OPTIONS)
NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")


def scan(noise: float = 0.2, **options: float) -> SenseOperator:
    return normalize(small_operator(columns=40, noise=noise, **options)[0])[0]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def estimates(form: ModelConfig = FORM, first_stage: FirstStage | None = None) -> InitialEstimates:
    return InitialEstimates(scan(), form, generator(), first_stage=first_stage)


def trained_stage() -> FirstStage:
    """Weights that are not zero in the last layer, so that views differ."""
    network = GroupNet(NETWORK)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return FirstStage(build_model(network, FORM).requires_grad_(False), "float32")


def test_the_bank_fills_and_is_drawn_from() -> None:
    made = estimates()
    first = [made.next_split(3) for _ in range(3)]
    assert len({id(split) for split in first}) == 3
    later = {id(made.next_split(3)) for _ in range(50)}
    assert later == {id(split) for split in first}
    assert made.whole_bank(3) == first
    assert made.bank == first


def test_a_bank_that_was_looked_at_is_still_served_from_its_beginning() -> None:
    """A prior was judged by three splits: the fit that follows visits them first, each once, and no other is drawn."""
    fresh, looked_at = estimates(), estimates()
    judged = looked_at.whole_bank(3)
    served = [looked_at.next_split(5) for _ in range(5)]
    assert served[:3] == judged
    assert len({id(split) for split in served}) == 5
    for one, other in zip(served, (fresh.next_split(5) for _ in range(5)), strict=True):
        assert torch.equal(one.seen.weights, other.seen.weights)
        assert torch.equal(one.held_out.weights, other.held_out.weights)
        assert torch.equal(one.estimate, other.estimate)


def test_splits_start_from_what_they_see() -> None:
    made = estimates()
    for split in made.whole_bank(3):
        seen = scan().with_weights(split.seen.weights)
        expected = seen.proximal(torch.zeros(seen.shape), 0.0, FORM.initial_iterations)
        torch.testing.assert_close(split.estimate, expected)
        assert torch.equal(split.seen.weights + split.held_out.weights, scan().weights)
        assert not torch.allclose(split.estimate, made.all_measured)
        assert not torch.allclose(split.estimate, made.plain)


def test_estimates_of_every_kind() -> None:
    operator = scan()
    for kind in ("adjoint", "noise"):
        made = InitialEstimates(operator, ModelConfig(initial_estimate=kind), generator())
        assert torch.equal(made.all_measured, made.plain)
        if kind == "adjoint":
            torch.testing.assert_close(made.plain, operator.initial())
        else:
            assert 0 <= float(made.plain.min()) < float(made.plain.max()) < 0.1
    # Fewer steps leave more of the measurements unexplained.
    left = [
        float(operator.data_consistency(estimates(ModelConfig(**{**OPTIONS, "initial_iterations": count})).plain))
        for count in (1, 6)
    ]
    assert left[1] < left[0]


def test_a_first_stage_makes_better_estimates() -> None:
    stage = trained_stage()
    plain, better = estimates(), estimates(first_stage=stage)

    def improved(image: Tensor, operator: SenseOperator) -> Tensor:
        model = stage.model
        turned = model(image, operator, None, lambda z: -model.network(-z), plain.mu)
        return (model(image, operator, None, None, plain.mu) + turned) / 2

    torch.testing.assert_close(better.plain, plain.all_measured)
    torch.testing.assert_close(better.all_measured, improved(plain.all_measured, scan()))
    for before, after in zip(plain.whole_bank(3), better.whole_bank(3), strict=True):
        assert torch.equal(before.seen.weights, after.seen.weights)
        expected = improved(before.estimate, scan().with_weights(before.seen.weights))
        torch.testing.assert_close(after.estimate, expected)
        assert not after.estimate.requires_grad
        assert not torch.allclose(after.estimate, before.estimate)


@pytest.mark.parametrize("looked_at", [0, 2], ids=["fresh", "after a judgement"])
def test_through_a_first_stage_is_as_if_made_by_it(looked_at: int) -> None:
    stage = trained_stage()
    plain = estimates()
    judged = plain.whole_bank(looked_at)
    through, made = plain.through(stage), estimates(first_stage=stage)
    assert torch.equal(through.plain, plain.all_measured)
    assert torch.equal(through.all_measured, made.all_measured)
    for index in range(6):
        one, other = through.next_split(4), made.next_split(4)
        assert torch.equal(one.seen.weights, other.seen.weights)
        assert torch.equal(one.held_out.weights, other.held_out.weights)
        assert torch.equal(one.estimate, other.estimate)
        if index < looked_at:
            assert one.seen is judged[index].seen
            assert not torch.equal(one.estimate, judged[index].estimate)
    # What was judged stays as it was.
    assert plain.whole_bank(looked_at) == judged


def test_through_a_first_stage_computes_no_plain_estimate_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = estimates(ModelConfig(**{**OPTIONS, "initial_estimate": "compressed_sensing", "initial_iterations": 4}))
    plain.whole_bank(2)
    for name in ("choose_weight", "compressed_sensing"):
        monkeypatch.setattr(ugodit.fit.initial, name, lambda *_: pytest.fail("made again"))
    assert len(plain.through(trained_stage()).whole_bank(2)) == 2


def test_held_out_lines_are_in_no_split() -> None:
    operator = scan()
    weights = operator.weights.clone()
    weights[0, 1] = 0
    fitted = operator.with_weights(weights)
    made = InitialEstimates(operator, FORM, generator(), fitted)
    assert made.operator is fitted
    torch.testing.assert_close(made.plain, fitted.proximal(torch.zeros(operator.shape), 0.0, FORM.initial_iterations))
    for split in made.whole_bank(3):
        assert torch.equal(split.seen.weights + split.held_out.weights, weights)


def test_the_solves_weight_follows_the_noise() -> None:
    form = ModelConfig(**OPTIONS, prior_variance=0.005, mu=0.3)
    weights = []
    for noise in (0.05, 0.2):
        operator = scan(noise)
        made = InitialEstimates(operator, form, generator())
        assert made.mu is not None
        assert made.noise_variance is not None
        torch.testing.assert_close(made.noise_variance, noise_from_surplus(operator))
        torch.testing.assert_close(made.mu, (noise_from_surplus(operator) / 0.005).clamp(*MU_RANGE))
        weights.append(float(made.mu))
    assert weights[0] < weights[1]
    one_coil = scan(0.0, coils=1)
    assert InitialEstimates(one_coil, form, generator()).mu.tolist() == [pytest.approx(0.3)]
    without = InitialEstimates(scan(), FORM, generator())
    assert (without.mu, without.noise_variance) == (None, None)


def test_the_noise_is_read_from_held_out_lines_too() -> None:
    operator = scan()
    fitted, _ = operator.split(0.3, generator())
    form = ModelConfig(**OPTIONS, prior_variance=0.005)
    held, all_measured = (InitialEstimates(operator, form, generator(), part) for part in (fitted, None))
    assert held.mu is not None
    assert all_measured.mu is not None
    assert torch.equal(held.mu, all_measured.mu)


def test_compressed_sensing_chooses_one_weight_for_all_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Tensor] = []
    original = ugodit.fit.initial.choose_weight

    def counted(*arguments: Any) -> Tensor:
        chosen.append(original(*arguments))
        return chosen[-1]

    monkeypatch.setattr(ugodit.fit.initial, "choose_weight", counted)
    made = estimates(ModelConfig(**{**OPTIONS, "initial_estimate": "compressed_sensing", "initial_iterations": 10}))
    assert made.threshold is not None
    assert made.threshold.shape == (1,)
    assert len(made.whole_bank(3)) == 3
    assert len(chosen) == 1
    assert torch.equal(chosen[0], made.threshold)
