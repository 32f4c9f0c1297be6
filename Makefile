# `make` alone lists the targets. Each sets up what it needs first, and is fast when nothing changed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON := .venv/bin/python
INTERPLAY := .venv/bin/interplay

.PHONY: help demo up check test e2e bench bench-peers client kafka up-cluster down-cluster wheel docs format unit seek simulate lock clean setup

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## Review triage by real models over real reviews, with a worker killed halfway (under 3 minutes)
	@$(PYTHON) -m examples.demo

up: setup ## Start everything on this machine and print its address; Ctrl-C ends it
	@$(INTERPLAY) up

check: setup ## Format, lint, types, imports, architecture and unit tests (about a minute)
	@$(PYTHON) -m tools.run_phases check

test: setup ## Everything that `check` does and every other test; what continuous integration runs
	@$(PYTHON) -m tools.run_phases test

e2e: setup ## Only the tests that use the product from outside, as its users do
	@$(PYTHON) -m tools.run_phases e2e

bench: setup ## Measure against the bars: SCENARIO=engine|flow-http|startup|takeover|scale|gateway|gateway-stream|gateway-large|gateway-many|gateway-memory|gateway-routes|gateway-faults|kafka, QUICK=1 for a short one
	@$(PYTHON) -m benchmarks $(if $(SCENARIO),$(SCENARIO)) $(if $(QUICK),--quick)

bench-peers: setup ## The same work on other systems, installed below .cache/peers: SCENARIO=engine|flow-http, QUICK=1
	@$(PYTHON) -m benchmarks peers $(if $(SCENARIO),$(SCENARIO)) $(if $(QUICK),--quick)

client: setup ## Write the OpenAPI document that clients are generated from
	@$(PYTHON) -m tools.write_reference openapi.json

kafka: setup ## A real Kafka on this machine, PORT=9092; Ctrl-C ends it
	@$(PYTHON) -m tools.kafka $(PORT)

up-cluster: setup ## Every service as processes of its own on this machine, with PostgreSQL and Kafka; prints where
	@$(PYTHON) -m tools.cluster up

down-cluster: setup ## End what up-cluster started; its data stays below .cache/cluster
	@$(PYTHON) -m tools.cluster down

wheel: setup ## Build the wheel into dist/
	@.cache/uv/bin/uv build --quiet --wheel --out-dir dist

docs: setup ## Write the reference pages again from the code
	@$(PYTHON) -m tools.write_reference

format: setup ## Mend formatting and what the linter can mend by itself
	@$(PYTHON) -m ruff check --fix --quiet . && $(PYTHON) -m ruff format .

unit: setup ## Only the unit tests
	@$(PYTHON) -m pytest tests/unit -q

seek: setup ## Property tests with new random examples, ROUNDS=5 times; the fixed ones are in `check`
	@for round in $$(seq $(or $(ROUNDS),5)); do \
		$(PYTHON) -m pytest tests/unit -m hypothesis -n auto -q --hypothesis-profile=seek --hypothesis-seed=random || exit 1; done

simulate: setup ## The protocol of runs under faults drawn from SEEDS=10000 seeds, in simulated time; 200 of them are in `test`
	@$(PYTHON) -m tests.simulation $(or $(SEEDS),10000) $(FROM)

lock: setup ## Resolve the dependencies anew into uv.lock
	@.cache/uv/bin/uv lock --upgrade

clean: ## Remove what the other targets made in this folder
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

setup:
	@tools/bootstrap
