# One command on the desk and in CI. Each target sets up what it needs, once, in .venv: a machine
# with python3 and make is enough. A changed pyproject.toml sets up again.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DIR    ?=
ARGS   ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check bench bench-quick fmt lint types docs drawings coverage crash soak clean


help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Crawl a folder, die in the middle, recover, prove it  [DIR=…]
	@$(BIN)/python examples/02_crawl.py $(if $(DIR),"$(DIR)")

test: $(VENV)/.dev ## Run the tests on asyncio and trio  [ARGS="-k name"]
	$(BIN)/pytest $(ARGS)

check: lint types drawings coverage ## All that CI checks: format, lint, types, docs, examples, tests, coverage
	@echo "All is well."

bench: $(VENV)/.dev $(VENV)/.peers ## Measure, with baselines and peers in the same run  [ARGS="-k name"]
	$(BIN)/pytest bench $(BENCH) $(ARGS)

bench-quick: $(VENV)/.dev ## The same in two or three minutes, for orientation
	$(BIN)/pytest bench $(BENCH) --quick $(ARGS)

fmt: $(VENV)/.dev ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

lint: $(VENV)/.dev ## Check format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/.dev ## Check types with mypy and pyright, both strict
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: drawings ## Check that drawings are up to date and that code in the docs runs
	$(BIN)/pytest tests/docs

crash: $(VENV)/.dev ## Kill it, cut its power, break its disk, for an hour; as root, on Linux  [ARGS="-k name"]
	@test -x /usr/bin/strace -a -x /sbin/mkfs.xfs || test "$$(id -u)" != 0 || \
	    (apt-get update -qq && apt-get install -y -qq strace xfsprogs)
	ACTORQ_CRASH_ROUNDS=$${ACTORQ_CRASH_ROUNDS:-1000} ACTORQ_CRASH_CUTS=$${ACTORQ_CRASH_CUTS:-200} \
	    $(BIN)/pytest tests/crashes -m "crash or not crash" -s $(ARGS)

soak: $(VENV)/.dev ## Load with restarts: nothing grows  [MINUTES=10]
	MINUTES=$${MINUTES:-10} $(BIN)/python tests/crashes/soak.py

clean: ## Remove all that was made, .venv too
	rm -rf $(VENV) build dist .benchmarks .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +


BENCH := --benchmark-only --benchmark-group-by=group --benchmark-sort=name \
         --benchmark-columns=min,median,iqr,max,ops,rounds

# Each script in docs/ draws something from the code; --check fails if the drawing is an old one.
drawings: $(VENV)/.dev
	@for script in $(wildcard docs/*.py); do \
	    echo $(BIN)/python $$script --check; $(BIN)/python $$script --check || exit; done

coverage: $(VENV)/.dev
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage report --include='actorq/core/*,actorq/store/*' --fail-under=100


# A stamp for each group of pyproject.toml: the demo need not wait for the tools of the developer.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.peers: $(VENV)/.%: pyproject.toml | $(VENV)/.pip
	@echo "Setting up $(VENV) ($*), once …"
	@$(BIN)/python -m pip install --quiet --editable . --group $*
	@touch $@

# pip knows groups since 25.1; an older one comes with Python 3.11 to 3.13.
$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("actorq needs Python 3.11 or newer: make PYTHON=python3.x …")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@
