"""Fused SENSE kernels: the only importer of the compiled modules. reference.py holds the same in plain torch."""

from ugodit.kernels.ops import (
    pack_kspace,
    pack_maps,
    scale_kspace,
    sense_adjoint,
    sense_forward,
    sense_residual,
    sense_solve,
    stack_kspace,
)

# _modules first: it finds the compiled modules. The others register the implementations of the ops just defined.
from ugodit.kernels import _modules, _cpu_ops, _cuda_ops  # isort: skip
from ugodit.kernels.execution import execution_record  # isort: skip

__all__ = [
    "execution_record",
    "pack_kspace",
    "pack_maps",
    "scale_kspace",
    "sense_adjoint",
    "sense_forward",
    "sense_residual",
    "sense_solve",
    "stack_kspace",
]

del _cpu_ops, _cuda_ops, _modules
