"""All that is done to MRI is done to an operator that is none: trained, kept, judged, adapted, asked.

First the toy itself, and the checks that it passes: they have to find what is wrong with an operator that is wrong.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from operator_checks import faults
from torch import Tensor
from toy_operator import BlurredColumns, toy_scan

from ugodit.calibration.pipeline import Coils
from ugodit.errors import InputError
from ugodit.fit.fit import fit
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.initial import InitialEstimates
from ugodit.fit.loop import Loop
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.test_time import uncertainty
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import LinearOperator, Operator
from ugodit.operators.domain import Domain, RealImages
from ugodit.operators.scale import normalize
from ugodit.priors.acceptance import FITS, held_out_errors
from ugodit.priors.adaptation import (
    PriorMode,
    adapt,
    build_model,
    from_prior,
    from_scratch,
    initial_estimates,
    plan_fit,
    zero_shot,
)
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior
from ugodit.priors.training import group_model
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.pipeline import reconstruct_batch

# ---- the operator, and what finds its faults -----------------------------------------------------------------------


def toy_batch() -> BlurredColumns:
    """Two items, each with a kernel and columns of its own."""
    return BlurredColumns.stack([toy_scan(seed=seed)[0] for seed in (0, 3)])


class DeafToMissing(BlurredColumns):
    def adjoint(self, measurements: Tensor) -> Tensor:
        return super().adjoint(measurements.roll(1, -1))


class TwiceTheGradient(BlurredColumns):
    def gradient(self, image: Tensor) -> Tensor:
        return 2 * super().gradient(image)


class AnotherNormal(BlurredColumns):
    def normal(self, image: Tensor) -> Tensor:
        return super().normal(image) + 1e-3 * image


class AnotherInitial(BlurredColumns):
    def initial(self) -> Tensor:
        return self.measurements.clone()


class HalfTheEnergy(BlurredColumns):
    def energy(self) -> Tensor:
        return super().energy() / 2


class DeafToMu(BlurredColumns):
    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        return super().proximal(image, 0.5 + 0 * mu, iterations)


class WithoutAGradient(BlurredColumns):
    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        return super().proximal(image.detach(), mu, iterations)


class OneMuForAll(BlurredColumns):
    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        return super().proximal(image, mu.mean() if isinstance(mu, Tensor) else mu, iterations)


class SeesWhatJudges(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        return self, super().split(fraction, generator)[1]


class LosesAColumn(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        seen, held_out = super().split(fraction, generator)
        measured = seen.measured.clone()
        measured[:, measured[0].nonzero()[0]] = 0
        return dataclasses.replace(seen, measured=measured), held_out


class CopiesItsMeasurements(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        seen, held_out = super().split(fraction, generator)
        return dataclasses.replace(seen, measurements=seen.measurements.clone()), held_out


class AlwaysOneSplit(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        return super().split(fraction, torch.Generator().manual_seed(7))


class SplitsByTheTime(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        return super().split(fraction, torch.Generator().manual_seed(int(torch.randint(10**9, ()))))


class AnyFraction(BlurredColumns):
    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        return super().split(0.5, generator)


class ScalesTheKernel(BlurredColumns):
    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(self, kernels=factor * self.kernels)


class SelectsTheFirst(BlurredColumns):
    def select(self, items: Sequence[int]) -> Self:
        return super().select([0] * len(items))


class StacksOneKernel(BlurredColumns):
    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        stacked = super().stack(operators)
        first = operators[0].kernels[:1].expand_as(stacked.kernels)
        return dataclasses.replace(stacked, kernels=first, measurements=stacked.measurements)


class BlindToItsSupport(BlurredColumns):
    @property
    def support(self) -> Tensor:
        return super().support & (torch.arange(self.shape[3]) > 4)


class OneNoiseForAll(BlurredColumns):
    def noise_variance(self) -> Tensor:
        return super().noise_variance()[:1]


class AnotherDomain(BlurredColumns):
    @property
    def domain(self) -> Domain:
        return RealImages(3)


def test_the_toy_keeps_the_protocol() -> None:
    for operator in (toy_scan()[0], toy_batch()):
        assert isinstance(operator, Operator)
        assert isinstance(operator, LinearOperator)
        assert faults(operator) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (DeafToMissing, "adjoint"),
        (TwiceTheGradient, "gradient"),
        (AnotherNormal, "normal"),
        (AnotherInitial, "initial"),
        (HalfTheEnergy, "energy"),
        (DeafToMu, "proximal"),
        (WithoutAGradient, "derivatives"),
        (OneMuForAll, "proximal"),
        (SeesWhatJudges, "parts"),
        (LosesAColumn, "parts"),
        (CopiesItsMeasurements, "sharing"),
        (AlwaysOneSplit, "seeds"),
        (SplitsByTheTime, "seeds"),
        (AnyFraction, "parts"),
        (ScalesTheKernel, "scaled"),
        (SelectsTheFirst, "items"),
        (StacksOneKernel, "items"),
        (BlindToItsSupport, "support"),
        (OneNoiseForAll, "noise"),
        (AnotherDomain, "protocol"),
    ],
)
def test_what_is_wrong_is_found(wrong: type[BlurredColumns], fault: str) -> None:
    right = toy_batch()
    assert fault not in faults(right)
    values = [getattr(right, field.name) for field in dataclasses.fields(right)]
    assert fault in faults(wrong(*values))


@pytest.mark.parametrize("name", ["split", "proximal", "select", "samples", "data_consistency"])
def test_an_operator_that_lacks_something_is_none(name: str) -> None:
    lacking = type("Lacking", (BlurredColumns,), {name: None})
    operator = toy_batch()
    assert not isinstance(lacking(operator.kernels, operator.measurements, operator.measured), Operator)


def test_the_blur_is_the_dense_matrix_of_its_definition() -> None:
    operator, image = toy_scan(5, 8)
    (kernel,) = operator.kernels.tolist()
    matrix = torch.zeros(8, 8)
    for to in range(8):
        for tap, value in enumerate(kernel):
            source = to + tap - len(kernel) // 2
            if 0 <= source < 8:
                matrix[to, source] = value
    expected = (image[0, 0] @ matrix.T) * operator.measured
    torch.testing.assert_close(operator.forward(image)[0, 0], expected)
    # A step of 1 is safe for what descends along its gradient.
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= 1


def test_too_few_columns_are_refused() -> None:
    operator = dataclasses.replace(toy_scan()[0], measured=torch.eye(32)[:1])
    with pytest.raises(InputError, match="splitting needs at least 2 measured columns, got 1"):
        operator.split(0.5, torch.Generator())


# ---- a group of three, and scans that it has not seen ---------------------------------------------------------------

NETWORK = NetworkConfig.unet(8, 2, in_channels=1, out_channels=1, activation="leaky_relu", output="residual")
FITTED: dict[str, Any] = {"schedule": "cosine", "average": 0.9, "mask_bank": 6}


def preset(kind: str) -> Preset:
    form = ModelConfig(
        initial_estimate=kind,  # type: ignore[arg-type]
        initial_iterations=60 if kind == "compressed_sensing" else 10,
        next_input="fixed",
        splitting="random",
        loss_fraction=0.3,
        iterations=1,
        mu=0.05,
        prior_variance=0.005,  # without an effect: this operator cannot tell its noise
        solve_iterations=6,
    )
    return Preset(
        network=NETWORK,
        model=form,
        train=TrainConfig(steps=120, learning_rate=3e-3, symmetries=True, **FITTED),
        adapt=AdaptConfig(steps=20, learning_rate=5e-4, two_stage=True, **FITTED),
        alone_model=form,
        alone=FitConfig(steps=40, learning_rate=2e-3, **FITTED),
    )


def scaled_scan(seed: int) -> tuple[BlurredColumns, Tensor]:
    operator, image = toy_scan(seed=seed)
    operator, scale = normalize(operator)
    return operator, image / scale


def unseen() -> tuple[BlurredColumns, Tensor]:
    """Three scans that are in no group."""
    operators, images = zip(*(scaled_scan(seed) for seed in (50, 51, 52)), strict=True)
    return BlurredColumns.stack(operators), torch.cat(images)


def error(image: Tensor, truth: Tensor) -> float:
    """Relative, the mean over the items."""
    return float(((image - truth).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).mean())


@dataclasses.dataclass(frozen=True)
class Trained:
    preset: Preset
    prior: Prior
    losses: list[float]
    images: list[Tensor]


@pytest.fixture(scope="module", params=["conjugate_gradient", "compressed_sensing"])
def trained(request: pytest.FixtureRequest) -> Trained:
    chosen = preset(request.param)
    scans = [scaled_scan(seed)[0] for seed in range(3)]
    model = group_model(scans, chosen.network, chosen.model, chosen.train)
    losses = []
    for step in fit(model, scans, chosen.model, chosen.train):
        losses.append(step.loss)
    prior = Prior.of(
        model.network,
        model=chosen.model,
        training=chosen.train.to_dict(),
        extra={"log_mu": model.log_mu.detach()},
    )
    return Trained(chosen, prior, losses, step.averages())


def estimates(trained: Trained, operator: BlurredColumns) -> InitialEstimates:
    return initial_estimates(operator, trained.prior.model, trained.preset.adapt.seed)


def test_a_group_learns(trained: Trained) -> None:
    assert trained.prior.decoders == 3
    assert sum(trained.losses[-20:]) < 0.7 * sum(trained.losses[:20])
    scans, truths = zip(*(scaled_scan(seed) for seed in range(3)), strict=True)
    begun = torch.cat([estimates(trained, scan).all_measured for scan in scans])
    assert error(torch.cat(trained.images), torch.cat(truths)) < 0.8 * error(begun, torch.cat(truths))


def test_a_prior_comes_back_from_its_file(trained: Trained, tmp_path: Path) -> None:
    trained.prior.save(tmp_path / "toy.safetensors")
    again = Prior.load(tmp_path / "toy.safetensors", NETWORK)
    assert again.hash == trained.prior.hash
    assert (again.model, again.training) == (trained.preset.model, trained.preset.train.to_dict())
    operator, _ = unseen()
    images = [zero_shot(operator, from_prior(operator, one, trained.preset.adapt)) for one in (trained.prior, again)]
    assert torch.equal(*images)


def test_a_prior_that_fits_is_adapted(trained: Trained) -> None:
    operator, _ = unseen()
    plan = from_prior(operator, trained.prior, trained.preset.adapt)
    errors = held_out_errors(estimates(trained, operator), plan)
    assert errors.ratio.shape == (3,)
    assert bool((errors.ratio < FITS).all())
    assert errors.modes(trained.preset.adapt) == ["adapt"] * 3
    # It is no better than the estimate where its decoder knows nothing.
    untrained = Prior.of(GroupNet(NETWORK, 1, seed=3), model=trained.prior.model)
    plan = from_prior(operator, untrained, trained.preset.adapt)
    assert "adapt" not in held_out_errors(estimates(trained, operator), plan).modes(trained.preset.adapt)


@pytest.mark.parametrize("mode", ["adapt", "initialise", "reject"])
def test_every_mode_beats_the_initial_estimate(trained: Trained, mode: PriorMode) -> None:
    operator, truth = unseen()
    plan = plan_fit(operator, trained.prior, mode, trained.preset)
    assert (plan.first_stage is None) == (mode == "reject")
    made = estimates(trained, operator)
    judged = made.whole_bank(3)
    *_, last = adapt(operator, plan, made)
    assert last.stopped == f"all {plan.config.steps} steps done"
    (image,) = last.averages()
    assert error(image, truth) < 0.9 * error(made.all_measured, truth)
    assert made.whole_bank(3) == judged
    # As if they had been made for this fit.
    plan = plan_fit(operator, trained.prior, mode, trained.preset)
    *_, anew = adapt(operator, plan)
    assert torch.equal(anew.averages()[0], image)


def test_zero_shot_beats_the_initial_estimate(trained: Trained) -> None:
    operator, truth = unseen()
    made = estimates(trained, operator)
    plan = from_prior(operator, trained.prior, trained.preset.adapt)
    image = zero_shot(operator, plan, made)
    assert error(image, truth) < 0.8 * error(made.all_measured, truth)
    # One at a time gives the same images: no scan depends on another. Compressed sensing draws its shifts for a batch.
    if trained.preset.model.initial_estimate == "conjugate_gradient":
        for item in range(3):
            single = operator.select([item])
            alone = zero_shot(single, from_prior(single, trained.prior, trained.preset.adapt))
            torch.testing.assert_close(alone, image[item : item + 1], rtol=1e-4, atol=1e-4)


def test_uncertainty_is_the_spread_over_random_splits(trained: Trained) -> None:
    operator, _ = unseen()
    plan = from_prior(operator, trained.prior, trained.preset.adapt)
    made = estimates(trained, operator)
    found = zero_shot(operator, plan, made, uncertainty)
    with torch.no_grad():
        images = torch.cat([plan.model(split.estimate, split.seen) for split in made.whole_bank(6)], 1)
    torch.testing.assert_close(found, images.std(1, correction=0, keepdim=True), rtol=1e-4, atol=1e-6)
    *_, last = adapt(operator, plan, estimates(trained, operator))
    (spread,) = last.uncertainties()
    assert spread.shape == (3, 1, *operator.shape[2:])
    assert bool((spread > 0).any((1, 2, 3)).all())


def test_held_out_columns_stop_the_fit(trained: Trained) -> None:
    operator, truth = scaled_scan(50)
    config = dataclasses.replace(
        trained.preset.adapt, held_out=0.25, patience=20, steps=400, learning_rate=3e-3, schedule="constant"
    )
    plan = plan_fit(operator, trained.prior, "adapt", dataclasses.replace(trained.preset, adapt=config))
    steps = list(adapt(operator, plan))
    assert len(steps) < 400
    assert steps[-1].stopped is not None
    assert steps[-1].stopped.startswith("held-out error lowest at step")
    assert [step.iteration for step in steps if step.held_out is not None][:2] == [10, 20]
    (image,) = steps[-1].averages()
    assert error(image, truth) < error(estimates(trained, operator).all_measured, truth)


# ---- the loop, as it runs on a GPU ----------------------------------------------------------------------------------


def test_memory_is_kept_and_choices_are_settled_ahead(trained: Trained) -> None:
    config = dataclasses.replace(trained.preset.train, steps=40)
    form = dataclasses.replace(trained.preset.model, input_noise=0.01)
    scans = [scaled_scan(seed)[0] for seed in range(2)]
    loop = Loop(group_model(scans, NETWORK, form, config), scans, form, config, fixed=True)
    state = loop.states[1]
    assert state.fixed is not None
    drawn = loop.generator.get_state()
    addresses, seen, losses = set(), [], []
    for iteration in range(1, 41):
        losses.append(float(loop.step(iteration)))
        split = state.fixed.choices.split
        tensors = (split.seen.measured, split.held_out.measured, split.estimate, state.output)
        addresses.add(tuple(tensor.data_ptr() for tensor in tensors))
        found = [torch.equal(one.seen.measured, split.seen.measured) for one in state.fixed.bank]
        seen.append(found.index(True))
        assert split.seen.measurements is scans[1].measurements
        assert split.seen.kernels is scans[1].kernels
        assert torch.equal(split.seen.measured + split.held_out.measured, scans[1].measured)
    assert len(addresses) == 1
    assert seen[:6] == list(range(6))
    assert torch.equal(loop.generator.get_state(), drawn)
    assert sum(losses[-10:]) < sum(losses[:10])
    assert [image.shape for image in loop.averages()] == [scan.shape for scan in scans]


def test_fixed_memory_changes_nothing() -> None:
    """Nothing random here: the loop with everything in fixed places, and the loop as it runs on a CPU."""
    form = ModelConfig(next_input="data_consistent", loss="norm")
    config = FitConfig(steps=8, inner_steps=2, autoencoding=0.1, proximity=1e-2)
    network = NetworkConfig.unet(4, 1, in_channels=1, out_channels=1, activation="leaky_relu")
    losses = []
    for fixed in (True, False):
        scans = [scaled_scan(seed)[0] for seed in range(2)]
        loop = Loop(build_model(GroupNet(network, 2, seed=0), form), scans, form, config, fixed=fixed)
        losses.append([float(loop.step(iteration)) for iteration in range(1, 9)])
    # Tensors lie in memory in another order, so sums round otherwise, and Adam enlarges that in its first steps.
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_network_of_other_channels_is_refused() -> None:
    operator, _ = scaled_scan(0)
    chosen = preset("conjugate_gradient")
    expected = r"^operator: expected images of 2 channels, which the network takes, got 1$"
    with pytest.raises(ValueError, match=expected):
        from_scratch(operator, NetworkConfig.unet(4, 1), chosen.alone_model, chosen.alone)
    two = Prior.of(GroupNet(NetworkConfig.unet(4, 1), 1))
    with pytest.raises(ValueError, match=expected):
        from_prior(operator, two, chosen.adapt)


@dataclasses.dataclass(frozen=True)
class ToySlice:
    """What the pipeline of a reconstruction asks of a slice, round an operator that is not MRI's."""

    operator: BlurredColumns
    mask: Tensor
    target: Tensor | None = None
    coils: Coils = dataclasses.field(default_factory=Coils)
    seconds: float = 0.0

    def magnitude(self, image: Tensor) -> np.ndarray:
        return self.operator.domain.picture(image)[0].numpy()


def test_the_pipeline_of_a_reconstruction_takes_it(trained: Trained) -> None:
    scans = [scaled_scan(seed) for seed in (50, 51)]
    slices = [ToySlice(operator, torch.ones(operator.shape[-1], dtype=torch.bool)) for operator, _ in scans]
    plain = [initial_estimates(operator, trained.preset.alone_model, 0).plain for operator, _ in scans]
    for prior in (trained.prior, None):
        results = reconstruct_batch(slices, Job(trained.preset, prior, uncertainty=True), "toys", Observer())
        images = [torch.from_numpy(result.image)[None, None] for result in results]
        ours, before = (
            sum(error(image, truth) for image, (_, truth) in zip(found, scans, strict=True))
            for found in (images, plain)
        )
        # Two scans alone are no proof of a gain; a prior of their like is.
        assert ours < (before if prior else 1.1 * before)
        for result in results:
            assert result.uncertainty is not None
            assert result.uncertainty.shape == result.image.shape == scans[0][0].shape[-2:]
            assert (result.prior_mode is None) == (prior is None)
            assert result.seconds > 0
