# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
GENRUN := $(BIN)/genrun
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: help install demo test test-all bench lint format csgm-mnist csgm-mnist-paper generative-imaging generative-imaging-paper autoencoder regene nota
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

bench: .venv/.benchable  ## what genrun costs, as ratios measured on this machine
	$(BIN)/python scripts/bench.py
	$(BIN)/python scripts/bench_judge.py
	$(BIN)/python scripts/bench_generators.py
	$(BIN)/python scripts/bench_mixtures.py
	$(BIN)/python scripts/bench_sweeps.py
	$(BIN)/python scripts/bench_runs.py
	$(BIN)/python scripts/bench_regene.py
	$(BIN)/python scripts/bench_nota.py

lint: .venv/.testable
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.testable  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

csgm-mnist: install  ## CSGM on MNIST, ten minutes on two cores
	$(GENRUN) model=csgm data=mnist

csgm-mnist-paper: install  ## CSGM on MNIST as published, for the same time
	$(GENRUN) experiment=csgm_mnist_paper

generative-imaging: install  ## RBM, GAN, VAE, DDPM and flow matching on MNIST, about an hour on two cores
	for model in rbm gan vae ddpm flow_matching; do $(GENRUN) model=$$model data=mnist || exit; done

generative-imaging-paper: install  ## RBM, GAN and VAE on MNIST as published, an hour (its DDPM: model=ddpm_paper, half a day)
	for model in rbm_paper gan_paper vae_paper; do $(GENRUN) model=$$model data=mnist || exit; done

autoencoder: install  ## the autoencoder on MNIST, and five other priors for its codes
	$(GENRUN) model=autoencoder data=mnist run.name=reference
	for k in 1 10 100 250 500; do $(GENRUN) refit outputs/autoencoder-mnist/reference model.prior.components=$$k || exit; done

regene: install  ## ReGene on MNIST, Fashion-MNIST and 10,000 images of CIFAR-10, three hours on two cores that are busy besides
	for data in mnist fashion_mnist cifar10; do $(GENRUN) experiment=regene_$${data}_small || exit; done

nota: install  ## NOTA on the Swiss roll and MNIST: from a mixture, from N(0, I), and as published, an hour on two cores
	$(GENRUN) experiment=nota_swiss_roll
	$(GENRUN) model=nota data=mnist
	$(GENRUN) model=nota_tiled data=mnist
	$(GENRUN) model=nota_poster data=mnist sample.n=1000 evaluation=quick
