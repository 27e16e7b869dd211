"""What a step draws at random: on the host step by step, or settled ahead in memory that stays."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from scans import line_mask, small_scan
from small_fits import SmallFit
from torch import Tensor

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import InitialEstimates
from ugodit.fit.loop import Loop
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.random_choices import FixedChoices, choose_on_host, network_calls, varying_fields, with_own_memory
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

PLAIN = SmallFit(ModelConfig(next_input="data_consistent", loss="norm"), FitConfig(steps=8, inner_steps=2))
SPLIT = SmallFit(
    ModelConfig(
        splitting="random",
        iterations=2,
        next_input="fixed",
        initial_estimate="conjugate_gradient",
        solve_iterations=3,
    ),
    FitConfig(steps=8, mask_bank=3, schedule="cosine"),
)
BOTH = pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])


def scans() -> list[SenseOperator]:
    found = []
    for seed in (0, 5):
        kspace, maps, _ = small_scan(columns=40, seed=seed, noise=0.1)
        found.append(normalize(SenseOperator.from_kspace(kspace, maps, line_mask(40)))[0])
    return found


def loop_for(small: SmallFit) -> Loop:
    output = "residual" if small.form.iterations else "direct"
    network = NetworkConfig.unet(4, 1, activation="leaky_relu", output=output)
    return Loop(build_model(GroupNet(network, 2, seed=0), small.form), scans(), *small, fixed=True)


def losses(small: SmallFit) -> list[float]:
    loop = loop_for(small)
    return [float(loop.step(iteration)) for iteration in range(1, small.config.steps + 1)]


def estimates(small: SmallFit) -> InitialEstimates:
    return InitialEstimates(scans()[0], small.form, torch.Generator().manual_seed(small.config.seed))


@BOTH
def test_the_host_draws_nothing_inside_the_loop(small: SmallFit) -> None:
    loop = loop_for(small.but(input_noise=0.01, symmetries=True))
    before = loop.generator.get_state(), torch.get_rng_state()
    for iteration in range(1, small.config.steps + 1):
        loop.step(iteration)
    assert torch.equal(loop.generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@BOTH
def test_a_seed_repeats_fixed_choices_and_another_does_not(small: SmallFit) -> None:
    small = small.but(input_noise=0.01, symmetries=True)
    found = [losses(small.but(seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_fixed_choices_visit_the_bank_first_and_draw_noise_anew() -> None:
    small = SPLIT.but(steps=40, input_noise=0.1)
    fixed = loop_for(small).states[0].fixed
    assert isinstance(fixed, FixedChoices)
    assert len(fixed.bank) == small.config.mask_bank
    seen, noises = [], []
    for iteration in range(1, 41):
        fixed.fill(iteration)
        choices = fixed.choices
        assert choices.noise is not None
        noises.append(choices.noise.clone())
        split = choices.split
        seen.append(next(i for i, s in enumerate(fixed.bank) if torch.equal(s.seen.weights, split.seen.weights)))
        assert torch.equal(split.estimate, fixed.bank[seen[-1]].estimate)
        assert torch.equal(split.held_out.weights, fixed.bank[seen[-1]].held_out.weights)
    assert seen[:3] == [0, 1, 2]
    assert set(seen[3:]) == {0, 1, 2}
    assert not torch.equal(noises[0], noises[1])
    assert min(float(noise.min()) for noise in noises) >= 0
    assert max(float(noise.max()) for noise in noises) < 1


def test_fixed_choices_overwrite_no_split_of_the_bank() -> None:
    small = SPLIT.but(symmetries=True)
    made = estimates(small)
    bank = made.whole_bank(small.config.mask_bank)
    before = [(s.seen.weights.clone(), s.held_out.weights.clone(), s.estimate.clone()) for s in bank]
    fixed = FixedChoices(None, made, small.config)
    addresses = set()
    numbers = []
    for iteration in range(1, small.config.steps + 1):
        fixed.fill(iteration)
        split = fixed.choices.split
        tensors = (split.seen.weights, split.held_out.weights, split.estimate)
        addresses.add(tuple(tensor.data_ptr() for tensor in tensors))
        numbers.append(fixed.current.clone())
        assert split.seen.kspace is split.held_out.kspace is bank[0].seen.kspace
    assert len(addresses) == 1
    assert not torch.equal(numbers[0], numbers[1])
    assert numbers[0].shape == (network_calls(small.form), 4)
    for split, old in zip(bank, before, strict=True):
        assert torch.equal(split.seen.weights, old[0])
        assert torch.equal(split.held_out.weights, old[1])
        assert torch.equal(split.estimate, old[2])


def test_the_host_chooses_from_the_bank_with_noise_and_symmetries() -> None:
    small = SPLIT.but(input_noise=0.1, symmetries=True)
    made = estimates(small)
    chosen = [choose_on_host(None, made, small.config) for _ in range(12)]
    assert [one.split for one in chosen[:3]] == made.bank
    assert all(any(one.split is split for split in made.bank) for one in chosen)
    for one in chosen:
        assert one.noise is not None
        assert one.noise.shape == one.split.estimate.shape
        assert 0 <= float(one.noise.min()) < float(one.noise.max()) < 1
        assert len(one.symmetries) == 2  # of as many calls of the network
    plain = choose_on_host(None, made, SPLIT.config)
    assert (plain.symmetries, len(made.bank)) == ([], 3)


@dataclass(frozen=True)
class Named:
    """As much of an operator as a change of its memory needs."""

    shared: Tensor
    mask: Tensor
    note: str


def test_only_what_varies_gets_memory_of_its_own() -> None:
    shared = torch.ones(2)
    operators = [Named(shared, torch.zeros(3), "a"), Named(shared, torch.zeros(3), "b")]
    # Equal numbers in two places are two tensors: which of them a step needs may change.
    assert varying_fields(operators) == ["mask"]
    assert varying_fields(operators[:1]) == []
    copied = with_own_memory(operators[0], ["mask"])
    assert isinstance(copied, Named)
    assert copied.shared is shared
    assert copied.mask is not operators[0].mask
    assert torch.equal(copied.mask, operators[0].mask)
    assert [field.name for field in dataclasses.fields(copied)] == ["shared", "mask", "note"]
