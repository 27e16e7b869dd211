"""A batch of slices: judged once, each fitted as the prior serves it, from estimates that are made once."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scans import line_mask, small_scan
from small_priors import prior, quick
from torch import Tensor

import ugodit.fit.initial
from ugodit.data.scan import Scan
from ugodit.errors import InputError
from ugodit.evaluation.baselines import cg_sense
from ugodit.fit.fit import Step
from ugodit.priors.acceptance import HeldOutErrors, held_out_errors
from ugodit.priors.adaptation import PriorMode, adapt, from_prior, initial_estimates, plan_fit, zero_shot
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior
from ugodit.reconstruction import pipeline
from ugodit.reconstruction.baselines import BASELINES
from ugodit.reconstruction.job import Job
from ugodit.reconstruction.observer import Observer
from ugodit.reconstruction.pipeline import SliceResult, reconstruct_batch
from ugodit.reconstruction.preparation import Prepared, prepare
from ugodit.reconstruction.reconstructor import Reconstructor

MODES: list[PriorMode] = ["adapt", "initialise", "reject"]


def scan(seed: int = 0) -> Scan:
    kspace, maps, image = small_scan(rows=24, columns=40, seed=seed, noise=0.2)
    return Scan.from_arrays(kspace, line_mask(40, 3, 6), maps, target=image.abs().float(), name=f"scan{seed}")


def prepared(count: int = 1) -> list[Prepared]:
    return [prepare(scan(10 * seed)) for seed in range(count)]


class Heard(Observer):
    """Keeps what it is told."""

    def __init__(self, on_step: Callable[[Step], object] | None = None) -> None:
        super().__init__(on_step)
        self.said: list[str] = []
        self.labels: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)

    def follow(self, steps: Any, label: str) -> Step:
        self.labels.append(label)
        return super().follow(steps, label)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time that a threshold is chosen, the most expensive part of an initial estimate."""
    found: list[int] = []
    original = ugodit.fit.initial.choose_weight

    def counted(operator: Any, *arguments: Any) -> Tensor:
        found.append(operator.shape[0])
        return original(operator, *arguments)

    monkeypatch.setattr(ugodit.fit.initial, "choose_weight", counted)
    return found


def served(monkeypatch: pytest.MonkeyPatch, *modes: PriorMode) -> None:
    """Whatever the prior leaves of held-out lines, it serves the slices of a batch like this."""
    monkeypatch.setattr(HeldOutErrors, "modes", lambda self, config: list(modes))


def run(slices: list[Prepared], job: Job, observer: Observer | None = None) -> list[SliceResult]:
    return reconstruct_batch(slices, job, "scan", observer or Observer())


