# The ways in. `make` alone lists them. Works with make 3.81 and any POSIX shell; needs python3 >= 3.11.
#
# One environment, .venv, grown in two steps: `.core` is memlab and its three dependencies (seconds; enough
# for the demo), `.full` adds JupyterLab, matplotlib, pandas and the tools of development.
#
#   make test PYTHON=python3.12   another interpreter (for a new .venv)
#   make test LOCKED=1            exactly the versions and hashes of requirements.lock

PYTHON ?= python3
VERSIONS ?= 3.11 3.12 3.13
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
FULL := $(VENV)/.full$(if $(LOCKED),-locked)
# The C extension is built when memlab is installed, and anew when its source changed.
BUILT := pyproject.toml setup.py $(wildcard memlab/_native/*.c)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# uv where it can be had, else pip: the same result, sooner.
INSTALL := $(BIN)/python scripts/install.py

.DEFAULT_GOAL := help
.PHONY: help demo test lab check bench corpus test-all test-all-envs test-long test-random wheels html docs format lock environment sanitize clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(CORE)  ## Hunt the leak of a real published package, then its fixed version; writes two reports
	$(BIN)/python -m memlab demo --keep out/demo

test: $(FULL)  ## Run every test, or pytest with ARGS="..."; tests of the browser say when they lack Chromium
	$(BIN)/python $(if $(ARGS),-m pytest $(ARGS),scripts/run_tests.py)

lab: $(FULL)  ## Open JupyterLab on the notebooks
	$(BIN)/python -m memlab lab

check: $(FULL)  ## Lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-logo

bench: $(FULL)  ## Run the measurements behind docs/benchmarks.md
	@set -e; for file in $(filter-out benchmarks/corpus.py,$(wildcard benchmarks/*.py)); do \
	  echo "== $$file"; $(BIN)/python "$$file"; done

corpus: $(FULL)  ## Score the leak finder on real leaks of real packages (20 minutes, installs each of them)
	$(BIN)/python benchmarks/corpus.py

test-all:  ## Run the unit tests on each Python of VERSIONS that this machine has
	@UNIT='$(UNIT)' sh scripts/test_all.sh $(VERSIONS)

# Apart, since an installation builds the C extension in this folder, under the feet of tests that run.
test-all-envs:  ## Make the environments of test-all, and build the extension, without running a test
	@sh scripts/test_all.sh --prepare $(VERSIONS)

test-long: $(FULL)  ## Run the soak and fuzz tests too (an hour and more)
	MEMLAB_LONG=1 $(BIN)/python -m pytest --timeout 7200 $(ARGS)

test-random: $(FULL)  ## Run every test TIMES times (5), files and tests in another random order each; SEED=n for one
	$(BIN)/python scripts/run_tests.py --random $(or $(TIMES),5) $(if $(SEED),--seed $(SEED)) $(ARGS)

wheels: $(FULL)  ## Build wheels with and without the C extension; install, use and remove each on each Python of VERSIONS
	$(BIN)/python scripts/try_wheels.py $(VERSIONS)

html: $(FULL)  ## Execute the notebooks and export them to out/html, one offline file each and an index
	$(BIN)/python -m memlab export --execute --folder out/html notebooks/*.ipynb

docs: $(FULL)  ## Make the documentation as a folder of offline pages, out/docs
	$(BIN)/python scripts/make_docs.py out/docs

format: $(FULL)  ## Format the code and strip the notebooks' outputs
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	$(BIN)/python scripts/strip_notebooks.py notebooks/*.ipynb

lock: $(FULL)  ## Make requirements.lock anew
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --extra notebook --extra dev pyproject.toml --output-file requirements.lock

sanitize: $(FULL)  ## Run the C extension under sanitizers and valgrind (ten minutes; Linux, gcc or clang)
	sh scripts/sanitize.sh $(BIN)/python

environment: $(FULL)  ## Make environment.yml anew from pyproject.toml
	$(BIN)/python scripts/make_environment.py

clean:  ## Remove environments, caches and what runs left
	rm -rf .venv .venv-3.* memlab-demo out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	find memlab tests scripts benchmarks data notebooks docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "memlab needs Python 3.11 or newer, and '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(CORE): $(BUILT) | $(BIN)/python
	@echo "installing memlab (three dependencies)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.full: $(BUILT) | $(CORE)
	@echo "installing JupyterLab, matplotlib, pandas and the tools of development (half a minute; two with pip)"
	@$(INSTALL) -e '.[notebook,dev]'
	@touch $@

# The lock pins what memlab needs at run time; memlab itself is this folder, built by setuptools in isolation.
$(VENV)/.full-locked: requirements.lock $(BUILT) | $(BIN)/python
	@echo "installing exactly what requirements.lock names (half a minute; two with pip)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps -e .
	@touch $@ $(CORE) $(VENV)/.full
