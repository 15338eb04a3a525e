# Everything a developer does. The environment lives in .venv and is built on first need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Where this is set, every process would compile all that it imports anew: 20 s of a core each.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-slow lint format smoke docs lock clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(READY)  ## build .venv from constraints.txt (does nothing when it is up to date)

# Modules are compiled when first imported: most never are, and compiling all takes as long as copying them.
# The stamp comes last: a set-up that was interrupted is taken up again, and no other target reinstalls anything.
# torch has a line of its own because it is the long download, beside the others where these are known by hash; pip takes its
# pinned version from constraints.txt.
# With HASHED=1 (as .ci/run does) every other file is checked against .ci/hashes.txt first, and the builds of a source archive and
# of dadsp itself use the packages so checked: the two lines after that then find everything there but torch.
HASHES := .ci/hashes.txt
INSTALL = $(BIN)/python -m pip install -qq --no-compile
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "dadsp needs Python 3.11 or newer; '$(PYTHON)' is not. Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) \
		|| { echo "No virtual environment could be made in $(VENV). Install Python's venv module (Debian: python3-venv)." >&2; exit 1; }
	@echo "Installing into $(VENV)$(if $(HASHED), by hash)"
ifdef HASHED
	@sed -n '/^setuptools==/,/[^\\]$$/p' $(HASHES) | $(INSTALL) --require-hashes --no-deps --requirement /dev/stdin
	@$(INSTALL) --no-deps --constraint constraints.txt torch & torch=$$!; \
		$(INSTALL) --require-hashes --no-deps --no-build-isolation --requirement $(HASHES) && wait $$torch
endif
	@$(INSTALL) --constraint constraints.txt torch
	@$(INSTALL) --constraint constraints.txt $(if $(HASHED),--no-build-isolation) --editable '.[dev,docs,launchers]'
	@touch $@

# Two systems at a time. The tables of the single runs lie in their folders; the terminal gets the one that compares them.
run: $(READY)  ## three systems on the embedded study and which to use (make run ARGS="seed=1" changes settings)
	@$(BIN)/dadsp train -m experiment=first_look hydra/launcher=parallel $(ARGS) >/dev/null
	@$(BIN)/dadsp compare runs=runs/sweeps/first_look brief=true out=runs/first_look

smoke: $(READY)  ## a whole run on simulated screens, in about a minute
	@$(BIN)/dadsp train experiment=smoke $(ARGS)

test: $(READY)  ## unit and quick integration tests (make test ARGS="-k split" chooses some)
	@$(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

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

# uv asks the index for the hashes of all files of a release, which pip cannot; it has an environment of its own.
lock: $(READY)  ## write the installed versions into constraints.txt, and the hashes of their files into .ci/hashes.txt
	@{ sed -n '/^#/p' constraints.txt; \
		$(BIN)/python -m pip freeze --all --exclude-editable | sed -E '/^(pip|wheel)==/d; s/\+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt
	@$(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -qq uv==0.13.9
	@{ sed -n '/^#/p' $(HASHES); sed '/^torch==/d' constraints.txt | build/lock/bin/uv pip compile -q --no-header --no-annotate \
		--no-deps --generate-hashes --python $(BIN)/python -; } > build/hashes.new
	@mv build/hashes.new $(HASHES)
	@$(BIN)/python docs/licences.py
	@touch $(READY)

clean:  ## remove caches and build products; .venv and runs/ stay
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find dadsp tests experiments -name __pycache__ -type d -prune -exec rm -rf {} +
