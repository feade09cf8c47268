# `make` alone lists the targets. Everything is installed into .venv, from the hash-pinned requirements/dev.txt.
PYTHON ?= python3
BIN := .venv/bin
CONTRACT := build/portus-registry-v1.binpb
PROTOS := $(wildcard protos/portus/registry/v1/*.proto) protos/generate
FROZEN := protos/frozen/portus-registry-v1.binpb
# A file's tests share what they start, so that they stay together.
PYTEST := $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --max-worker-restart=0

# Tests of what `make clients` builds.
ARTIFACTS := tests/clients/test_artifacts.py
BUILT := $(ARTIFACTS)::test_the_npm_package_has_only_the_licence_and_the_compiled_code $(ARTIFACTS)::test_the_jar_has_the_licence

.PHONY: help demo test test-model test-attack test-clients mutation lint lint-style lint-types lint-contract format protos clients bench requirements clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

demo: .venv/installed ## a gateway over a registry in memory, and its main job shown
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/demo

test: .venv/installed $(CONTRACT) ## all tests but those of the other languages' clients
	$(PYTEST) --ignore=tests/clients/interop $(addprefix --deselect=,$(BUILT))

test-model: .venv/installed ## many callers, faults, and an oracle that knows what was true when: minutes, MODEL_SEED says which
	MODEL_SECONDS=$${MODEL_SECONDS:-180} $(BIN)/pytest tests/model

test-attack: .venv/installed ## what attackers do, against the real process
	$(PYTEST) tests/attack

test-clients: clients ## one scenario in five languages, against one gateway
	$(PYTEST) tests/clients/interop $(BUILT)

mutation: .venv/installed ## a test has to fail for each small change of access, rpc and deletes: hours; MODULE=access/policy.py
	$(BIN)/python -m tests.mutation $(MODULE)

# .pre-commit-config.yaml runs the same targets.
lint: lint-style lint-types lint-contract ## ruff, mypy, buf

lint-style: .venv/installed
	$(BIN)/ruff check --output-format concise .
	$(BIN)/ruff format --check --quiet .

lint-types: .venv/installed
	$(BIN)/mypy

lint-contract: .venv/installed $(CONTRACT)
	$(BIN)/buf lint $(CONTRACT) --config protos/buf.yaml --path portus
	$(BIN)/buf breaking $(CONTRACT) --against $(FROZEN) --config protos/buf.yaml --path portus

format: .venv/installed ## ruff's formatting and simple mends
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --output-format concise .

protos: .venv/installed ## the Python code and the descriptor set, from the .proto files
	protos/generate

$(CONTRACT): .venv/installed $(PROTOS)
	protos/generate

clients: .venv/installed $(CONTRACT) ## the clients in Go, TypeScript and Java: generated, built and tested
	clients/generate $(if $(filter true,$(CI)),--check)
	clients/build

bench: .venv/installed $(CONTRACT) ## what the gateway costs and saves, in ratios (bench/README.md)
	bench/install
	$(BIN)/python -m bench

requirements: .venv/installed ## the pinned requirements, from pyproject.toml
	$(BIN)/python requirements/compile

.PHONY: version
version: ## prints the version of all artifacts; VERSION=1.2.3 sets it
	@clients/version $(VERSION)

clean: ## removes what was installed and built
	rm -rf .venv build dist clients/typescript/node_modules clients/typescript/dist clients/java/target

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make an environment: apt install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
