# Everything a developer does. The environment lives in .venv and is built on first need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-slow lint format smoke docs lock clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## build .venv from constraints.txt (does nothing when it is up to date)

# Modules are compiled when first imported: most never are, and compiling all takes as long as copying them.
# The stamp comes last: a set-up that was interrupted is taken up again, and no other target reinstalls anything.
# torch has a line of its own because it is the long download; pip takes its pinned version from constraints.txt.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "dadsp needs Python 3.11 or newer; '$(PYTHON)' is not. Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) \
		|| { echo "No virtual environment could be made in $(VENV). Install Python's venv module (Debian: python3-venv)." >&2; exit 1; }
	@echo "Installing into $(VENV) (first torch, then the rest)"
	@$(BIN)/python -m pip install -qq --no-compile --constraint constraints.txt torch
	@$(BIN)/python -m pip install -qq --no-compile --constraint constraints.txt --editable '.[dev,docs,launchers]'
	@touch $@

# Two systems at a time. The tables of the single runs lie in their folders; the terminal gets the one that compares them.
run: $(READY)  ## three systems on the embedded study and which to use (make run ARGS="seed=1" changes settings)
	@$(BIN)/dadsp train -m experiment=first_look hydra/launcher=parallel $(ARGS) >/dev/null
	@$(BIN)/dadsp compare runs=runs/sweeps/first_look brief=true out=runs/first_look

smoke: $(READY)  ## a whole run on simulated screens, in about a minute
	@$(BIN)/dadsp train experiment=smoke $(ARGS)

test: $(READY)  ## unit and quick integration tests (make test ARGS="-k split" chooses some)
	@$(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile $(ARGS)

test-slow: $(READY)  ## the slow tests: servers, the built wheel, real data
	@$(BIN)/pytest -q -m slow -n auto --maxprocesses 8 --dist loadfile $(ARGS)

lint: $(READY)  ## ruff, formatting, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(READY)  ## mend what ruff can mend by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(READY)  ## build the documentation; open build/docs/index.html
	@$(BIN)/sphinx-build -c docs -q -W --keep-going . build/docs
	@echo "build/docs/index.html"

lock: $(READY)  ## write the installed versions into constraints.txt, below its heading
	@{ sed -n '/^#/p' constraints.txt; \
		$(BIN)/python -m pip freeze --all --exclude-editable | sed -E '/^(pip|wheel)==/d; s/\+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(READY)

clean:  ## remove caches and build products; .venv and runs/ stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find dadsp tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +
