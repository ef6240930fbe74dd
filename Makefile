# make demo   the whole path in one go      make test   what CI runs      make help   the rest
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

OUTPUT ?= demo
DATA ?=
PYTEST ?=
# A process per core; what one file's tests share stays in one process.
JOBS ?= auto

# Those that need no data and no hour; benchmarks.semi_supervised is the one for an afternoon.
BENCHMARKS := signed_distance metrics training_iteration sliding_window

.PHONY: help install demo test test-all test-pacs pacs-tools lint types bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP)  ## make .venv and install the project with what CI ran

# Once, and again when the dependencies change.
$(STAMP): constraints.txt setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: PYTHON: no python3 found; pass PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "error: PYTHON: $(PYTHON) is older than Python 3.10; pass PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)  ## phantoms (or DATA=DIR), training, evaluation, bundle and report, in the folder demo (or OUTPUT=DIR)
	@$(BIN)/concord demo --overwrite --output "$(OUTPUT)" $(if $(DATA),--data "$(DATA)")

test: lint types  ## ruff, mypy and the tests that take seconds
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST)

test-all: lint types  ## the tests that take minutes too
	@$(BIN)/python -m pytest -m "" -n $(JOBS) --dist loadfile $(PYTEST)

test-pacs: $(STAMP) pacs-tools  ## the tests against a real PACS alone; installs Orthanc and DICOM tools from Debian's packages
	@$(BIN)/python -m pytest -m pacs $(PYTEST)

pacs-tools:
	@tests/pacs/install_tools.sh

lint: $(STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy
	@$(BIN)/mypy

bench: $(STAMP)  ## the measurements in benchmarks
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; done

clean:  ## remove .venv, caches and the demo
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
