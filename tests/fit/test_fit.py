"""The loop on small scans: what moves, what stays, what is remembered, when it stops."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from scans import small_operator
from torch import Tensor

from ugodit.fit.config import FitConfig
from ugodit.fit.fit import Step, fit
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.priors.adaptation import build_model, normalize

DIRECT = NetworkConfig.unet(4, 1, activation="leaky_relu")
RESIDUAL = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")
PLAIN = FitConfig(steps=6, next_input="fixed", average=0.9)
SPLIT = FitConfig(
    steps=6, splitting="random", unrolls=2, next_input="fixed", start="conjugate_gradient", solve_iterations=3
)


def scan(seed: int = 0, **options: Any) -> SenseOperator:
    return normalize(small_operator(seed=seed, columns=40, **options)[0])[0]


def model_for(config: FitConfig, decoders: int = 1, network: NetworkConfig | None = None) -> Unrolled:
    chosen = network or (RESIDUAL if config.unrolls else DIRECT)
    return build_model(GroupNet(chosen, decoders, seed=0), config)


def run(config: FitConfig, operators: list[SenseOperator] | None = None, model: Unrolled | None = None) -> list[Step]:
    operators = operators or [scan()]
    items = sum(operator.shape[0] for operator in operators)
    return list(fit(model or model_for(config, items), operators, config))


@pytest.mark.parametrize("config", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_the_loss_falls(config: FitConfig) -> None:
    steps = run(dataclasses.replace(config, steps=60, learning_rate=3e-3), [scan(acceleration=5)])
    first, last = (sum(step.loss for step in part) for part in (steps[:10], steps[-10:]))
    assert last < 0.8 * first


@pytest.mark.parametrize("config", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_a_seed_repeats_and_another_does_not(config: FitConfig) -> None:
    config = dataclasses.replace(config, input_noise=0.01, symmetries=True)
    losses = [[step.loss for step in run(dataclasses.replace(config, seed=seed))] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_every_step_is_yielded_and_the_last_says_why() -> None:
    steps = run(PLAIN)
    assert [step.iteration for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step.stopped for step in steps] == [None] * 5 + ["all 6 steps done"]
    assert all(later.seconds > earlier.seconds for earlier, later in itertools.pairwise(steps))


@pytest.mark.parametrize("config", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_a_frozen_encoder_stays_and_the_decoder_moves(config: FitConfig) -> None:
    model = model_for(config)
    model.network.freeze_encoder()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    run(config, model=model)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved
    assert not any("encoder" in name for name in moved)


def test_a_frozen_encoder_is_evaluated_once_per_new_input(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    original = GroupNet.encode

    def counted(self: GroupNet, z: Tensor, *arguments: Any) -> list[Tensor]:
        nonlocal calls
        calls += 1
        return original(self, z, *arguments)

    monkeypatch.setattr(GroupNet, "encode", counted)
    config = dataclasses.replace(PLAIN, steps=12, next_input="output", inner_steps=4)
    model = model_for(config)
    model.network.freeze_encoder()
    run(config, model=model)
    assert calls == 3
    calls = 0
    run(config)
    assert calls == 12


def test_decoders_see_their_own_scan_only() -> None:
    operators = [scan(0), scan(5, acceleration=3)]
    together = model_for(PLAIN, 2)
    together.network.freeze_encoder()
    run(PLAIN, operators, together)
    alone = model_for(PLAIN, 2)
    alone.network.freeze_encoder()
    single = build_model(alone.network.select([1]), PLAIN)
    run(PLAIN, operators[1:], single)
    ours, theirs = together.network.select([1]).decoder, single.network.decoder
    for (name, weight), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(weight, expected, msg=name)


def test_sizes_and_coils_may_differ_in_a_group() -> None:
    operators = [scan(0), scan(3, rows=17, coils=7)]
    images = run(SPLIT, operators)[-1].images()
    assert [tuple(image.shape) for image in images] == [(1, 2, 24, 40), (1, 2, 17, 40)]


def test_next_input_output_is_the_masked_image() -> None:
    inputs = record_inputs(dataclasses.replace(PLAIN, next_input="output", steps=2))
    operator = scan()
    torch.testing.assert_close(inputs["z"][1], inputs["image"][0] * operator.support)


def test_next_input_data_consistent_takes_the_gradient_step() -> None:
    inputs = record_inputs(dataclasses.replace(PLAIN, next_input="data_consistent", steps=2))
    operator = scan()
    image = inputs["image"][0]
    torch.testing.assert_close(inputs["z"][1], (image - operator.residual(image)[1]) * operator.support)


def record_inputs(config: FitConfig) -> dict[str, list[Tensor]]:
    """z and f(z) of every step."""
    model = model_for(config)
    seen: dict[str, list[Tensor]] = {"z": [], "image": []}

    def hook(_module: object, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        seen["z"].append(arguments[0].detach().clone())
        seen["image"].append(output.detach().clone())

    model.register_forward_hook(hook)
    run(config, model=model)
    return seen


def test_autoencoding_pulls_the_output_to_the_input() -> None:
    distances = []
    for weight in (0.0, 100.0):
        config = dataclasses.replace(PLAIN, steps=40, learning_rate=3e-3, autoencoding=weight)
        seen = record_inputs(config)
        distances.append(float((seen["image"][-1] - seen["z"][-1]).norm()))
    assert distances[1] < 0.5 * distances[0]


def test_the_output_average_is_an_exponential_average() -> None:
    config = dataclasses.replace(PLAIN, average=0.5, steps=4)
    images, average = [], None
    for step in fit(model_for(config), [scan()], config):
        images.append(step.images()[0].clone())
        average = step.averages()[0]
    # Decay min(0.5, (k - 1) / k): the first replaces, the second halves, as do all after it.
    expected = images[0]
    for image in images[1:]:
        expected = 0.5 * expected + 0.5 * image
    torch.testing.assert_close(average, expected)


def test_the_weight_average_leaves_the_model_alone() -> None:
    config = dataclasses.replace(SPLIT, average=0.5)
    model = model_for(config)
    last = run(config, model=model)[-1]
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert not torch.allclose(last.averages()[0], last.images()[0])
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name])


def test_average_zero_is_the_last_image() -> None:
    for config in (PLAIN, SPLIT):
        last = run(dataclasses.replace(config, average=0.0))[-1]
        torch.testing.assert_close(last.averages()[0], last.images()[0])


@pytest.mark.parametrize("config", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_held_out_lines_are_not_fitted_and_stop_the_fit(config: FitConfig) -> None:
    config = dataclasses.replace(config, held_out=0.2, patience=20, steps=2000, learning_rate=2e-2)
    noisy = scan(noise=1.0)
    steps = run(config, [noisy])
    assert len(steps) < 2000
    reason = steps[-1].stopped
    assert reason is not None
    assert reason.startswith("held-out loss lowest at step")
    best = min(step.held_out for step in steps if step.held_out is not None)
    assert f"step {next(step.iteration for step in steps if step.held_out == best)}," in reason


def test_the_held_out_average_is_the_best_one() -> None:
    config = dataclasses.replace(PLAIN, held_out=0.2, patience=10, steps=300, learning_rate=2e-2)
    averages, losses = [], []
    for step in fit(model_for(config), [scan(noise=1.0)], dataclasses.replace(config)):
        losses.append(step.held_out)
        averages.append(step.averages()[0].clone())
    best = min(range(len(losses)), key=lambda k: losses[k] or 0.0)
    assert torch.equal(averages[-1], averages[best])


def test_learned_input_moves() -> None:
    seen = record_inputs(dataclasses.replace(PLAIN, learn_input=True, steps=3))
    assert not torch.equal(seen["z"][0], seen["z"][2])


def test_learned_mu_moves() -> None:
    config = dataclasses.replace(SPLIT, learn_mu=True)
    model = model_for(config)
    before = float(model.log_mu.detach())
    run(config, model=model)
    assert float(model.log_mu.detach()) != before


def test_bfloat16_stays_close_to_float32() -> None:
    losses = [
        [step.loss for step in run(dataclasses.replace(SPLIT, precision=precision))]
        for precision in ("float32", "bfloat16")
    ]
    # bfloat16 keeps 8 bits; the network's proposal is a small part of the image that the loss sees.
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_normalize_makes_scans_of_any_unit_alike() -> None:
    operator, _ = small_operator()
    first, scale = normalize(operator)
    second, other = normalize(operator.scaled(1e-9))
    assert other == pytest.approx(1e-9 * scale, rel=1e-5)
    torch.testing.assert_close(first.initial(), second.initial())
    magnitude = first.initial().square().sum(1, keepdim=True).sqrt()
    assert float(torch.quantile(magnitude[first.support], 0.995)) == pytest.approx(1, rel=1e-5)
