# The compiled CPU kernels: private, called by ugodit.kernels and ugodit.calibration, which check every argument.
# Addresses are data_ptr()s of contiguous arrays, `*_shared` says that an array has one item for all.

def sense_residual(
    items: int,
    coils: int,
    height: int,
    width: int,
    both: bool,
    threads: int,
    image: int,
    maps: int,
    maps_shared: bool,
    kspace: int,
    kspace_shared: bool,
    weights: int,
    weights_shared: bool,
    loss: int,
    gradient: int,
    /,
) -> None: ...
def sense_forward(
    items: int,
    coils: int,
    height: int,
    width: int,
    both: bool,
    threads: int,
    image: int,
    maps: int,
    maps_shared: bool,
    weights: int,
    weights_shared: bool,
    packed: int,
    /,
) -> None: ...
def sense_solve(
    items: int,
    coils: int,
    height: int,
    width: int,
    threads: int,
    rhs: int,
    start: int,
    maps: int,
    maps_shared: bool,
    weights: int,
    weights_shared: bool,
    mu: int,
    iterations: int,
    tolerance: float,
    solution: int,
    residual_norm: int,
    /,
) -> None: ...
def pack_maps(
    items: int, coils: int, height: int, width: int, both: bool, threads: int, source: int, packed: int, /
) -> None: ...
def pack_kspace(
    items: int, coils: int, height: int, width: int, both: bool, threads: int, source: int, packed: int, /
) -> None: ...
def unpack_kspace(
    items: int, coils: int, height: int, width: int, both: bool, threads: int, packed: int, target: int, /
) -> None: ...
def layout(coils: int, height: int, width: int, both: bool, /) -> tuple[int, int, int]:
    """Rows a block, row groups, blocks a row group."""

def variants() -> list[str]:
    """The instruction sets whose kernels this processor can run."""

def selected_variant() -> str: ...
def select_variant(name: str, /) -> None:
    """For tests: which copy of the kernels later calls use."""

def multiply_adds(rounds: int, threads: int, /) -> float:
    """For benchmarks: keeps the multiply-add units of `threads` threads busy; returns the float operations done."""

def espirit_maps(
    coils: int,
    rows: int,
    columns: int,
    reach: int,
    sets: int,
    crop: float,
    soft: bool,
    threads: int,
    correlations: int,
    row_phases: int,
    waves: int,
    reference: int,
    maps: int,
    eigenvalues: int,
    /,
) -> None:
    """Dominant eigenvectors of ESPIRiT's operator at every pixel; csrc/espirit/arguments.h describes the arrays."""

def shrink_wavelets(
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
    /,
) -> None:
    """Soft-thresholded Haar details of float32 images (items, 2, rows, columns); csrc/cpu/wavelet.h."""
