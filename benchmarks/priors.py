"""Group priors: trained once for each configuration, kept in the cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from records import digest
from scoring import Stopwatch

from ugodit.commands.progress import ProgressObserver
from ugodit.errors import InputError
from ugodit.fit.fit import fit
from ugodit.fit.fit_config import TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig
from ugodit.priors.prior import Prior, provenance
from ugodit.priors.training import group_model
from ugodit.reconstruction.preparation import Prepared

Configuration = Mapping[str, Any]


def trained(configuration: Configuration, scans: Callable[[], list[Prepared]], cache: Path) -> Prior:
    """The prior of `configuration` (network, model, train, group: what its scans are), from the cache if it is there.

    `scans` makes the training scans ready, in the order of `configuration["group"]`; it is called only for training.
    The provenance holds `seconds` and `cpu_seconds` of the training.
    """
    path = cache / "priors" / f"{digest(configuration)}.safetensors"
    if path.exists():
        return Prior.load(path)
    form, config = ModelConfig.from_dict(configuration["model"]), TrainConfig.from_dict(configuration["train"])
    prepared = scans()
    operators = [one.operator for one in prepared]
    model = group_model(operators, NetworkConfig.from_dict(configuration["network"]), form, config)
    with Stopwatch() as watch:
        last = ProgressObserver().follow(fit(model, operators, form, config), f"  group of {len(operators)}")
    prior = Prior.of(
        model.network,
        model=form,
        training=config.to_dict(),
        provenance=provenance(
            scans=[{"name": one.name, "slice": one.slice_index} for one in prepared],
            acceleration=configuration["sampling"]["acceleration"],
            seed=config.seed,
            scale="99.5th percentile of the zero-filled magnitude is 1",
            seconds=watch.seconds,
            cpu_seconds=watch.cpu_seconds,
            steps=last.iteration,
            final_loss=last.loss,
            configuration=dict(configuration),
        ),
        extra={"log_mu": model.log_mu.detach().cpu()},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache: {path.parent}: cannot be made a folder: {os.strerror(error.errno or 0)}") from error
    prior.save(path)
    print(f"  group prior trained in {watch.seconds:.0f} s: {path}", file=sys.stderr)
    return prior
