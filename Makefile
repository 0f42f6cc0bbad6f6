# make run    a real series, predicted: installs into .venv, replays, compares, writes a report, serves the live page
# make lab    JupyterLab on the notebooks
# make test   everything that CI runs: lint, types, architecture, notebooks, tests
# make checks | lint | notebooks | unit    the parts of it; checks is lint and notebooks, lint is style, imports and types
# make browser | redis | postgres    where there is none: Chromium for the tests of the pages, servers for those of stores
# make soak   campaigns of kills, long streams and fuzzed files in full, of which the tests have small ones (two hours)
# make bench  the tables of accuracy, alarms, speed, live view, snapshots, stores, service, tuning ... (two hours)
# make bundle  the browser's half anew from widgets/js, after a change there (needs npm)
# make pins   compile requirements*.txt and environment.yml anew from pyproject.toml
# make clean  remove .venv and everything generated
#
# Another interpreter: make PYTHON=python3.12 run.  More test processes: make WORKERS=8 test.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
PYTEST_ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
REPORTS := build/reports

export PYTHONUTF8 = 1

# Notebooks and tests share their compiled programs and keep them inside the project.  The flags are a part of what a
# program is known by, so that both have those of tests/conftest.py.
XLA_CACHE := $(CURDIR)/.pytest_cache/xla
notebooks unit: export JAX_COMPILATION_CACHE_DIR ?= $(XLA_CACHE)
notebooks unit: export USPNB_CACHE_DIR ?= $(XLA_CACHE)
notebooks unit: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
notebooks unit: export XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=1

.DEFAULT_GOAL := help
.PHONY: help run lab test checks lint style imports types notebooks unit browser redis postgres bench soak bundle pins install install-test clean

help:
	@sed -n '/^# make/,/^# Another/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

run: $(VENV)/run.stamp
	$(BIN)/uspnb demo --serve

lab: $(VENV)/run.stamp
	$(BIN)/uspnb lab

test: checks unit

# Lint beside the notebooks, each on a core; the notebooks compile programs that the tests then find.
checks: $(VENV)/test.stamp
	@$(MAKE) --no-print-directory --jobs 2 lint notebooks

lint: style imports types

style: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

imports: $(VENV)/test.stamp
	$(BIN)/lint-imports --no-logo --no-cache

# Pyright and its node come from the pins; without these variables it would ask the network for newer ones.
types: $(VENV)/test.stamp
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(BIN)/python

# The kernel of a notebook inherits this environment; without notebooks there is nothing to check.
notebooks: $(VENV)/test.stamp
	@mkdir -p $(REPORTS)
	@if ls notebooks/*.ipynb > /dev/null 2>&1; then \
	    JAX_PLATFORMS=cpu PYDEVD_DISABLE_FILE_VALIDATION=1 $(BIN)/python -m pytest --nbval-lax --nbval-current-env \
	        --nbval-cell-timeout 1200 --timeout 3600 --junitxml $(REPORTS)/notebooks.xml notebooks; \
	else echo "no notebooks yet"; fi

# Chromium for the tests of the pages; a machine that has one keeps it.
browser: $(VENV)/test.stamp
	@.ci/browser.sh $(BIN)/python

# A Redis server for the tests of the stores, on the loopback address while they run.
redis:
	@.ci/redis.sh

# A PostgreSQL server for the tests of campaigns that several machines share; likewise, on a socket in a folder.
postgres:
	@.ci/postgres.sh

unit: $(VENV)/test.stamp browser redis postgres
	@mkdir -p $(REPORTS)
	$(BIN)/python -m pytest -rs -n $(WORKERS) --dist loadfile --no-loadscope-reorder --junitxml $(REPORTS)/unit.xml $(PYTEST_ARGS)

bench: $(VENV)/test.stamp
	@for name in accuracy intervals alarms roughness speed gpu session fleet live_view pages snapshots stores telemetry \
	    service tuning campaigns mutation closed_loop fanout panels covariates league; do \
	    echo "== $$name"; $(BIN)/python benchmarks/$$name.py || exit 1; \
	done

# Kills and cuts of campaigns, runs, changes of settings and services, a million ticks, 100,000 mutated files, an hour of
# a deployed service, and new examples for every property that the tests state.
soak: $(VENV)/test.stamp redis postgres
	@set -e; soak() { echo "== $$*"; name=$$1; shift; $(BIN)/python benchmarks/$$name.py --stages "$$@"; }; \
	soak campaigns kills cuts shared; soak snapshots kill fuzz; soak mutation phases kills writers; \
	soak service shutdown kill determinism; soak endurance restart drip soak; soak session long; soak telemetry stall; \
	soak fanout loss
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $$(grep -rl "^@given" tests)

# The bundles are committed: only a change of the JavaScript needs npm, and with it the exact esbuild of the lock file.
bundle:
	@command -v npm > /dev/null || { echo "make bundle needs npm, which comes with Node.js" >&2; exit 1; }
	cd widgets/js && npm ci --no-audit --no-fund && npm run build

install: $(VENV)/run.stamp
install-test: $(VENV)/test.stamp

$(VENV)/created.stamp:
	@command -v $(PYTHON) > /dev/null || { \
	    echo "uspnb needs Python 3.11 or newer, and there is no $(PYTHON); name one: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "uspnb needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/run.stamp: requirements.txt pyproject.toml | $(VENV)/created.stamp
	@echo "installing the exact versions of requirements.txt into $(VENV) (a few minutes, once)"
	@$(PIP) install --require-hashes --no-deps -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/test.stamp: requirements-test.txt pyproject.toml | $(VENV)/created.stamp
	@echo "installing the exact versions of requirements-test.txt into $(VENV) (a few minutes, once)"
	@$(PIP) install --require-hashes --no-deps -r requirements-test.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# One resolution for Python 3.11 to 3.13 on every system; the smaller file takes its versions from the larger.
# Versions stay as they are while they fit; `make pins UPGRADE=--upgrade` takes the newest.
UV ?= $(BIN)/uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --fork-strategy fewest --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make pins" $(UPGRADE)
pins:
	@command -v $(UV) > /dev/null || { \
	    echo "make pins needs uv: make install-test puts it into $(VENV), or name one: make UV=uv pins" >&2; exit 1; }
	$(COMPILE) --group build --extra demo --extra test --extra dev --output-file requirements-test.txt
	$(COMPILE) --group build --extra demo --constraint requirements-test.txt --no-annotate --output-file requirements.txt
	$(PYTHON) .ci/environment.py

clean:
	rm -rf $(VENV) widgets/js/node_modules build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
