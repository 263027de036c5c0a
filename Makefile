# Everything runs in environments that this file builds; a machine needs Python 3.11 or newer, pip and make.
# A stamp file marks a finished install, so a second `make` starts at once and a changed pin reinstalls.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python; do \
  $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
MINIMAL := .venv-minimal
RUN := $(VENV)/bin/python
# Many small operations: one thread each and two processes beat two threads.
WORKERS ?= 2
demo test test-long test-minimal: export OMP_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long test-all test-minimal test-machines lint format docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed  ## build .venv with every optional library

demo: $(VENV)/.installed  ## audit real models, write demo.html; train one relaxed, project, confirm
	@$(RUN) -u -m examples.demo --html demo.html --train

# Where escnn can't be installed, neither can the modules be imported that adapt it.
PYTEST = $(RUN) -m pytest -n $(WORKERS) --dist worksteal $(if $(wildcard $(VENV)/lib/python*/site-packages/escnn),,--doctest-ignore-import-errors)

test: $(VENV)/.installed  ## run the tests and the doctests, but for the long ones
	@$(PYTEST) $(ARGS)

test-long: $(VENV)/.installed  ## run the long tests: full grids, browsers, experiments, several processes
	@command -v chromedriver > /dev/null || echo "browser tests are skipped without a browser; on Debian: apt-get install chromium chromium-driver"
	@$(PYTEST) -m long $(ARGS)

test-all: test test-long  ## run all tests

test-machines: $(VENV)/.installed  ## run the tests that depend most on rounding as on other processors
	@$(RUN) -m tests.machines $(ARGS)

test-minimal: $(MINIMAL)/.installed  ## the same tests with numpy 2 and no optional library
	@$(MINIMAL)/bin/python -m pytest -n $(WORKERS) --doctest-ignore-import-errors $(ARGS)

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

# $(call step,<what>,<command>): one line with the seconds that it took; what the command prints is shown where it fails.
define step
@printf '  %-30s ' '$(1)'; begun=$$(date +%s); log=$$(mktemp); \
if $(2) > $$log 2>&1; then rm -f $$log; echo "$$(($$(date +%s) - begun)) s"; \
else echo failed; cat $$log; rm -f $$log; exit 1; fi
endef

# $(call create,<folder>): an empty environment with the pinned pip.
define create
@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
@rm -f $(1)/.installed
@echo "setting up $(1) with $(PYTHON), once; some minutes"
$(call step,environment,{ test -x $(1)/bin/python || $(PYTHON) -m venv $(1); })
$(call step,pip,$(1)/bin/python -m pip install --upgrade -c constraints.txt pip)
endef

# escnn goes in without its own requirements: one of them needs a Fortran compiler and is never imported.
# It stops at Python 3.11, where the last wheels of lie_learn are; the tests that use it skip elsewhere.
ESCNN := 'escnn; python_version < "3.12"'
$(VENV)/.installed: pyproject.toml constraints.txt
	$(call create,$(VENV))
	$(call step,torch,$(RUN) -m pip install -c constraints.txt torch)
	$(call step,libraries and tools,$(RUN) -m pip install -c constraints.txt -e ".[all]" --group test --group lint --group docs)
	$(call step,escnn,$(RUN) -m pip install --no-deps -c constraints.txt $(ESCNN))
	@$(RUN) -c 'import sys; sys.version_info < (3, 12) or print("  escnn is left out: it needs Python 3.11")'
	@touch $@

$(MINIMAL)/.installed: pyproject.toml constraints.txt constraints-minimal.txt
	$(call create,$(MINIMAL))
	$(call step,torch,$(MINIMAL)/bin/python -m pip install -c constraints-minimal.txt torch)
	$(call step,library and pytest,$(MINIMAL)/bin/python -m pip install -c constraints-minimal.txt -e . --group test-minimal)
	@touch $@
