"""Finds the compiled modules of an installed ugodit for sources that have none beside them: those of a clone.

`pip install .` compiles into site-packages. Python started in the clone imports the clone's sources all the same, since
the folder it starts in comes first. They then use the installed modules, but only those that were compiled from the
very csrc/ of the clone: others may expect other arguments or another layout of the data.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from ugodit.errors import NotBuiltError

COMPILED_FROM = "_compiled_from.sha256"
"""Beside the compiled modules, written by CMakeLists.txt: the sources' hashes, as `compiled_from` lists them."""

_HERE = Path(__file__).resolve().parent
_PACKAGE = "ugodit.kernels."
_ADVICE = "run `pip install .` in the clone (or `make test`, which has an environment of its own)"


class InstalledModules:
    """A finder for sys.meta_path, to be asked last: a module beside the sources comes before an installed one."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises NotBuiltError where there is no usable _cpu, which everything needs; the others are optional."""
        name = fullname.removeprefix(_PACKAGE)
        if fullname not in (f"{_PACKAGE}_cpu", f"{_PACKAGE}_cuda", f"{_PACKAGE}_cuda_host"):
            return None
        try:
            found = installed(name, sys.path, _HERE.parents[1] / "csrc")
        except NotBuiltError:
            if name != "_cpu":
                return None
            raise
        return spec_from_file_location(fullname, found)


def installed(name: str, search: Sequence[str], sources: Path) -> Path:
    """The first module of that name in an ugodit on the search path that was compiled from these sources."""
    others = list(_candidates(name, search))
    expected = compiled_from(sources)
    for module in others:
        record = module.with_name(COMPILED_FROM)
        if expected and record.is_file() and record.read_text(encoding="utf-8") == expected:
            return module
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    found = f"{others[0]} was compiled from other sources" if others else f"there is none for {python} either"
    raise NotBuiltError(
        f"no compiled module {name} beside {_HERE}, and of installed ones {found}: {_ADVICE}", name=_PACKAGE + name
    )


def compiled_from(sources: Path) -> str:
    """A line `hash  csrc/...` for each file that a compiled module depends on; empty where there is none."""
    kinds = ("*.h", "*.cpp", "*.cu", "*.cmake", "CMakeLists.txt")
    names = sorted(path.relative_to(sources.parent).as_posix() for kind in kinds for path in sources.rglob(kind))
    hashes = (hashlib.sha256((sources.parent / name).read_bytes()).hexdigest() for name in names)
    return "".join(f"{digest}  {name}\n" for digest, name in zip(hashes, names, strict=True))


def _candidates(name: str, search: Sequence[str]) -> Iterator[Path]:
    for entry in search:
        folder = Path(entry).resolve() / "ugodit" / "kernels"
        if folder != _HERE:
            yield from (path for suffix in EXTENSION_SUFFIXES if (path := folder / (name + suffix)).is_file())


sys.meta_path.append(InstalledModules)
