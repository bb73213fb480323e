# Every verb of the project. `make` alone prints them.
SHELL := bash
UV_VERSION := 0.13.8
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
PYTHON := .venv/bin/python
MOVED := $(wildcard tests/serving/test_effects_s*.py)
APART := tests/serving/% tests/jobs/% tests/test_architecture.py
REST = $(sort $(filter-out $(APART),$(shell find tests -name "test_*.py"))) $(MOVED) # all end together
WITH_RAY = $(shell grep -rl "mark\.ray" tests --include "test_*.py")
export FUNNELCAST_HOME ?= $(CURDIR)/.workspace
export RAY_ENABLE_UV_RUN_RUNTIME_ENV := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo serve check format test drill bench clean

help: ## print these verbs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: .venv/.ready ## install what uv.lock pins into .venv

demo: setup ## synthetic company to report: ingest, materialize, train, score, simulate, report; kernels compiled
	@$(PYTHON) -m jobs.pipeline --pipeline demo
	@$(PYTHON) -m serving.compiled

serve: setup ## decision service on http://127.0.0.1:8000 (run the demo first)
	@$(PYTHON) -m serving

check: setup ## ruff, mypy, import contracts, size budgets and the other rules of the architecture
	@.venv/bin/ruff format --check -q . && .venv/bin/ruff check -q . && echo "ruff: ok"
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m pytest tests/test_architecture.py

format: setup ## format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

test: setup ## every test but the drills and what make check looks at, in three processes
	@mkdir -p .workspace
	@$(PYTHON) -m pytest -m "not drill and (ray or beside)" tests/jobs $(WITH_RAY) >.workspace/test-beside.log 2>&1 & \
	beside=$$!; \
	$(PYTHON) -m pytest -m "not drill and not ray" tests/serving $(MOVED:%=--ignore %) >.workspace/test-serving.log 2>&1 & \
	serving=$$!; trap "kill -INT $$beside $$serving" INT TERM; \
	PYTHONUNBUFFERED=1 $(PYTHON) -m pytest -m "not drill and not ray and not beside" \
	$(REST) 2>&1 | tee .workspace/test.log; here=$${PIPESTATUS[0]}; \
	wait $$serving; there=$$?; wait $$beside; there=$$((there + $$?)); \
	tail -n 40 .workspace/test-serving.log .workspace/test-beside.log; \
	grep -hE "^(FAILED|ERROR) " .workspace/test.log; exit $$((here + there))

drill: setup ## the long versions of the tests
	@$(PYTHON) -m pytest -m drill

bench: setup ## NAME=x: figures of tests/bench/bench_x.py into docs/figures/x.json
	@$(PYTHON) -m tests.bench $(NAME)

clean: ## remove the workspace and caches (not .venv)
	@rm -rf .workspace .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/.ready: uv.lock pyproject.toml .python-version
	@command -v uv >/dev/null || test -x .uv/bin/uv || \
		{ python3 -m venv .uv && .uv/bin/pip install -q uv==$(UV_VERSION); }
	@$(UV) sync --locked -q
	@touch $@
