"""The compiled CUDA kernels, csrc/cuda/bindings.cpp. Addresses are integers; kernels are queued, not waited for."""

LARGEST_WIDTH: int

class Problem:
    """Shapes, maps, weights and where to run; the last four are for tests and tuning, -1 leaves the choice."""

    def __init__(
        self,
        *,
        items: int,
        coils: int,
        rows: int,
        width: int,
        table: int,
        maps: int,
        half: bool,
        one_map: bool,
        weights: int,
        one_weight: bool,
        device: int,
        stream: int,
        descending: bool = False,
        flight: int = -1,
        threads: int = -1,
        resident: int = -1,
    ) -> None: ...

def sense_residual(
    problem: Problem, image: int, packed: int, packed_step: int, data_lines: int, row_loss: int, gradient: int
) -> None: ...
def sense_forward(problem: Problem, image: int, kspace: int) -> None: ...
def sense_adjoint(problem: Problem, kspace: int, image: int) -> None: ...
def sense_solve(
    problem: Problem,
    rhs: int,
    start: int,
    mu: int,
    iterations: int,
    tolerance: float,
    solution: int,
    row_energy: int,
) -> None: ...
def tables(width: int) -> tuple[bytes, list[int], list[int]]: ...
def describe(
    kernel: str,
    width: int,
    coils: int,
    half: bool = False,
    shared_bytes: int = 232448,
    flight: int = -1,
    threads: int = -1,
    resident: int = -1,
) -> dict[str, object]: ...

class EspiritProblem:
    """Sizes, options and where to run; the last four are for tests, -1 leaves the choice."""

    blocks: int
    threads: int
    shared_bytes: int
    workspace_floats: int

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
        device: int,
        stream: int,
        descending: bool = False,
        blocks: int = -1,
        threads: int = -1,
        shared: int = -1,
    ) -> None: ...

def espirit_maps(
    problem: EspiritProblem,
    *,
    correlations: int,
    row_phases: int,
    waves: int,
    reference: int,
    workspace: int,
    maps: int,
    eigenvalues: int,
) -> None: ...
