"""Group training: M undersampled scans, one shared encoder, M decoders or one, no clean image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ugodit.fit.config import FitConfig
from ugodit.fit.fit import Step, fit
from ugodit.networks.config import NetworkConfig
from ugodit.networks.group import GroupNet
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.sense import SenseOperator
from ugodit.priors.adaptation import build_model


def group_model(operators: Sequence[SenseOperator], network: NetworkConfig, config: FitConfig) -> Unrolled:
    """An untrained model with a decoder for every item of `operators`, or one for all (`config.shared_decoder`).

    All decoders start from the same weights: only then is their mean, from which adaptation starts, a decoder too.
    """
    decoders = 1 if config.shared_decoder else sum(operator.shape[0] for operator in operators)
    group = GroupNet(network, 1, seed=config.seed).select([0] * decoders)
    return build_model(group, config).to(operators[0].device)


def train(model: Unrolled, operators: Sequence[SenseOperator], config: FitConfig) -> Iterator[Step]:
    """Fit the encoder and the decoders to all scans; sizes and coils may differ between operators."""
    return fit(model, operators, config)