@pytest.mark.parametrize("mode", MODES)
def test_a_threshold_is_chosen_once_for_a_slice(
    mode: PriorMode, chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    served(monkeypatch, mode)
    preset = quick()
    trained = prior(preset)
    slices = prepared()
    chosen.clear()
    (result,) = run(slices, Job(preset, trained, uncertainty=True))
    assert result.prior_mode == mode
    assert chosen == [1]


def test_a_threshold_is_chosen_once_without_a_prior_and_without_adaptation(chosen: list[int]) -> None:
    preset = quick()
    trained = prior(preset)
    for job in (Job(preset, uncertainty=True), Job(preset, trained, zero_shot=True, uncertainty=True)):
        chosen.clear()
        run(prepared(), job)
        assert chosen == [1]


def test_a_threshold_is_chosen_once_for_a_batch(chosen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    preset = quick()
    trained = prior(preset)
    slices = prepared(2)
    chosen.clear()
    served(monkeypatch, "adapt", "adapt")
    run(slices, Job(preset, trained, batch=2))
    assert chosen == [2]
    # Where the prior serves two slices in two ways, each has its own.
    chosen.clear()
    served(monkeypatch, "adapt", "reject")
    run(slices, Job(preset, trained, batch=2))
    assert chosen == [2, 1, 1]


def test_a_threshold_is_chosen_once_for_each_slice_of_a_volume(chosen: list[int]) -> None:
    preset = quick()
    trained = prior(preset)
    chosen.clear()
    Reconstructor(trained, preset=preset, batch=1, device="cpu")([scan(0), scan(10)])
    assert chosen == [1, 1]


def expected_image(slices: list[Prepared], trained: Prior | None, mode: PriorMode, preset: Preset) -> list[np.ndarray]:
    """By hand, all estimates made anew."""
    operator = type(slices[0].operator).stack([one.operator for one in slices])
    *_, last = adapt(operator, plan_fit(operator, trained, mode, preset))
    image = last.averages()[0]
    return [one.magnitude(image[item : item + 1]) for item, one in enumerate(slices)]


@pytest.mark.parametrize("mode", MODES)
def test_shared_estimates_give_the_images_of_estimates_made_anew(
    mode: PriorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(monkeypatch, mode, mode)
    preset, slices = quick(), prepared(2)
    trained = prior(preset)
    results = run(slices, Job(preset, trained, batch=2))
    for result, expected in zip(results, expected_image(slices, trained, mode, preset), strict=True):
        np.testing.assert_array_equal(result.image, expected)


def test_a_slice_that_is_served_otherwise_is_as_if_it_came_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    preset, slices = quick(), prepared(3)
    trained = prior(preset)
    served(monkeypatch, "reject", "adapt", "adapt")
    observer = Heard()
    results = run(slices, Job(preset, trained, batch=3), observer)
    assert [result.prior_mode for result in results] == ["reject", "adapt", "adapt"]
    np.testing.assert_array_equal(results[0].image, expected_image(slices[:1], trained, "reject", preset)[0])
    for result, expected in zip(results[1:], expected_image(slices[1:], trained, "adapt", preset), strict=True):
        np.testing.assert_array_equal(result.image, expected)
    assert len(observer.labels) == 2
    assert results[0].stopped == "the prior was rejected; all 2 steps done"
    assert results[1].stopped == "all 2 steps done"


def test_zero_shot_is_what_the_prior_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "reject")
    preset, (one,) = quick(), prepared()
    trained = prior(preset)
    observer = Heard()
    (result,) = run([one], Job(preset, trained, zero_shot=True), observer)
    image = zero_shot(one.operator, from_prior(one.operator, trained, preset.adapt))
    np.testing.assert_array_equal(result.image, one.magnitude(image))
    assert (result.prior_mode, result.stopped, observer.labels) == ("zero-shot", "not adapted", [])
    assert observer.said[0].endswith("used without adaptation nevertheless")


def test_a_prior_that_does_not_fit_is_told_of() -> None:
    preset, slices = quick(), prepared()
    trained = prior(preset)
    estimates = initial_estimates(slices[0].operator, trained.model, 0)
    errors = held_out_errors(estimates, from_prior(slices[0].operator, trained, preset.adapt))
    (mode,) = errors.modes(preset.adapt)
    assert mode != "adapt"  # it was never trained
    observer = Heard()
    (result,) = run(slices, Job(preset, trained), observer)
    assert result.prior_mode == mode
    (said,) = observer.said
    assert said.startswith("scan: the prior does not fit 1 of 1: of held-out lines it leaves ")
    assert f"{100 * float(errors.ratio):.0f} % of what the initial estimate leaves (70 % is too much)" in said
    assert said.endswith(pipeline.DECISIONS[mode])


def test_results_are_those_of_the_slice() -> None:
    (one,) = prepared()
    (result,) = run([one], Job(quick(), uncertainty=True))
    assert result.prior_mode is None
    assert result.image.shape == (24, 40)
    assert result.uncertainty is not None
    assert result.uncertainty.shape == (24, 40)
    assert (result.uncertainty >= 0).all()
    assert one.target is not None
    assert result.target is not None
    np.testing.assert_array_equal(result.target, one.target.numpy())
    np.testing.assert_array_equal(result.mask, one.mask.numpy())
    assert result.seconds > one.seconds


def test_a_follower_may_stop_a_fit() -> None:
    preset = dataclasses.replace(quick(), alone=dataclasses.replace(quick().alone, steps=5))
    (result,) = run(prepared(), Job(preset), Heard(lambda step: step.iteration == 3))
    assert result.stopped == "stopped at step 3 by who followed it"


def test_what_diverges_is_no_image() -> None:
    preset = quick()
    fast = dataclasses.replace(preset.alone, learning_rate=1e8, steps=4, schedule="constant")
    with pytest.raises(InputError, match=r"^scan: the fit diverged .*; lower `learning_rate`"):
        run(prepared(), Job(dataclasses.replace(preset, alone=fast)))
    broken = prior(preset)
    worse = dataclasses.replace(broken, decoder={name: 1e9 * weight for name, weight in broken.decoder.items()})
    with pytest.raises(InputError, match=r"^scan: the prior gives no sensible image; train it again"):
        run(prepared(), Job(preset, worse, zero_shot=True))


def test_baselines_are_magnitudes_in_the_scans_units() -> None:
    (one,) = prepared()
    zero_filled = BASELINES["zero filling"](one)
    np.testing.assert_array_equal(zero_filled, one.magnitude(one.operator.initial()))
    # Nothing but its data shaped it: what is shown is its coil images' root sum of squares.
    least_squares = cg_sense(one.operator)
    np.testing.assert_array_equal(BASELINES["CG-SENSE"](one), one.magnitude(least_squares, of_coils=True))
    np.testing.assert_allclose(
        zero_filled, one.scale * one.operator.initial().square().sum(1).sqrt()[0].numpy(), rtol=1e-6
    )


def test_torch_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    run(prepared(), Job(quick()))
    assert torch.equal(torch.get_rng_state(), before)
