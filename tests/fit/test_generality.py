"""What fits, judges and adapts networks knows nothing of MRI: it has an operator, by the protocol, and no more.

The rule, for every module of ugodit/fit, ugodit/priors and ugodit/networks. Code may name no operator of one kind, and
no part of one: no import from `ugodit.operators.sense...` or of the kernels that only MRI's operator calls, no name,
attribute, argument or keyword of FORBIDDEN. Nor may a text that a program shows: one that is not a docstring.
Docstrings and comments may: they say what an option means in MRI, which is what users of this package measure.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ugodit

PACKAGE = Path(ugodit.__file__).parent
MODULES = sorted(path for room in ("fit", "priors", "networks") for path in (PACKAGE / room).rglob("*.py"))
FORBIDDEN = re.compile(r"SenseOperator|kspace|k[-_]space|(^|_)coils?(_|$)|sensitivit|espirit|with_weights", re.I)
"""In names. `maps` are not in it, as images are mapped to images, nor are `mask_bank`, `lines` and `weights`."""
SHOWN = re.compile(r"SenseOperator|kspace|k-space", re.I)
"""In texts. Their lines and sets of maps are the words of an error for those who measure them."""
ALLOWED_KERNELS = {"ugodit.kernels.wavelets"}
"""Of any image."""


def offences(source: str) -> list[str]:
    """What the rule forbids of a module, as `line: what`."""
    tree = ast.parse(source)
    found = [f"{node.lineno}: {name}" for node, name in _names(tree) if FORBIDDEN.search(name)]
    found += [f"{node.lineno}: imports {module}" for node, module in _imports(tree) if _of_one_kind(module)]
    found += [f"{node.lineno}: {node.value!r}" for node in _shown_texts(tree) if SHOWN.search(node.value)]
    return found


def _names(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """All that code calls something."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            name = getattr(node, field, None)
            if isinstance(name, str) and hasattr(node, "lineno"):
                yield node, name


def _imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def _of_one_kind(module: str) -> bool:
    if module.startswith("ugodit.kernels"):
        return not any(module.startswith(allowed) for allowed in ALLOWED_KERNELS)
    if module.startswith("ugodit.data.limits"):  # of numbers in files, whatever they are for
        return False
    return module.startswith(("ugodit.operators.sense", "ugodit.calibration", "ugodit.data"))


def _shown_texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """String constants that are not a statement by themselves, as docstrings are."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def test_there_are_modules_to_look_at() -> None:
    names = {str(path.relative_to(PACKAGE)) for path in MODULES}
    assert {"fit/loop.py", "fit/initial.py", "priors/adaptation.py", "networks/unrolled.py"} <= names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_knows_what_is_measured(path: Path) -> None:
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "from ugodit.operators import SenseOperator",
        "from ugodit.operators.sense import SenseOperator as Operator",
        "import ugodit.operators.sense_lines",
        "from ugodit.operators import sense",
        "from ugodit import kernels\nkernels.sense_solve()",
        "from ugodit.kernels import sense_residual",
        "from ugodit.data.undersampling import acs_width",
        "def f(operator):\n    return operator.kspace",
        "def f(operator):\n    return operator.with_weights(3)",
        "def f(kspace):\n    pass",
        "def f(coils=3):\n    pass",
        "x: 'SenseOperator' = None",
        "isinstance(x, ugodit.SenseOperator)",
        "raise ValueError(f'{name}: expected k-space of so many coils')",
        "class SenseOperatorOfMine:\n    pass",
    ],
)
def test_what_is_forbidden_is_found(source: str) -> None:
    assert offences(source) != []


@pytest.mark.parametrize(
    "source",
    [
        '"""A SenseOperator has k-space of several coils."""',
        'x = 3\n"""How many k-space lines a coil measures."""',
        "x = 3  # of the lines in k-space",
        "from ugodit.operators.protocol import Operator\nfrom ugodit.operators.domain import Map",
        "from ugodit.kernels.wavelets import shrink_wavelets",
        "raise ValueError('mask: splitting needs at least 2 measured lines')",
        "mask_bank = estimates.whole_bank(3)",
    ],
)
def test_what_is_allowed_is_not(source: str) -> None:
    assert offences(source) == []
