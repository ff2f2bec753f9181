# arbstream. `make` alone lists the targets. Each is also a plain command in README.md.
.DEFAULT_GOAL := help
.PHONY: help demo test check bench research sim chaos drill drill-feeds soak up down logs venues lint types clean imports

# pyenv and the like leave names on PATH that do not run: take the first that really is new enough.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LINT_READY := $(VENV)/.ready-lint
BROWSER_READY := $(VENV)/.ready-browser
SECONDS_ARG = $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))
SEED ?= 7
PORT ?= 8090

help: #-- list the targets
	@grep -hE '^[a-z]+:.*#--' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*#-- (.*)/  make \1\t\2/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "arbstream needs Python 3.11 or newer on PATH; none was found" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module; install it (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "set-up, once: $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]' || { echo "pip could not install the dependencies (see above); it needs a package index or a mirror" >&2; exit 1; }
	@touch $@

$(LINT_READY): $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[lint]'
	@touch $@

$(BROWSER_READY): $(READY)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@touch $@

demo: $(READY) #-- simulated exchanges and five services, live on this terminal (DEMO_SECONDS=60 SEED=7 STRATEGIES=all)
	@$(BIN)/arb demo --seed $(SEED) $(SECONDS_ARG) $(if $(STRATEGIES),--strategies "$(STRATEGIES)")

test: $(READY) #-- every test that needs no containers
	@$(BIN)/python -m pytest -n 2 -m "not containers"

lint: $(LINT_READY) #-- ruff: rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(LINT_READY) #-- mypy --strict on shared and services
	@$(BIN)/mypy --strict

imports: $(LINT_READY)
	@$(BIN)/lint-imports --no-logo

check: lint types imports test #-- what CI runs, without containers

bench: $(READY) #-- measure decode, bus and the whole path against the alternatives: table and JSON
	@$(BIN)/python -m tests.bench

research: $(READY) #-- parameter searches and a backtest on made-up data, with reports to open (OUT=DIR)
	@$(BIN)/python -m services.research example --out $(or $(OUT),.arb/research)
	@$(BIN)/arb backtest $(or $(OUT),.arb/research)/arb.toml --data $(or $(OUT),.arb/research)/market \
		--out $(or $(OUT),.arb/research)/backtest
	@$(BIN)/arb optimize $(or $(OUT),.arb/research)/arb.toml --data $(or $(OUT),.arb/research)/market \
		--out $(or $(OUT),.arb/research)/study

sim: $(READY) #-- the whole system simulated, crashes and faults included (SEED=7 or SEEDS=1..100, STRATEGIES=all)
	@$(BIN)/arb sim --seeds $(or $(SEEDS),$(SEED)) --strategies $(or $(STRATEGIES),drawn)

chaos: $(READY) #-- random faults on the stack in containers, and whether the books agree after them (FAULTS=30 SEED=7 REDIS=single)
	@$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),30) --seed $(SEED) --redis $(or $(REDIS),sentinel)

drill: $(READY) #-- every fault of market data at every simulated venue, judged by what the books really were (SEED=7 ROUNDS=3 OUT=FILE)
	@$(BIN)/python -m tests.drill --seed $(SEED) --rounds $(or $(ROUNDS),1) $(if $(OUT),--json $(OUT))

drill-feeds: $(READY) #-- two ingestors of each venue that can have them, either killed at random, every view judged (SECONDS=600 SEED=7 OUT=FILE)
	@$(BIN)/python -m tests.drill.two_feeds --seconds $(or $(SECONDS),600) --seed $(SEED) $(if $(OUT),--json $(OUT))

soak: $(BROWSER_READY) #-- the whole system for hours, sampled and hurt every now and then, with a report (HOURS=24 SEED=7 OUT=DIR)
	@$(BIN)/python -m tests.soak --hours $(or $(HOURS),24) --seed $(SEED) --out $(or $(OUT),.arb/soak)

venues: $(READY) #-- simulated exchanges alone, for any client (PORT=8090 SEED=7)
	@$(BIN)/arb run venuesim --port $(PORT) --seed $(SEED)

up: #-- the stack in containers with simulated exchanges (docker compose)
	@docker compose --profile demo up --build --detach --wait
	@docker compose ps

down: #-- stop the containers; their data stays
	@docker compose --profile demo down

logs: #-- follow the containers' logs
	@docker compose --profile demo logs --follow --tail 50

clean: #-- remove virtual environments and caches
	@rm -rf $(VENV) .bench-venv .bench-venv-bars .bench-venv-nautilus .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
