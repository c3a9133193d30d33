# Every target sets up what it needs; nothing is done twice.
PYTHON ?= python3
SEED ?= 0
PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes of one thread each: threads of several would wait for each other.
FAST := -m pytest -m "not slow" --numprocesses $(PROCESSES) --dist worksteal

.PHONY: help setup demo test test-slow test-oldest test-matrix coverage docs release-check lint format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv with kdvideo and all its extras

$(STAMP): setup.py pyproject.toml kdvideo/version.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the rest into $(VENV): 7 GB, several minutes"
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	touch $@

demo: setup  ## write a small video dataset, train a teacher, distil a student (SEED=0), about 4 minutes
	$(BIN)/kdvideo demo --seed $(SEED) --output output/demo

test: setup  ## the fast tests, in two processes (PROCESSES=2)
	OMP_NUM_THREADS=1 $(BIN)/python $(FAST)

test-slow: setup  ## kills, wheels in empty environments: what takes long
	$(BIN)/python -m pytest -m slow --timeout=1800

coverage: setup  ## the fast tests, and how much of kdvideo/ they run: at least 90 %
	$(BIN)/python -m pytest -m "not slow" --cov=kdvideo --cov-report=term --cov-fail-under=90

test-oldest:  ## the fast tests with the oldest PyTorch that setup.py allows, in .venv-oldest
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --editable '.[all,dev]' 'torch==2.9.*' 'torchvision==0.24.*'
	OMP_NUM_THREADS=1 .venv-oldest/bin/python $(FAST)

test-matrix: setup  ## what reads videos, by every Python that is here and every PyAV that is allowed: docs/versions.md
	$(BIN)/python tests/matrix.py $(MATRIX)

docs: setup  ## the docs as a site in output/docs; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

release-check: setup  ## build the wheel and the source archive in output/dist, and check what PyPI would show
	rm -rf output/dist
	$(BIN)/python -m build --quiet --outdir output/dist .
	$(BIN)/twine check --strict output/dist/*

lint: setup  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the targets made
	rm -rf $(VENV) .venv-* output build dist *.egg-info
