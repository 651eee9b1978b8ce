# One command per wish; `make help` lists them.  Needs Python 3.11 or newer, git and make.

SHELL   := bash
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STAMP   := $(VENV)/.setup
PEERS   := .venv-peers
KERNEL  := .venv-semantic-kernel
AUDITOR := .cache/security
PY      := $(BIN)/python
LOCK    := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
           --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help setup setup-providers check lint format test test-all conformance providers fuzz fault docs demo coverage bench peers semantic-kernel proto codes lock security shape release clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything a developer needs; quick when nothing has changed

$(STAMP): requirements/uv.lock requirements/dev.lock requirements/release.lock pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(PY) -m pip install --quiet --require-hashes --requirement requirements/uv.lock
	$(BIN)/uv pip sync --quiet --python $(PY) --require-hashes requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(PY) --no-deps --build-constraints requirements/release.lock --editable .
	$(PY) scripts/fetch_json_schema_suite.py
	$(PY) scripts/fetch_cel_suite.py
	@touch $@

setup-providers: $(STAMP)  ## install the real identity providers that tests run; Debian, as root
	$(PY) scripts/setup_providers.py

check: lint coverage docs  ## the gates: lint, tests with branch coverage (85 % in total and in each layer), docs

lint: $(STAMP)  ## style, types, layers, generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(PY) scripts/check_lock.py
	$(PY) scripts/generate_codes.py --check
	$(PY) scripts/freeze_schema.py --check
	$(PY) scripts/generate_settings_page.py --check
	$(PY) scripts/generate_lint_page.py --check
	$(PY) scripts/generate_types_page.py --check
	$(PY) scripts/generate_pipeline_schema.py --check
	$(PY) scripts/generate_reference.py --check
	$(PY) scripts/generate_proto.py --check

format: $(STAMP)  ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: $(STAMP)  ## the tests a developer runs all day: everything but slow ones, pages and real providers
	$(PY) -m pytest -m "not slow and not providers" --ignore tests/docs $(ARGS)

test-all: $(STAMP)  ## every test, slow ones and pages too
	$(PY) -m pytest $(ARGS)

conformance: $(STAMP)  ## the cases in spec/cases
	$(PY) -m pytest tests/conformance $(ARGS)

providers: $(STAMP)  ## the tests against real identity providers; `make setup-providers` installs those
	$(PY) -m pytest tests/providers $(ARGS)

fuzz: $(STAMP)  ## look for input that breaks the data model, for SECONDS=60
	$(PY) -m tests.fuzz.run --seconds $(or $(SECONDS),60)

fault: $(STAMP)  ## kill, stall, cut, corrupt and fill the disk
	$(PY) -m pytest -m fault tests/fault tests/e2e $(ARGS)

coverage: $(STAMP)  ## tests but faults and pages, with branches measured in every process; fails below 85 %
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not fault" --ignore tests/docs -n 2 --dist loadfile $(ARGS)
	$(BIN)/coverage combine --quiet
	$(PY) scripts/coverage_by_layer.py

docs: $(STAMP)  ## run every block of code in README and docs
	$(PY) -m pytest tests/docs $(ARGS)

demo: $(STAMP)  ## a governed call across processes, from nothing to a verified log
	$(BIN)/altar demo

bench: $(STAMP)  ## measure; AGAINST=<rev> compares with another commit and fails when latency is over 1.10 of it
ifdef AGAINST
	$(PY) scripts/bench_against.py $(AGAINST) $(ARGS)
else
	@$(MAKE) --no-print-directory $(PEERS)/.setup
	$(PY) -m bench.run --json .bench.json $(ARGS)
endif

peers: $(STAMP)  ## hold the documents of altar.adm.formats against the libraries of OpenAI, Anthropic, Google, MCP, OpenAPI
	@$(MAKE) --no-print-directory $(PEERS)/.setup
	$(PY) -m pytest -m peers tests/formats_real $(ARGS)

semantic-kernel: $(STAMP)  ## the tests of the adapter for Semantic Kernel, in the environment that it needs
	@$(MAKE) --no-print-directory $(KERNEL)/.setup
	$(KERNEL)/bin/python -m pytest tests/semantic_kernel $(ARGS)

$(KERNEL)/.setup: requirements/semantic-kernel.lock pyproject.toml
	test -x $(KERNEL)/bin/python || $(BIN)/uv venv --quiet --python $(PY) $(KERNEL)
	$(BIN)/uv pip sync --quiet --python $(KERNEL)/bin/python --require-hashes requirements/semantic-kernel.lock
	$(BIN)/uv pip install --quiet --python $(KERNEL)/bin/python --no-deps --build-constraints requirements/release.lock --editable .
	@touch $@

$(PEERS)/.setup: requirements/peers.lock
	test -x $(PEERS)/bin/python || $(BIN)/uv venv --quiet --python $(PY) $(PEERS)
	$(BIN)/uv pip sync --quiet --python $(PEERS)/bin/python --require-hashes requirements/peers.lock
	@touch $@

proto: $(STAMP)  ## generate src/altar/_proto from proto/; lint it; refuse a breaking change
	$(PY) scripts/generate_proto.py

codes: $(STAMP)  ## generate the error codes and the reference pages
	$(PY) scripts/generate_codes.py
	$(PY) scripts/generate_settings_page.py
	$(PY) scripts/generate_lint_page.py
	$(PY) scripts/generate_types_page.py
	$(PY) scripts/generate_pipeline_schema.py
	$(PY) scripts/generate_reference.py
	$(PY) scripts/generate_controls.py

lock:  ## write requirements/*.lock anew; UPGRADE=1 takes the newest of everything
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/uv.in --output-file requirements/uv.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/dev.in pyproject.toml --extra grid --extra observe --extra aesp --extra dspy --extra optimizers --extra langchain --extra pydantic-ai --extra openai-agents --extra mcp --extra openapi --extra yaml --extra local-lm --output-file requirements/dev.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/release.in --output-file requirements/release.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/security.in --output-file requirements/security.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/peers.in --output-file requirements/peers.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/providers.in pyproject.toml --extra saml --constraint requirements/dev.lock --output-file requirements/providers.lock
	$(LOCK) $(if $(UPGRADE),--upgrade) requirements/semantic-kernel.in pyproject.toml --extra grid --extra semantic-kernel --output-file requirements/semantic-kernel.lock
	$(PY) scripts/check_lock.py

security: $(STAMP)  ## look through code, dependencies and licences, list the parts, check the page of controls; ADVISORIES=FOLDER
	@$(MAKE) --no-print-directory $(AUDITOR)/.setup
	$(PY) scripts/security.py $(if $(ADVISORIES),--advisories $(ADVISORIES)) $(ARGS)

$(AUDITOR)/.setup: requirements/security.lock
	test -x $(AUDITOR)/bin/python || $(BIN)/uv venv --quiet --python $(PY) $(AUDITOR)
	$(BIN)/uv pip sync --quiet --python $(AUDITOR)/bin/python --require-hashes requirements/security.lock
	@touch $@

shape: $(STAMP)  ## figures of the house: sizes, nests, names, tests; reports, never fails
	$(PY) scripts/shape.py

release: $(STAMP)  ## wheel, sdist and SBOM from a clean clone into dist/; the wheel must run the demo
	$(PY) scripts/release.py

clean:  ## remove what was made, except .venv
	rm -rf dist build .coverage .coverage.* .bench.json .mypy_cache .pytest_cache .ruff_cache .hypothesis
