# Only Python >= 3.11 and make are assumed; everything else is installed into .venv.
#
#   PYTHON   the Python that makes the environment (default: the first of python3, python3.13, ... that is new enough)
#   TORCH    what pip installs as PyTorch; may hold further arguments of pip
#   ARGS     further arguments of pytest (make test), of the demo (make demo) or of the benchmarks (make bench, zoo-small)
#   PARALLEL how pytest shares out its files; PARALLEL= for one process

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c "$(NEW_ENOUGH)" >/dev/null 2>&1 && { echo "$$p"; break; }; done)
# Exactly one version, installed together with the rest: a range could bring a second, larger build.
# Empty says nothing, so that a workflow can hand on a setting that may be absent.
TORCH := $(or $(TORCH),torch==2.13.0)
VENV ?= .venv
ARGS ?=
PARALLEL ?= -n auto --maxprocesses 8 --dist loadfile

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
INSTALL := $(PIP) install --quiet --prefer-binary
# uv does not read pip's configuration: where pip finds builds of its own, uv shall find them, too.
FIND_LINKS = UV_FIND_LINKS="$${UV_FIND_LINKS:-$$("$(PYTHON)" -m pip config get global.find-links 2>/dev/null | tr -s ' ' ,)}"

.PHONY: help demo demo-quick zoo-small test coverage lint types format bench wheel-check extras-check docs test-oldest clean

help:  ## show this
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target what; do \
		printf '  make %-12s %s\n' "$$target" "$$what"; done

demo: $(VENV)/.installed-demo  ## sign real ImageNet classifiers on real photographs and tell copies from others
	$(BIN)/python examples/demo.py $(ARGS)

demo-quick: $(VENV)/.installed-quick  ## the same in some minutes, on small CIFAR-10 models in ONNX
	$(BIN)/python examples/demo.py --quick $(ARGS)

zoo-small: $(VENV)/.installed-dev  ## train and reuse ResNet20s on CIFAR-10 and measure how far each is from the victim
	$(BIN)/python -m benchmarks.zoo.small $(ARGS)

test: $(VENV)/.installed-dev  ## run the tests, doctests included
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

coverage: $(VENV)/.installed-dev  ## run the tests and say which lines they leave out
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term --cov-report=xml $(ARGS)

lint: $(VENV)/.installed-dev  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev  ## check types
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.installed-dev  ## format, and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## measure signing against the bare model and the 2022 way (JSON in benchmarks/results)
	$(BIN)/python -m benchmarks.speed.sign $(ARGS)

docs: $(VENV)/.installed-dev  ## build the documentation site in site/; a broken link or reference fails
	$(BIN)/python scripts/tried.py --check
	NO_MKDOCS_2_WARNING=1 JAX_PLATFORMS=cpu $(BIN)/python -m mkdocs build --strict

wheel-check: $(VENV)/.installed-dev  ## build the wheel and use it from an empty directory, in an environment of its own
	$(BIN)/python scripts/wheel_check.py

extras-check: $(VENV)/.installed-dev  ## the same with every extra alone, each doing what it is for (ARGS: some of them)
	$(FIND_LINKS) TORCH='$(TORCH)' $(BIN)/python scripts/extras_check.py $(ARGS)

test-oldest: .venv-oldest/.installed  ## run the tests with the oldest dependencies that are allowed
	.venv-oldest/bin/python -m pytest $(PARALLEL) $(ARGS)

clean:  ## remove the environments and everything that was built
	rm -rf $(VENV) .venv-oldest .cache .pytest_cache .ruff_cache .coverage coverage.xml build dist site demo_output *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- environments; a stamp is older than pyproject.toml when the requirements may have changed -----------------------

define make-venv
@if [ -z "$(PYTHON)" ]; then \
	echo "No Python >= 3.11 was found ($$(python3 --version 2>&1 || true)). Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1; fi
@"$(PYTHON)" -c "$(NEW_ENOUGH)" || { \
	echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1 || true), but Python >= 3.11 is needed. Name another: make PYTHON=/path/to/python3.11" >&2; \
	exit 1; }
@echo "making $(@D) with $$("$(PYTHON)" --version)"
@"$(PYTHON)" -m venv --clear $(@D) || { \
	echo "\`$(PYTHON) -m venv\` failed; on Debian and Ubuntu it is a package of its own: apt install python3-venv" >&2; \
	exit 1; }
@touch $@
endef

$(VENV)/.made:
	$(make-venv)

$(VENV)/.installed-quick: $(VENV)/.made pyproject.toml
	$(INSTALL) -e '.[demo-quick]'
	@touch $@

$(VENV)/.installed-demo: $(VENV)/.made pyproject.toml
	$(INSTALL) $(TORCH) -e '.[demo]'
	@touch $@ $(VENV)/.installed-quick

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	$(INSTALL) $(TORCH) -e '.[dev]'
	@touch $@ $(VENV)/.installed-quick

.venv-oldest/.made:
	$(make-venv)

# pip tries version after version of what these pins leave open, for many minutes; uv finds the same in seconds.
.venv-oldest/.installed: .venv-oldest/.made pyproject.toml scripts/oldest_requirements.py
	"$(PYTHON)" scripts/oldest_requirements.py test docs notebooks > .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip --disable-pip-version-check --no-input install --quiet uv
	$(FIND_LINKS) .venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python $(TORCH) -r .venv-oldest/oldest.txt
	.venv-oldest/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps -e .
	@touch $@
