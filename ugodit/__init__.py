"""Accelerated multi-coil MRI reconstruction without clean training data.

The names below are the public interface. They are imported when they are first used, so that `import ugodit` is quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugodit.calibration.espirit import estimate_maps
    from ugodit.data.sampling import Sampling
    from ugodit.data.scan import Scan
    from ugodit.evaluation.scoring import score
    from ugodit.io.volumes import open_volume
    from ugodit.operators.sense import SenseOperator
    from ugodit.priors.prior import Prior
    from ugodit.reconstruction.reconstructor import Reconstructor
    from ugodit.reconstruction.training import train_prior

    __version__: str

_HOMES = {
    "Prior": "priors.prior",
    "Reconstructor": "reconstruction.reconstructor",
    "Sampling": "data.sampling",
    "Scan": "data.scan",
    "SenseOperator": "operators.sense",
    "estimate_maps": "calibration.espirit",
    "open_volume": "io.volumes",
    "score": "evaluation.scoring",
    "train_prior": "reconstruction.training",
}

__all__ = [
    "Prior",
    "Reconstructor",
    "Sampling",
    "Scan",
    "SenseOperator",
    "estimate_maps",
    "open_volume",
    "score",
    "train_prior",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = _version()
    elif name in _HOMES:
        from importlib import import_module

        found = getattr(import_module(f"ugodit.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'ugodit' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ugodit")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
