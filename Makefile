# Every target sets up what it needs. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GENERATOR := .venv-generate
GENERATOR_BIN := $(GENERATOR)/bin
GENERATOR_READY := $(GENERATOR)/.ready
PROTOS := $(shell cd protos && find autopilot -name '*.proto' | sort)
GENERATED := generated/python

.DEFAULT_GOAL := help
.PHONY: help setup demo test proof mutations soak bench lint format generate check-generated breaking release-contract release-database clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with everything installed

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Autopilot needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 setup"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[server]' --group dev
	@touch $(READY)

demo: $(READY) ## Show a job that outlives two kill -9 of its server
	$(BIN)/python examples/demo.py

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest -q --numprocesses 2 --dist worksteal --ignore=tests/proof

proof: $(READY) ## Try to break the eight promises: kills, faults, zombies, hostile input, a model
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile tests/proof

MINUTES ?= 5
REPORT ?= soak-report

soak: $(READY) ## Load and torment a server for MINUTES=5, and write a report to REPORT=soak-report
	$(BIN)/python -m tests.proof.soak --minutes $(MINUTES) --report $(REPORT)

mutations: $(READY) ## Break each promise in a copy of the code, and see the proof catch it
	$(BIN)/python -m tests.proof.mutations

bench: $(READY) ## Measure, and print a table
	$(BIN)/python -m benchmarks

lint: $(READY) $(GENERATOR_READY) ## Check style and types of the code, and the contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd protos && ../$(GENERATOR_BIN)/buf lint
	cd protos && ../$(GENERATOR_BIN)/buf format --diff --exit-code

format: $(READY) $(GENERATOR_READY) ## Bring code and contract into form
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .
	cd protos && ../$(GENERATOR_BIN)/buf format --write

$(GENERATOR_READY): protos/requirements.txt
	@test -d $(GENERATOR) || $(PYTHON) -m venv $(GENERATOR)
	$(GENERATOR_BIN)/python -m pip install --quiet --upgrade pip
	$(GENERATOR_BIN)/python -m pip install --quiet --requirement protos/requirements.txt
	@touch $(GENERATOR_READY)

generate: $(GENERATOR_READY) ## Generate Python from the contract
	rm -rf $(GENERATED)/autopilot
	$(GENERATOR_BIN)/python -m grpc_tools.protoc --proto_path=protos \
		--python_out=$(GENERATED) --pyi_out=$(GENERATED) --grpc_python_out=$(GENERATED) \
		--plugin=protoc-gen-mypy_grpc=$(GENERATOR_BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:$(GENERATED) \
		$(PROTOS)

check-generated: generate ## Fail when the checked-in code is not what the contract generates
	@test -z "$$(git status --porcelain -- $(GENERATED))" || \
		{ git status --short -- $(GENERATED); echo "generated code is stale: run make generate and commit it"; exit 1; }

breaking: $(GENERATOR_READY) ## Fail when the contract breaks clients of the last release
	cd protos && ../$(GENERATOR_BIN)/buf breaking --against released/v1.binpb

release-contract: $(GENERATOR_READY) ## Keep the contract of a release, which later ones must not break
	mkdir -p protos/released
	cd protos && ../$(GENERATOR_BIN)/buf build --output released/v1.binpb

release-database: $(READY) ## Keep a database of a release, which later ones must go on with
	$(BIN)/python -m tests.storage.record_database

clean: ## Remove what the targets made
	rm -rf $(VENV) $(GENERATOR) .demo .pytest_cache .mypy_cache .ruff_cache
