# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
REPRODUCTIONS := autoencoder csgm ddpm gan nota rbm regene vae
GENRUN := $(BIN)/genrun
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: help install demo test test-all bench bench-quick bench-compare lint format \
	reproduce-all reproduce-check reproduce-miniature $(REPRODUCTIONS:%=reproduce-%)
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"genrun needs Python 3.11 to 3.13, this is {v.major}.{v.minor}: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(UV) --editable .
	@touch $@

.venv/.testable: .venv/.installed
	$(UV) --editable '.[test]'
	@touch $@

.venv/.benchable: .venv/.installed
	$(UV) --editable '.[bench]'
	@touch $@

install: .venv/.installed  ## make .venv and install genrun in it

demo: install  ## train CSGM on scikit-learn's digits, two to three minutes, no download
	$(GENRUN)

# Each library is compiled once, not in each of the many processes that the tests start
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist worksteal

test: .venv/.testable lint  ## the suite that CI runs
	$(PYTEST) -m 'not slow' -rfEs

test-all: .venv/.testable lint  ## the longer suite
	$(PYTEST)

# compiled modules are kept, as on most machines: without them each start of torch would compile it again
BENCH := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m scripts.bench

bench: .venv/.benchable  ## what genrun costs, as ratios measured on this machine; writes bench.json (an hour)
	$(BENCH) --json bench.json

bench-quick: .venv/.benchable  ## the important rows of the bench, in two minutes; writes nothing
	$(BENCH) --quick

bench-compare: .venv/.benchable  ## measure again, and fail if a ratio is worse than in bench.json; or take NEW=other.json
	$(BENCH) --compare bench.json $(if $(NEW),--measured $(NEW))

lint: .venv/.testable
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.testable  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

reproduce-all: install  ## run what the documents report, and hold it against what is expected; also reproduce-csgm, …
	$(GENRUN) reproduce all

reproduce-check: install  ## the same verdicts on what is there, without running anything
	$(GENRUN) reproduce all --check

reproduce-miniature: install  ## tiny runs of every target, two minutes
	$(GENRUN) reproduce all --miniature

$(REPRODUCTIONS:%=reproduce-%): reproduce-%: install
	$(GENRUN) reproduce $*
