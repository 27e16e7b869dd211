"""Builds the extension modules with CMake; everything else is declared in pyproject.toml."""

from scikit_build_core.setuptools.wrapper import setup

setup(cmake_source_dir=".")
