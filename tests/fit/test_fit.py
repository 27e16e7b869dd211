"""The loop on small scans: what moves, what stays, what is remembered, when it stops."""

import itertools
from typing import Any

import pytest
import torch
from scans import small_operator
from small_fits import SmallFit
from torch import Tensor

from ugodit.fit.fit import Step, fit
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import FirstStage, InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.networks.unrolled import Unrolled
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.adaptation import build_model

DIRECT = NetworkConfig.unet(4, 1, activation="leaky_relu")
RESIDUAL = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")
PLAIN = SmallFit(ModelConfig(next_input="fixed"), FitConfig(steps=6, average=0.9))
SPLIT = SmallFit(
    ModelConfig(
        splitting="random",
        iterations=2,
        next_input="fixed",
        initial_estimate="conjugate_gradient",
        solve_iterations=3,
    ),
    FitConfig(steps=6),
)


def scan(seed: int = 0, **options: Any) -> SenseOperator:
    return normalize(small_operator(seed=seed, columns=40, **options)[0])[0]


def model_for(small: SmallFit, decoders: int = 1, network: NetworkConfig | None = None) -> Unrolled:
    chosen = network or (RESIDUAL if small.form.iterations else DIRECT)
    return build_model(GroupNet(chosen, decoders, seed=0), small.form)


def run(
    small: SmallFit, operators: list[SenseOperator] | None = None, model: Unrolled | None = None, **options: Any
) -> list[Step]:
    operators = operators or [scan()]
    items = sum(operator.shape[0] for operator in operators)
    return list(fit(model or model_for(small, items), operators, *small, **options))


@pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_the_loss_falls(small: SmallFit) -> None:
    steps = run(small.but(steps=60, learning_rate=3e-3), [scan(acceleration=5)])
    first, last = (sum(step.loss for step in part) for part in (steps[:10], steps[-10:]))
    assert last < 0.8 * first


@pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_a_seed_repeats_and_another_does_not(small: SmallFit) -> None:
    small = small.but(input_noise=0.01, symmetries=True)
    losses = [[step.loss for step in run(small.but(seed=seed))] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_every_step_is_yielded_and_the_last_says_why() -> None:
    steps = run(PLAIN)
    assert [step.iteration for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step.stopped for step in steps] == [None] * 5 + ["all 6 steps done"]
    assert all(later.seconds > earlier.seconds for earlier, later in itertools.pairwise(steps))


@pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_a_frozen_encoder_stays_and_the_decoder_moves(small: SmallFit) -> None:
    model = model_for(small)
    model.network.freeze_encoder()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    run(small, model=model)
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
    small = PLAIN.but(steps=12, next_input="output", inner_steps=4)
    model = model_for(small)
    model.network.freeze_encoder()
    run(small, model=model)
    assert calls == 3
    calls = 0
    run(small)
    assert calls == 12


def test_decoders_see_their_own_scan_only() -> None:
    operators = [scan(0), scan(5, acceleration=3)]
    together = model_for(PLAIN, 2)
    together.network.freeze_encoder()
    run(PLAIN, operators, together)
    alone = model_for(PLAIN, 2)
    alone.network.freeze_encoder()
    single = build_model(alone.network.select([1]), PLAIN.form)
    run(PLAIN, operators[1:], single)
    ours, theirs = together.network.select([1]).decoder, single.network.decoder
    for (name, weight), expected in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(weight, expected, msg=name)


def test_sizes_and_coils_may_differ_in_a_group() -> None:
    operators = [scan(0), scan(3, rows=17, coils=7)]
    images = run(SPLIT, operators)[-1].images()
    assert [tuple(image.shape) for image in images] == [(1, 2, 24, 40), (1, 2, 17, 40)]


def test_next_input_output_is_the_masked_image() -> None:
    inputs = record_inputs(PLAIN.but(next_input="output", steps=2))
    operator = scan()
    torch.testing.assert_close(inputs["z"][1], inputs["image"][0] * operator.support)


def test_next_input_data_consistent_takes_the_gradient_step() -> None:
    inputs = record_inputs(PLAIN.but(next_input="data_consistent", steps=2))
    operator = scan()
    image = inputs["image"][0]
    torch.testing.assert_close(inputs["z"][1], (image - operator.residual(image)[1]) * operator.support)


def record_inputs(small: SmallFit) -> dict[str, list[Tensor]]:
    """z and f(z) of every step."""
    model = model_for(small)
    seen: dict[str, list[Tensor]] = {"z": [], "image": []}

    def hook(_module: object, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        seen["z"].append(arguments[0].detach().clone())
        seen["image"].append(output.detach().clone())

    model.register_forward_hook(hook)
    run(small, model=model)
    return seen


def test_autoencoding_pulls_the_output_to_the_input() -> None:
    distances = []
    for weight in (0.0, 100.0):
        small = PLAIN.but(steps=40, learning_rate=3e-3, autoencoding=weight)
        seen = record_inputs(small)
        distances.append(float((seen["image"][-1] - seen["z"][-1]).norm()))
    assert distances[1] < 0.5 * distances[0]


def test_the_output_average_is_an_exponential_average() -> None:
    small = PLAIN.but(average=0.5, steps=4)
    images, average = [], None
    for step in fit(model_for(small), [scan()], *small):
        images.append(step.images()[0].clone())
        average = step.averages()[0]
    # Decay min(0.5, (k - 1) / k): the first replaces, the second halves, as do all after it.
    expected = images[0]
    for image in images[1:]:
        expected = 0.5 * expected + 0.5 * image
    torch.testing.assert_close(average, expected)


def test_the_weight_average_leaves_the_model_alone() -> None:
    small = SPLIT.but(average=0.5)
    model = model_for(small)
    last = run(small, model=model)[-1]
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert not torch.allclose(last.averages()[0], last.images()[0])
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name])


def test_average_zero_is_the_last_image() -> None:
    for small in (PLAIN, SPLIT):
        last = run(small.but(average=0.0))[-1]
        torch.testing.assert_close(last.averages()[0], last.images()[0])


@pytest.mark.parametrize("small", [PLAIN, SPLIT], ids=["all lines", "random splits"])
def test_held_out_lines_are_not_fitted_and_stop_the_fit(small: SmallFit) -> None:
    small = small.but(held_out=0.2, patience=20, steps=2000, learning_rate=2e-2)
    noisy = scan(noise=1.0)
    steps = run(small, [noisy])
    assert len(steps) < 2000
    reason = steps[-1].stopped
    assert reason is not None
    assert reason.startswith("held-out error lowest at step")
    best = min(step.held_out for step in steps if step.held_out is not None)
    assert f"step {next(step.iteration for step in steps if step.held_out == best)}," in reason


def test_the_held_out_average_is_the_best_one() -> None:
    small = PLAIN.but(held_out=0.2, patience=10, steps=300, learning_rate=2e-2)
    averages, losses = [], []
    for step in fit(model_for(small), [scan(noise=1.0)], *small):
        losses.append(step.held_out)
        averages.append(step.averages()[0].clone())
    best = min(range(len(losses)), key=lambda k: losses[k] or 0.0)
    assert torch.equal(averages[-1], averages[best])


def test_learned_input_moves() -> None:
    seen = record_inputs(PLAIN.but(learn_input=True, steps=3))
    assert not torch.equal(seen["z"][0], seen["z"][2])


def test_learned_mu_moves() -> None:
    small = SPLIT.but(learn_mu=True)
    model = model_for(small)
    before = float(model.log_mu.detach())
    run(small, model=model)
    assert float(model.log_mu.detach()) != before


def test_bfloat16_stays_close_to_float32() -> None:
    losses = [[step.loss for step in run(SPLIT.but(precision=precision))] for precision in ("float32", "bfloat16")]
    # bfloat16 keeps 8 bits; the network's proposal is a small part of the image that the loss sees.
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def estimates(small: SmallFit, operator: SenseOperator) -> InitialEstimates:
    return InitialEstimates(operator, small.form, torch.Generator().manual_seed(small.config.seed))


@pytest.mark.parametrize("small", [PLAIN, SPLIT, SPLIT.but(initial_estimate="compressed_sensing", seed=3)])
def test_estimates_made_before_change_nothing(small: SmallFit) -> None:
    small = small.but(input_noise=0.01, symmetries=True)
    made = run(small)
    given = run(small, estimates=[estimates(small, scan())])
    assert [step.loss for step in given] == [step.loss for step in made]
    assert torch.equal(given[-1].averages()[0], made[-1].averages()[0])


def test_estimates_that_a_judge_looked_at_are_fitted_as_they_are() -> None:
    judged = estimates(SPLIT, scan())
    splits = judged.whole_bank(3)
    given = run(SPLIT, estimates=[judged])
    assert judged.bank[:3] == splits
    assert torch.isfinite(given[-1].averages()[0]).all()


def test_held_out_lines_are_not_in_estimates_made_before() -> None:
    """Those know all measurements: a fit that holds some out makes its own."""
    small = SPLIT.but(held_out=0.2)
    given = estimates(small, scan())
    plain = given.all_measured.clone()
    losses = [[step.loss for step in run(small, **options)] for options in ({}, {"estimates": [given]})]
    assert losses[0] == losses[1]
    assert given.bank == []
    assert torch.equal(given.all_measured, plain)


def test_a_first_stage_makes_the_input_and_is_left_as_it_is() -> None:
    trained = model_for(SPLIT)
    with torch.no_grad():
        for parameter in trained.network.decoder.parameters():
            parameter.add_(0.1)
    stage = FirstStage(trained.requires_grad_(False), "float32")
    before = {name: weight.clone() for name, weight in trained.named_parameters()}
    staged = run(SPLIT, first_stage=stage)
    assert all(torch.equal(weight, before[name]) for name, weight in trained.named_parameters())
    # An untrained residual network returns its input: the first loss is that of the initial estimate.
    assert staged[0].loss != run(SPLIT)[0].loss
    given = run(SPLIT, estimates=[estimates(SPLIT, scan()).through(stage)], first_stage=stage)
    assert [step.loss for step in given] == [step.loss for step in staged]
