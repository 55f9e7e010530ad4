# Every target makes the virtual environment by itself. `make PYTHON=python3.12 test` uses another Python.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTERS := $(VENV)/.clusters
PARALLEL ?= -n 2 --dist loadfile

.PHONY: study test test-all check lint types pages docs clean help

help:
	@echo "make study     run the default study and write its report"
	@echo "make test      run the tests"
	@echo "make check     lint, format, types, import contracts, documentation"
	@echo "make test-all  the slow tests too, and the benchmarks' own checks"
	@echo "make docs      build the documentation into docs/_build/html"
	@echo "make clean     remove everything that was made here, except runs/"

study: $(READY)
	$(BIN)/evenflow study

# Processes that share the cores take one thread each: with more they wait for one another.
test test-all: export OMP_NUM_THREADS = 1

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-all: $(CLUSTERS)
	$(BIN)/python -m pytest $(PARALLEL)

# Types and pages take one core each.
check: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 lint types pages

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/pyright

pages: $(READY)
	$(BIN)/sphinx-build -W --keep-going -q -j auto -b html docs docs/_build/html

docs: $(READY)
	$(BIN)/sphinx-build -W --keep-going -j auto -b html docs docs/_build/html

# torch first, in the exact version: what is installed after it then finds it there.
$(READY): pyproject.toml setup.py constraints.txt $(wildcard src/evenflow/measure/kernels/native/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try: make PYTHON=python3.12" >&2; exit 2; }
	@echo "Installing into $(VENV): about a minute, once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[test,check,docs]'
	@touch $(READY)

# Ray alone is a quarter of a gigabyte, which only the slow tests want.
$(CLUSTERS): $(READY)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[ray,slurm]'
	@touch $(CLUSTERS)

clean:
	rm -rf $(VENV) build dist src/*.egg-info docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache src/evenflow/measure/kernels/_native.*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
