"""Group training: M undersampled scans, one shared encoder, M decoders or one, no clean image."""

from __future__ import annotations

from collections.abc import Sequence

from ugodit.fit.fit_config import TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig
from ugodit.networks.group import GroupNet
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.protocol import Operator
from ugodit.priors.adaptation import build_model, check_channels


def group_model(
    operators: Sequence[Operator], network: NetworkConfig, form: ModelConfig, config: TrainConfig
) -> Unrolled:
    """An untrained model with a decoder for every item of `operators`, or one for all (`config.shared_decoder`).

    All decoders start from the same weights: only then is their mean, from which adaptation starts, a decoder too.
    `fit.fit` trains it. Sizes and coils may differ between operators; ValueError where their images have other channels
    than the network takes.
    """
    for operator in operators:
        check_channels(operator, network)
    decoders = 1 if config.shared_decoder else sum(operator.shape[0] for operator in operators)
    group = GroupNet(network, 1, seed=config.seed).select([0] * decoders)
    return build_model(group, form).to(operators[0].device)
