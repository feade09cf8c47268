# `make` alone lists the targets. Everything is installed into .venv, from the hash-pinned requirements/dev.txt.
PYTHON ?= python3
BIN := .venv/bin
CONTRACT := build/portus-registry-v1.binpb
PROTOS := $(wildcard protos/portus/registry/v1/*.proto) protos/generate
FROZEN := protos/frozen/portus-registry-v1.binpb
# Tests of one file share servers, so one process runs them all, in the order of tests/conftest.py. Half of the time, a test waits:
# one process more than there are processors keeps them busy.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest --numprocesses=$(PROCESSES) --maxprocesses=5 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0

# Tests of what `make clients` builds.
ARTIFACTS := tests/clients/test_artifacts.py
BUILT := $(ARTIFACTS)::test_the_npm_package_has_only_the_licence_and_the_compiled_code $(ARTIFACTS)::test_the_jar_has_the_licence

BASE = $(if $(PYTHON_IMAGE),--python-image $(PYTHON_IMAGE))
STAND_IN := build/python-image
TRIAL_RELEASE := build/release/trial

.PHONY: help demo test test-model test-index test-attack test-clients mutation lint lint-style lint-types lint-contract format protos clients bench requirements clean

help: ## shows this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

demo: .venv/installed ## shows the gateway's main job on a registry in memory
	@PATH="$(CURDIR)/$(BIN):$$PATH" deploy/demo

test: .venv/installed $(CONTRACT) ## all tests except those of the Go, TypeScript and Java clients
	$(PYTEST) --ignore=tests/clients/interop --ignore=tests/release $(addprefix --deselect=,$(BUILT))

test-model: .venv/installed ## random calls while the registry changes and fails, checked against a model (3 minutes; MODEL_SEED repeats a run)
	MODEL_SECONDS=$${MODEL_SECONDS:-180} $(BIN)/pytest tests/model

test-index: .venv/installed ## the index over real registries while everything around it fails (20 minutes; INDEX_SEED, INDEX_OPERATIONS)
	INDEX_OPERATIONS=$${INDEX_OPERATIONS:-2000} INDEX_SEED=$${INDEX_SEED:-$$(date +%s)} $(BIN)/pytest -rP tests/convergence

test-attack: .venv/installed ## attacks on a running gateway
	$(PYTEST) tests/attack

test-clients: clients $(STAND_IN) ## the same scenario with the clients of all languages; a release with its image, made and used
	$(BIN)/python deploy/release "$$(clients/version)" --trial --python-image oci:$(CURDIR)/$(STAND_IN) --output $(TRIAL_RELEASE)
	RELEASE=$(TRIAL_RELEASE) PYTHON_IMAGE=oci:$(CURDIR)/$(STAND_IN) $(PYTEST) tests/clients/interop tests/release $(BUILT)

# What the image of the tests is built on: they use no registry.
$(STAND_IN): tests/deploy/make-base-image
	tests/deploy/make-base-image $@

mutation: .venv/installed ## changes the code in small ways and checks that tests fail (hours; MODULE=access/policy.py for one module)
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

format: .venv/installed ## formats the code and fixes what ruff can fix
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix --output-format concise .

protos: .venv/installed ## generates the Python code and the descriptor set from the .proto files
	protos/generate

$(CONTRACT): .venv/installed $(PROTOS)
	protos/generate

clients: .venv/installed $(CONTRACT) ## generates, builds and tests the Go, TypeScript and Java clients
	clients/generate $(if $(filter true,$(CI)),--check)
	clients/build

bench: .venv/installed $(CONTRACT) ## measures what the gateway costs and saves (bench/README.md)
	bench/install
	$(BIN)/python -m bench

requirements: .venv/installed ## pins the requirements of pyproject.toml
	$(BIN)/python requirements/compile

.PHONY: version
version: ## prints the version of all artifacts; VERSION=1.2.3 sets it
	@clients/version $(VERSION)

.PHONY: release
release: .venv/installed ## all artifacts of VERSION, published nowhere (RELEASING.md); TRIAL=1 before the changelog has it
	@test -n "$(VERSION)" || { echo "usage: make release VERSION=1.2.3" >&2; exit 2; }
	$(BIN)/python deploy/release $(VERSION) $(if $(TRIAL),--trial) $(BASE)

.PHONY: image
image: .venv/installed ## the container image and its SBOM, in build/image; PYTHON_IMAGE=... sets the base image
	$(BIN)/python deploy/image $(BASE)

clean: ## removes what was installed and built
	rm -rf .venv build dist clients/typescript/node_modules clients/typescript/dist clients/java/target

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make an environment: apt install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
