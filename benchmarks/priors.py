"""Group priors for the benchmark: trained once for each configuration, kept in the cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from records import digest
from scoring import Stopwatch

from ugodit.commands.progress import follow
from ugodit.errors import InputError
from ugodit.fit.config import FitConfig
from ugodit.networks.config import NetworkConfig
from ugodit.priors.prior import Prior, provenance
from ugodit.priors.training import group_model, train
from ugodit.reconstruction.preparation import Prepared

Configuration = Mapping[str, Any]


def trained(configuration: Configuration, scans: Callable[[], list[Prepared]], cache: Path) -> Prior:
    """The prior of `configuration` (network, train, group: what its scans are), from the cache if it is there.

    `scans` makes the training scans ready, in the order of `configuration["group"]`; it is called only for training.
    The provenance holds `seconds` and `cpu_seconds` of the training.
    """
    path = cache / "priors" / f"{digest(configuration)}.safetensors"
    if path.exists():
        return Prior.load(path)
    config = FitConfig.from_dict(configuration["train"])
    prepared = scans()
    operators = [scan.operator for scan in prepared]
    model = group_model(operators, NetworkConfig.from_dict(configuration["network"]), config)
    last = None
    with Stopwatch() as watch:
        for step in follow(train(model, operators, config), config.steps, f"  group of {len(operators)}"):
            last = step
    assert last is not None
    prior = Prior.of(
        model.network,
        training=config.to_dict(),
        provenance=provenance(
            scans=[{"name": scan.scan.name, "slice": scan.scan.slice_index} for scan in prepared],
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
