# Everything runs in environments that this file builds; a machine needs Python 3.11 or newer, pip and make.
# A stamp file marks a finished install, so a second `make` starts at once and a changed pin reinstalls.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
MINIMAL := .venv-minimal
RUN := $(VENV)/bin/python
# Many small operations: one thread each and two processes beat two threads.
WORKERS ?= 2
test test-long test-minimal: export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-minimal lint format docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed  ## build .venv with every optional library

demo: $(VENV)/.installed  ## audit real models, write demo.html; train one relaxed, project, confirm
	$(RUN) -m examples.demo --html demo.html
	$(RUN) -m examples.training

test: $(VENV)/.installed  ## run the tests and the doctests
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-minimal: $(MINIMAL)/.installed  ## the same tests with numpy 2 and no optional library
	$(MINIMAL)/bin/python -m pytest -n $(WORKERS) --doctest-ignore-import-errors $(ARGS)

lint: $(VENV)/.installed  ## check format, lint and types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: $(VENV)/.installed  ## rewrite the code in the project's format
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.installed  ## build the documentation into site/
	$(RUN) -m mkdocs build --strict --quiet

bench: $(VENV)/.installed  ## measure what an audit costs beside plain forwards, e3nn and escnn
	$(RUN) -m benchmarks $(ARGS)

clean:  ## remove environments, caches and build output
	rm -rf $(VENV) $(MINIMAL) site build dist demo.html *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(call create,<folder>): an empty environment with the pinned pip.
define create
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@rm -f $(1)/.installed
	@test -x $(1)/bin/python || { echo "creating $(1) with $(PYTHON)"; $(PYTHON) -m venv $(1); }
	@$(1)/bin/python -m pip install --quiet --upgrade -c constraints.txt pip
endef

# escnn goes in without its own requirements: one of them needs a Fortran compiler and is never imported.
# It stops at Python 3.11, where the last wheels of lie_learn are; the tests that use it skip elsewhere.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(call create,$(VENV))
	@echo "installing into $(VENV); the first time takes some minutes"
	@$(RUN) -m pip install --quiet -c constraints.txt -e ".[all]" --group test --group lint --group docs
	@if $(RUN) -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
	  $(RUN) -m pip install --quiet --no-deps -c constraints.txt escnn; \
	else echo "escnn is left out: it needs Python 3.11"; fi
	@touch $@

$(MINIMAL)/.installed: pyproject.toml constraints.txt constraints-minimal.txt
	$(call create,$(MINIMAL))
	@echo "installing into $(MINIMAL)"
	@$(MINIMAL)/bin/python -m pip install --quiet -c constraints-minimal.txt -e . --group test-minimal
	@touch $@
