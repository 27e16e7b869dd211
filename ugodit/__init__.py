"""Accelerated multi-coil MRI reconstruction without clean training data."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ugodit")
except PackageNotFoundError:
    # Run from a source tree that is not installed.
    __version__ = "0+unknown"
