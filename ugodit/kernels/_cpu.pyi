# The compiled CPU kernels: private, called by ugodit.kernels and ugodit.calibration, which check every argument.
# Arrays are contiguous and float32 (two values for a complex number): their data_ptr() and how many values they have,
# (0, 0) for one that is not given; `one_*` says that an array has one item, which serves all. ValueError for sizes past
# csrc/sizes.h, and for an array of another size than the problem's. csrc/cpu/sense.h describes how maps and k-space are
# packed.

Array = tuple[int, int]

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
        maps: Array = (0, 0),
        one_map: bool = False,
        weights: Array = (0, 0),
        one_weight: bool = False,
    ) -> None: ...

def sense_residual(
    problem: Problem, *, image: Array, kspace: Array, one_kspace: bool, loss: Array, gradient: Array
) -> None: ...
def sense_forward(problem: Problem, *, image: Array, kspace: Array) -> None: ...
def sense_adjoint(problem: Problem, *, kspace: Array, image: Array) -> None: ...
def sense_solve(
    problem: Problem,
    *,
    rhs: Array,
    start: Array,
    mu: Array,
    iterations: int,
    tolerance: float,
    solution: Array,
    residual_norm: Array,
) -> None: ...
def pack_maps(problem: Problem, *, maps: Array, packed: Array) -> None: ...
def pack_kspace(problem: Problem, *, kspace: Array, packed: Array) -> None: ...
def unpack_kspace(problem: Problem, *, packed: Array, kspace: Array) -> None: ...
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
    correlations: Array,
    row_phases: Array,
    waves: Array,
    reference: Array,
    maps: Array,
    eigenvalues: Array,
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
    image: Array,
    weights: Array,
    result: Array,
) -> None:
    """Soft-thresholded Haar details of float32 images (items, 2, rows, columns); csrc/cpu/wavelet.h."""
