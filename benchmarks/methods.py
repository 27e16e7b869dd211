"""The methods that are compared: each makes its whole configuration first, then runs from nothing but that.

Every network method is a choice of options of the one loop in ugodit.fit. The un-trained baselines have the width of
the preset's network and are scored twice: at their last step, which is what one would get, and at their best step as
the truth would choose it, which nobody can have: an advantage that we grant them. Their rates and weights are the best
of those tried on one brain (results/tuning/baselines.jsonl), not the ones published for other networks and budgets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conv_decoder import ConvDecoder
from priors import trained
from scoring import Outcome, Picture, Problem, Stopwatch, follow, judged_uncertainty
from torch import Tensor

from ugodit.data.geometry import center_crop
from ugodit.errors import InputError
from ugodit.evaluation import baselines
from ugodit.fit.config import FitConfig
from ugodit.networks.config import NetworkConfig, reference_unet
from ugodit.networks.group import GroupNet
from ugodit.priors.adaptation import (
    Recipe,
    Unseen,
    Use,
    adapt,
    build_model,
    from_prior,
    from_scratch,
    is_tried,
    recipe,
    unadapted,
    unadapted_uncertainty,
    unseen,
)
from ugodit.priors.presets import PRESETS, Preset
from ugodit.reconstruction.preparation import Prepared

Configuration = dict[str, Any]

L1_WEIGHTS = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3e-3, 6e-3, 1.2e-2, 2.5e-2, 5e-2)
TV_WEIGHTS = (3e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3e-3, 6e-3, 1.2e-2, 2.5e-2, 5e-2)


@dataclass(frozen=True)
class Settings:
    """What the command line says about the methods."""

    preset_name: str
    seed: int = 0
    baseline_steps: int = 2000
    """Of the un-trained baselines."""
    paper_steps: tuple[int, int] = (300, 1000)
    """Of the published recipe, training and adaptation; its own numbers are 5000 and 10000."""
    budget: float | None = None
    """Seconds after which an un-trained baseline ends, if its steps are not done before."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """'METHOD.TABLE.FIELD': value."""
    warm_start: str = "mean"

    @property
    def preset(self) -> Preset:
        return PRESETS[self.preset_name]


@dataclass(frozen=True)
class Group:
    """The scans that a prior is trained on, described now, prepared when they are needed."""

    description: list[dict[str, Any]]
    sampling: dict[str, Any]
    prepared: Callable[[], list[Prepared]]
    cache: Path


@dataclass(frozen=True)
class Method:
    """One row of the tables."""

    title: str
    configure: Callable[[Settings], Configuration]
    run: Callable[[Problem, Configuration, Group | None], Outcome]
    granted: str = ""
    """The advantage that the comparison gives it, for the tables."""
    ours: bool = False
    """Depends on the preset, and its name in the tables says which."""
    needs_group: bool = False


def configuration_of(name: str, settings: Settings, group: Group | None) -> Configuration:
    """All that the method's image depends on but its data: the preset's tables with the overrides in their places.

    Without `group`, a prior's training scans are left out. InputError for overrides that do not fit.
    """
    method = METHODS[name]
    configuration = method.configure(settings)
    for path, value in settings.overrides.items():
        target, _, rest = path.partition(".")
        if target == name:
            _override(configuration, path, rest.split("."), value)
    for table in {"fit", "train", "adapt", "alone"} & set(configuration):
        configuration[table] = FitConfig.from_dict(configuration[table]).to_dict()
    if "network" in configuration:
        try:
            configuration["network"] = NetworkConfig.from_dict(configuration["network"]).to_dict()
        except (TypeError, ValueError) as error:
            raise InputError(f"--set: {name}.network: {error}") from error
    if method.needs_group and group is not None:
        configuration |= {"group": group.description, "sampling": group.sampling}
    return configuration


def check_settings(names: Sequence[str], settings: Settings) -> None:
    """InputError for an override that no method has or that is out of range: before anything runs."""
    for path in settings.overrides:
        if path.partition(".")[0] not in METHODS:
            raise InputError(f"--set: {path}: expected METHOD.TABLE.FIELD with a METHOD of {', '.join(METHODS)}")
    for name in names:
        configuration_of(name, settings, None)


def _override(configuration: Configuration, path: str, names: list[str], value: Any) -> None:
    table: Any = configuration
    for name in names[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or names[-1] not in table:
        known = ", ".join(table) if isinstance(table, dict) else ", ".join(configuration)
        raise InputError(f"--set: {path}: no such option of this method; expected one of {known}")
    table[names[-1]] = value


# ---- without a network ---------------------------------------------------------------------------------------------


def _zero_filling(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    with Stopwatch() as watch:
        image = problem.prepared.magnitude(problem.prepared.operator.initial())
    return Outcome(image, watch.seconds, watch.cpu_seconds)


def _cg_sense(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    """From an empty image; `best` chooses the number of iterations on the truth."""
    outcomes = []
    counts = range(1, configuration["iterations"] + 1) if configuration["best"] else [configuration["iterations"]]
    for count in counts:
        with Stopwatch() as watch:
            solved = baselines.cg_sense(problem.prepared.operator, iterations=count, mu=configuration["mu"])
            image = problem.prepared.magnitude(solved, of_coils=True)
        outcomes.append((problem.psnr(image), Outcome(image, watch.seconds, watch.cpu_seconds, more={"steps": count})))
    best = max(outcomes, key=lambda scored: scored[0])[1]
    best.curve = [[round(outcome.seconds, 4), round(psnr, 3)] for psnr, outcome in outcomes]
    return best


def _sparse(solve: Callable[..., Tensor]) -> Callable[[Problem, Configuration, Group | None], Outcome]:
    def run(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
        scan = problem.prepared.scan
        watches: dict[float, Stopwatch] = {}

        def solve_with(weight: float) -> Tensor:
            with Stopwatch() as watches[weight]:
                return solve(scan.kspace, problem.maps, scan.mask, weight, iterations=configuration["iterations"])

        def magnitude(image: Tensor) -> Picture:
            return np.asarray(center_crop(image.abs(), scan.crop).numpy(), np.float32)

        best = baselines.best_of_grid(
            solve_with, configuration["weights"], lambda image: problem.psnr(magnitude(image))
        )
        watch = watches[best.weight]
        more = {
            "weight": best.weight,
            "scores_by_weight": {str(weight): round(score, 3) for weight, score in best.scores.items()},
            "grid_seconds": sum(each.seconds for each in watches.values()),
        }
        return Outcome(magnitude(best.image), watch.seconds, watch.cpu_seconds, more=more)

    return run


# ---- a network that knows nothing ----------------------------------------------------------------------------------


def _plain_unet(settings: Settings) -> dict[str, Any]:
    """The reference's U-Net with the preset's channels: what the published baselines have, at our size."""
    network = reference_unet(initialisation="default")
    return dataclasses.replace(network, channels=_channels(settings)).to_dict()


def _channels(settings: Settings) -> tuple[int, ...]:
    return settings.preset.network.channels


def _fit_config(settings: Settings, **options: Any) -> dict[str, Any]:
    return FitConfig(**{"steps": settings.baseline_steps, "seed": settings.seed, **options}).to_dict()


def _dip(settings: Settings) -> Configuration:
    """Ulyanov et al., CVPR 2018: fixed noise in, nothing frozen, the input shaken a little at every step."""
    options = {"start": "noise", "next_input": "fixed", "input_noise": 0.03, "learning_rate": 3e-3}
    return {"network": _plain_unet(settings), "fit": _fit_config(settings, **options), "seconds": settings.budget}


def _self_guided(settings: Settings) -> Configuration:
    """Liang et al., arXiv 2402.04097: the input is learned, noise on it is averaged over, and f(z) is held near z."""
    options = {
        "start": "adjoint",
        "next_input": "fixed",
        "learn_input": True,
        "input_noise": 0.03,
        "autoencoding": 0.01,
        "learning_rate": 3e-3,
    }
    return {"network": _plain_unet(settings), "fit": _fit_config(settings, **options), "seconds": settings.budget}


def _aseqdip(settings: Settings) -> Configuration:
    """The published recipe without a prior (preset paper, `alone`), with fewer, longer turns and a lighter lambda.

    As published (two steps an input, lambda 1) it is 5 dB worse after as many steps: results/tuning/baselines.jsonl.
    """
    published = PRESETS["paper"].alone
    changes = {"steps": settings.baseline_steps, "seed": settings.seed}
    fit = dataclasses.replace(published, **changes, inner_steps=50, autoencoding=0.1, learning_rate=1e-3)
    return {"network": _plain_unet(settings), "fit": fit.to_dict(), "seconds": settings.budget}


def _deep_decoder(settings: Settings) -> Configuration:
    """ConvDecoder with as many parameters as the preset's network, for a quarter of the steps: each costs four."""
    network = GroupNet(settings.preset.network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    steps = max(settings.baseline_steps // 4, 1)
    options = {"start": "adjoint", "next_input": "fixed", "learning_rate": 3e-4, "steps": steps}
    decoder = {"parameters": parameters, "layers": 6}
    return {"decoder": decoder, "fit": _fit_config(settings, **options), "seconds": settings.budget}


def _alone(settings: Settings) -> Configuration:
    fit = dataclasses.replace(settings.preset.alone, seed=settings.seed)
    return {"network": settings.preset.network.to_dict(), "fit": fit.to_dict(), "seconds": None}


def _alone_equal(settings: Settings) -> Configuration:
    configuration = _alone(settings)
    configuration["fit"]["steps"] = settings.preset.adapt.steps
    return configuration


def _untrained(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    config = FitConfig.from_dict(configuration["fit"])
    operator = problem.prepared.operator
    with Stopwatch() as watch:
        if "decoder" in configuration:
            decoder = ConvDecoder.of_size(**configuration["decoder"], seed=config.seed)
            # The loop asks a network for what ConvDecoder has, and no more.
            model = build_model(decoder, config).to(operator.device)  # type: ignore[arg-type]
        else:
            model = from_scratch(operator, NetworkConfig.from_dict(configuration["network"]), config)
    return _followed(problem, Recipe(model, config), watch, configuration["seconds"])


def _followed(problem: Problem, by: Recipe, watch: Stopwatch, budget: float | None = None) -> Outcome:
    """The fit's outcome, with the seconds that the model took to build."""
    steps = adapt(problem.prepared.operator, by.model, by.config, by.improve)
    outcome = follow(problem, steps, by.config.steps, cheap=by.config.splitting == "all", budget=budget)
    outcome.more["parameters"] = sum(parameter.numel() for parameter in by.model.parameters())
    outcome.seconds += watch.seconds
    outcome.cpu_seconds += watch.cpu_seconds
    return outcome


# ---- a group prior -------------------------------------------------------------------------------------------------


def _paper(settings: Settings) -> Configuration:
    """The published recipe, at the preset's width and for as many steps as the settings allow."""
    published = PRESETS["paper"]
    train, adaptation = (
        dataclasses.replace(fit, steps=steps, seed=settings.seed)
        for fit, steps in zip((published.train, published.adapt), settings.paper_steps, strict=True)
    )
    network = dataclasses.replace(published.network, channels=_channels(settings))
    return {"network": network.to_dict(), "train": train.to_dict(), "adapt": adaptation.to_dict(), "start": "mean"}


def _ours(settings: Settings) -> Configuration:
    preset = settings.preset
    train, adaptation = (dataclasses.replace(fit, seed=settings.seed) for fit in (preset.train, preset.adapt))
    return {
        "network": preset.network.to_dict(),
        "train": train.to_dict(),
        "adapt": adaptation.to_dict(),
        "alone": dataclasses.replace(preset.alone, seed=settings.seed).to_dict(),
        "start": settings.warm_start,
    }


def _with_prior(*, adapted: bool) -> Callable[[Problem, Configuration, Group | None], Outcome]:
    def run(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
        assert group is not None
        wanted = {name: configuration[name] for name in ("network", "train", "group", "sampling")}
        prior = trained(wanted, group.prepared, group.cache)
        operator = problem.prepared.operator
        start = configuration["start"]
        start = int(start) if str(start).isdigit() else start
        preset = Preset(
            network=NetworkConfig.from_dict(configuration["network"]),
            # The published recipe never goes without its prior, and has no such table.
            **{
                table: FitConfig.from_dict(configuration.get(table, configuration["adapt"]))
                for table in ("train", "adapt", "alone")
            },
        )
        use: Use = "adapted"
        more: dict[str, Any] = {}
        with Stopwatch() as watch:
            model, config = from_prior(operator, prior, preset.adapt, start)
            if adapted and is_tried(config, start):
                found = unseen(operator, model, config)
                (use,) = found.uses(config)
                more["unseen"] = _shares(found)
            if adapted:
                chosen = recipe(operator, prior, use, preset, start)
            else:
                image = problem.prepared.magnitude(unadapted(operator, model, config))
        if adapted:
            outcome = _followed(problem, chosen, watch)
            more["prior_use"] = use
        else:
            outcome = Outcome(image, watch.seconds, watch.cpu_seconds)
            if config.splitting == "random":
                # For the record only: a prior that is used as it is needs none of this.
                more["unseen"] = _shares(unseen(operator, model, config))
                spread = problem.prepared.magnitude(unadapted_uncertainty(operator, model, config))
                more["uncertainty"] = judged_uncertainty(problem.target, outcome.image, spread)
        training = {name: prior.provenance.get(name) for name in ("seconds", "cpu_seconds", "steps")}
        more["training"] = {**training, "scans": len(prior.provenance["scans"]), "prior": prior.hash[:16]}
        outcome.more |= more
        return outcome

    return run


def _shares(found: Unseen) -> dict[str, float]:
    return {"first": round(float(found.first), 4), "prior": round(float(found.prior), 4)}


_ON_TRUTH = "also at the best step, chosen on the truth"

METHODS: dict[str, Method] = {
    "zero_filling": Method("zero filling", lambda settings: {}, _zero_filling),
    "cg_sense": Method("CG-SENSE", lambda settings: {"iterations": 30, "mu": 0.01, "best": False}, _cg_sense),
    "cg_sense_best": Method(
        "CG-SENSE, best count",
        lambda settings: {"iterations": 30, "mu": 0.0, "best": True},
        _cg_sense,
        "number of iterations chosen on the truth",
    ),
    "l1_wavelet": Method(
        "L1-wavelet",
        lambda settings: {"weights": list(L1_WEIGHTS), "iterations": 60},
        _sparse(baselines.l1_wavelet),
        "weight chosen on the truth; seconds of the best weight alone",
    ),
    "tv": Method(
        "total variation",
        lambda settings: {"weights": list(TV_WEIGHTS), "iterations": 100},
        _sparse(baselines.total_variation),
        "weight chosen on the truth; seconds of the best weight alone",
    ),
    "dip": Method("DIP", _dip, _untrained, _ON_TRUTH),
    "deep_decoder": Method("ConvDecoder", _deep_decoder, _untrained, _ON_TRUTH),
    "self_guided_dip": Method("self-guided DIP", _self_guided, _untrained, _ON_TRUTH),
    "aseqdip": Method("aSeqDIP", _aseqdip, _untrained, _ON_TRUTH),
    "ugodit_paper": Method("UGoDIT as published", _paper, _with_prior(adapted=True), _ON_TRUTH, needs_group=True),
    "alone": Method("ours, no prior", _alone, _untrained, ours=True),
    "alone_equal": Method("ours, no prior, steps of the adaptation", _alone_equal, _untrained, ours=True),
    "group_unadapted": Method("ours, prior unadapted", _ours, _with_prior(adapted=False), ours=True, needs_group=True),
    "group_adapted": Method("ours, prior adapted", _ours, _with_prior(adapted=True), ours=True, needs_group=True),
}


def chosen(text: str | None) -> Sequence[str]:
    """The methods of a comma-separated list, in the table's order; all without one. InputError for an unknown name."""
    if text is None:
        return tuple(METHODS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in METHODS:
            raise InputError(f"--methods: expected some of {', '.join(METHODS)}, got {name!r}")
    return tuple(name for name in METHODS if name in names)


def device_of(name: str) -> torch.device:
    """`cpu`, `cuda` or `cuda:N`, by the commands' rule."""
    from ugodit.commands.options import device

    return device(name)
