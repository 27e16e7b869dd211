# Two commands set everything up and need nothing else: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet

# The tested versions, of what the package needs and of what it is built with. By environment, because no option of pip
# reaches isolated builds in every version: up to 25.2 they follow PIP_CONSTRAINT, later ones PIP_BUILD_CONSTRAINT.
# Relative, because pip would split a path at its spaces.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

# An extra's requirements, a line each: `pip install .[extra]` would compile everything again.
EXTRA := $(BIN)/python -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")'

.PHONY: demo test test-slow test-all lint bench readme clean

demo: $(VENV)/.installed
	$(BIN)/python -m ugodit.demo --out demo

# A process a core, each with one thread: half the time of one process with two threads on two cores.
# COVERAGE=1 also says which lines of ugodit/ no test runs; with Python 3.11 that takes half as long again.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not slow and not gpu" $(if $(COVERAGE),--cov=ugodit --cov-report=term:skip-covered)

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "slow and not gpu"

test-all: $(VENV)/.installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	git ls-files '*.h' '*.cpp' '*.cu' | xargs $(BIN)/clang-format --dry-run --Werror

# Reports, and fails because of no time. Whom it cannot import or run (BART, a GPU) it skips, with the reason.
bench: $(VENV)/.installed-bench
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-group-by=group --benchmark-columns=median,iqr,rounds

# Puts into README.md and docs/ what `make demo` made and what the benchmarks measured.
readme: $(VENV)/.installed
	$(BIN)/python docs/fill.py

# Installed again whenever a source that is compiled, or the project's own description, changes. Editable: Python
# sources take effect at once.
SOURCES := pyproject.toml setup.py CMakeLists.txt constraints.txt $(shell find csrc -type f)

$(VENV)/bin/python:
	$(PYTHON) -m venv "$(VENV)"

$(VENV)/.installed: $(SOURCES) | $(VENV)/bin/python
	$(PIP) --editable .
	touch "$@"

$(VENV)/.installed-test: $(VENV)/.installed
	$(EXTRA) test | xargs $(PIP)
	touch "$@"

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(EXTRA) dev | xargs $(PIP)
	touch "$@"

$(VENV)/.installed-bench: $(VENV)/.installed
	$(EXTRA) bench | xargs $(PIP)
	touch "$@"

clean:
	rm -rf "$(VENV)" build demo *.egg-info ugodit/kernels/*.so ugodit/kernels/_compiled_from.sha256
