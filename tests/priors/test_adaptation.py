"""What becomes of a prior for a scan."""

import dataclasses

import pytest
import torch
from scans import small_operator

import ugodit.priors.adaptation
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.priors.adaptation import (
    FITS,
    HELPS,
    NOISE_AT_MOST,
    OPEN,
    Unseen,
    adapt,
    from_prior,
    normalize,
    recipe,
    unseen,
)
from ugodit.priors.presets import PRESETS, Preset
from ugodit.priors.prior import Prior
from ugodit.priors.training import group_model

NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")


def quick(name: str = "balanced") -> Preset:
    chosen = PRESETS[name]
    fits = {
        table: dataclasses.replace(getattr(chosen, table), steps=2, precision="float32")
        for table in ("train", "adapt", "alone")
    }
    return Preset(network=NETWORK, **fits)


def scan(items: int = 1) -> SenseOperator:
    one = normalize(small_operator(columns=40, noise=0.2)[0])[0]
    return SenseOperator.stack([one] * items)


def prior(preset: Preset) -> Prior:
    """Weights that are not zero in the last layer: the network says something."""
    model = group_model([scan()], preset.network, preset.train)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.decoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return Prior.of(model.network, training=preset.train.to_dict(), provenance={"scans": []})


def test_uses_follow_from_what_unseen_lines_say() -> None:
    cases = {
        (0.9, (FITS - 0.01) * 0.9): "adapted",
        (OPEN - 0.1, (FITS - 0.01) * (OPEN - 0.1)): "adapted",
        (OPEN + 0.01, (FITS + 0.01) * (OPEN + 0.01)): "first images",
        (OPEN - 0.01, (FITS + 0.01) * (OPEN - 0.01)): "dropped",
        (0.9, (HELPS + 0.01) * 0.9): "dropped",
        (0.9, 3.0): "dropped",
    }
    first, left = torch.tensor(list(cases)).T
    config = quick("balanced").adapt
    assert Unseen(first, left).uses(config) == list(cases.values())
    one_turn = dataclasses.replace(config, improve_start=False)
    assert "first images" not in Unseen(first, left).uses(one_turn)


def test_what_is_unseen_is_judged_without_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = quick()
    model, config = from_prior(scan(), prior(preset), preset.adapt)

    def found(variance: float) -> tuple[float, float]:
        monkeypatch.setattr(ugodit.priors.adaptation, "noise_variance", lambda operator: torch.tensor([variance]))
        shares = unseen(scan(), model, config)
        return float(shares.first), float(shares.prior)

    first, left = found(float("nan"))
    assert found(0.0) == (first, left)
    noise = NOISE_AT_MOST * first  # of the lines' energy
    assert found(1e6) == pytest.approx(((first - noise) / (1 - noise), (left - noise) / (1 - noise)), rel=1e-4)
    # A first image that is worse than none: all of the lines' energy is open, and more.
    monkeypatch.setattr(SenseOperator, "energy", lambda self: self.data_consistency(torch.zeros(self.shape)) / 100)
    hopeless = unseen(scan(), model, config)
    assert float(hopeless.first) > OPEN
    with pytest.raises(ValueError, match="random splits"):
        unseen(scan(), model, dataclasses.replace(config, splitting="all", unrolls=0))


def test_an_adapted_prior_starts_from_its_own_images() -> None:
    preset, trained = quick(), prior(quick())
    by = recipe(scan(2), trained, "adapted", preset)
    assert by.improve is not None
    assert by.config.improve_start
    assert not any(p.requires_grad for p in (*by.improve.parameters(), *by.model.network.encoder.parameters()))
    assert all(p.requires_grad for p in by.model.network.decoder.parameters())
    before = [parameter.clone() for parameter in by.improve.parameters()]
    *_, last = adapt(scan(2), by.model, by.config, by.improve)
    assert last.averages()[0].shape == scan(2).shape
    assert all(torch.equal(a, b) for a, b in zip(before, by.improve.parameters(), strict=True))
    plain = dataclasses.replace(preset, adapt=dataclasses.replace(preset.adapt, improve_start=False))
    assert recipe(scan(), trained, "adapted", plain).improve is None


def test_a_prior_that_makes_first_images_leaves_the_rest_to_a_new_network() -> None:
    preset, trained = quick(), prior(quick())
    by = recipe(scan(), trained, "first images", preset)
    assert by.improve is not None
    assert by.config.steps == preset.alone.steps
    assert all(p.requires_grad for p in by.model.network.parameters())
    fresh = GroupNet(preset.network, 1, seed=by.config.seed).state_dict()
    assert all(torch.equal(weight, fresh[name]) for name, weight in by.model.network.state_dict().items())
    *_, with_it = adapt(scan(), by.model, by.config, by.improve)
    alone = recipe(scan(), None, None, preset)
    *_, without = adapt(scan(), alone.model, by.config)
    assert not torch.allclose(with_it.averages()[0], without.averages()[0], rtol=1e-2)
    published = prior(quick("paper"))
    with pytest.raises(ValueError, match="random splits"):
        recipe(scan(), published, "first images", preset)


def test_a_decoder_that_starts_anew_has_no_first_turn() -> None:
    by = recipe(scan(), prior(quick()), "adapted", quick(), start="fresh")
    assert by.improve is None
    assert recipe(scan(), prior(quick()), "adapted", quick(), start=0).improve is not None


def test_held_out_lines_and_uncertainty_with_two_turns() -> None:
    preset = quick()
    held_out = dataclasses.replace(preset, adapt=dataclasses.replace(preset.adapt, held_out=0.2))
    by = recipe(scan(2), prior(preset), "adapted", held_out)
    *_, last = adapt(scan(2), by.model, by.config, by.improve)
    assert last.held_out is not None
    images, spread = last.averages()[0], last.uncertainties()[0]
    assert torch.isfinite(images).all()
    assert spread.shape == (2, 1, *scan().shape[2:])
    assert (spread[:, :, 8:16, 15:25] > 0).any()


def test_a_dropped_prior_changes_nothing() -> None:
    preset, trained = quick(), prior(quick())
    dropped, none = recipe(scan(), trained, "dropped", preset), recipe(scan(), None, "adapted", preset)
    for by in (dropped, none):
        assert by.improve is None
        assert by.config == preset.alone
    *_, one = adapt(scan(), dropped.model, dropped.config, dropped.improve)
    *_, other = adapt(scan(), none.model, none.config, none.improve)
    assert torch.equal(one.averages()[0], other.averages()[0])


def test_the_published_recipe_has_one_turn() -> None:
    preset = quick("paper")
    assert recipe(scan(), prior(preset), "adapted", preset).improve is None
