# The compiled CPU kernels: private, called by ugodit.kernels and ugodit.calibration, which check every argument.
# Addresses are data_ptr()s of contiguous arrays, 0 for one that is not given; `one_*` says that an array has one item,
# which serves all. csrc/cpu/sense.h describes how maps and k-space are packed.

class Problem:
    """Shapes, threads, packed maps and weights; packing itself needs neither maps nor weights."""

    def __init__(
        self,
        *,
        items: int,
        coils: int,
        height: int,
        width: int,
        both: bool,
        threads: int,
        maps: int = 0,
        one_map: bool = False,
        weights: int = 0,
        one_weight: bool = False,
    ) -> None: ...

def sense_residual(
    problem: Problem, *, image: int, kspace: int, one_kspace: bool, loss: int, gradient: int
) -> None: ...
def sense_forward(problem: Problem, *, image: int, kspace: int) -> None: ...
def sense_adjoint(problem: Problem, *, kspace: int, image: int) -> None: ...
def sense_solve(
    problem: Problem,
    *,
    rhs: int,
    start: int,
    mu: int,
    iterations: int,
    tolerance: float,
    solution: int,
    residual_norm: int,
) -> None: ...
def pack_maps(problem: Problem, *, maps: int, packed: int) -> None: ...
def pack_kspace(problem: Problem, *, kspace: int, packed: int) -> None: ...
def unpack_kspace(problem: Problem, *, packed: int, kspace: int) -> None: ...
def layout(*, coils: int, height: int, width: int, both: bool) -> tuple[int, int, int]:
    """Rows a block, row groups, blocks a row group."""

def variants() -> list[str]:
    """The instruction sets whose kernels this processor can run."""

def selected_variant() -> str: ...
def select_variant(name: str, /) -> None:
    """For tests: which copy of the kernels later calls use."""

def multiply_adds(rounds: int, threads: int, /) -> float:
    """For benchmarks: keeps the multiply-add units of `threads` threads busy; returns the float operations done."""

class EspiritProblem:
    """Sizes and options; csrc/espirit/arguments.h."""

    def __init__(
        self,
        *,
        coils: int,
        rows: int,
        columns: int,
        reach: int,
        sets: int,
        crop: float,
        soft: bool,
        threads: int,
    ) -> None: ...

def espirit_maps(
    problem: EspiritProblem,
    *,
    correlations: int,
    row_phases: int,
    waves: int,
    reference: int,
    maps: int,
    eigenvalues: int,
) -> None:
    """Dominant eigenvectors of ESPIRiT's operator at every pixel; csrc/espirit/arguments.h describes the arrays."""

def shrink_wavelets(
    *,
    items: int,
    rows: int,
    columns: int,
    levels: int,
    above: int,
    left: int,
    threads: int,
    image: int,
    weights: int,
    result: int,
) -> None:
    """Soft-thresholded Haar details of float32 images (items, 2, rows, columns); csrc/cpu/wavelet.h."""
