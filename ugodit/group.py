"""Group training: M undersampled scans, one shared encoder, M decoders, no clean image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .adapt import build_model
from .config import FitConfig
from .fit import Step, fit
from .networks.config import NetworkConfig
from .networks.group import GroupNet
from .networks.unrolled import Unrolled
from .operators.sense import SenseOperator


def group_model(operators: Sequence[SenseOperator], network: NetworkConfig, config: FitConfig) -> Unrolled:
    """An untrained model with a decoder for every item of `operators`."""
    items = sum(operator.shape[0] for operator in operators)
    return build_model(GroupNet(network, items, seed=config.seed), config).to(operators[0].device)


def train(model: Unrolled, operators: Sequence[SenseOperator], config: FitConfig) -> Iterator[Step]:
    """Fit the shared encoder and all decoders to all scans; sizes and coils may differ between operators."""
    return fit(model, operators, config)
