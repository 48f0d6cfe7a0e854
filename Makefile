# Every target sets up what it needs. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GENERATOR := .venv-generate
GENERATOR_BIN := $(GENERATOR)/bin
GENERATOR_READY := $(GENERATOR)/.ready
RELEASE := .venv-release
RELEASE_BIN := $(RELEASE)/bin
RELEASE_READY := $(RELEASE)/.ready
LOCKS := requirements
# A tenth of the time that pip takes. It is told where packages are by what pip is told.
UV_INSTALL = $(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX='$(PIP_INDEX_URL)') $(if $(PIP_FIND_LINKS),UV_FIND_LINKS='$(PIP_FIND_LINKS)') \
	$(if $(PIP_CERT),SSL_CERT_FILE='$(PIP_CERT)') $(BIN)/uv pip install --quiet --no-config --require-hashes
PROTOS := $(shell cd protos && find autopilot -name '*.proto' | sort)

# What generates, and what it needs: a language whose tool is not there is left out, and that is said.
TOOLS := .tools
LANGUAGES := python go typescript rust
TOOLCHAIN_python := $(PYTHON)
TOOLCHAIN_go := go
TOOLCHAIN_typescript := npm
TOOLCHAIN_rust := cargo
have = $(shell command -v $(TOOLCHAIN_$1))
GENERATES := $(foreach language,$(LANGUAGES),$(if $(call have,$(language)),$(language)))
LEFT_OUT := $(filter-out $(GENERATES),$(LANGUAGES))
PROTOC_GEN_GO := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
PROTOC_GEN_GO_GRPC := google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
GRPCURL := github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
GO_LICENSES := github.com/google/go-licenses@v1.6.0
PROTOC_GEN_RUST := protoc-gen-prost@0.5.0 protoc-gen-tonic@0.5.0
BUF_GENERATE := cd protos && ../$(GENERATOR_BIN)/buf generate

.DEFAULT_GOAL := help
SHELL := bash
.PHONY: help setup demo test test-operations test-postgres conformance test-clients proof proof-long mutations soak bench bench-growth bench-peers lint format generate $(LANGUAGES:%=generate-%) check-generated breaking release-contract release-database lock licences release audit-dependencies lowest clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with everything installed

$(READY): pyproject.toml $(LOCKS)/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Autopilot needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12 setup"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement <(sed -n '/^uv==/,/[^\\]$$/p' $(LOCKS)/dev.txt)
	$(UV_INSTALL) --python $(BIN)/python --requirement $(LOCKS)/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Show a job that outlives two kill -9 of its server
	$(BIN)/python examples/demo.py

# What operators do to whole servers, and what is around them: most of it is starting processes.
OPERATIONS := access audit encryption traces workers test_start_up.py test_draining.py test_reloading.py test_upgrade_procedure.py \
	test_deploy.py test_logs.py test_metrics.py test_supply_chain.py
ELSEWHERE := proof toolchains $(OPERATIONS)
# Tests wait more than they compute: for processes that start, for disks, for a grace period to pass. In so many processes two
# cores are busy; more would only wait for each other.
PYTEST = $(BIN)/python -m pytest -q --numprocesses

test: $(READY) ## Run the tests of the promises, the contract, the engine, the store, the Python client and the examples
	$(PYTEST) 3 --dist worksteal -m "not postgres" $(ELSEWHERE:%=--ignore=tests/%) tests

test-operations: $(READY) ## Run the tests of what operators do: credentials, audit, encryption, traces, logs, metrics, start and end
	$(PYTEST) 4 --dist worksteal $(OPERATIONS:%=tests/%)

# What servers, engines and workers promise, on the other database.
ON_POSTGRES := promises engine/test_runs.py engine/test_questions.py engine/test_outages.py workers/test_deaths.py

test-postgres: $(READY) ## Run the store's tests on a Postgres, and tests of servers, engines and workers
	$(PYTEST) 3 --dist worksteal -m postgres tests/storage
	AUTOPILOT_TEST_DATABASE=postgres $(PYTEST) 3 --dist worksteal $(ON_POSTGRES:%=tests/%)

proof: $(READY) ## Try to break the eight promises: kills, faults, zombies, hostile input, a model
	$(PYTEST) 4 --dist loadscope tests/proof

proof-long: $(READY) ## The proof with all that it tries systematically, and with faults that last: about half an hour
	AUTOPILOT_PROOF_LONG=1 $(MAKE) proof

conformance: $(READY) ## Play the scenarios of clients/conformance with every client whose toolchain is there
	$(BIN)/python -m clients.conformance

test-clients: $(READY) $(GENERATOR_READY) $(if $(call have,go),$(TOOLS)/grpcurl/.ready) ## Build and test every client whose toolchain is there, and play the conformance scenarios
	$(PYTEST) 2 --dist worksteal tests/toolchains
	$(BIN)/python -m clients.conformance --tests

MINUTES ?= 5
REPORT ?= soak-report

soak: $(READY) ## Load and torment a server for MINUTES=5, and write a report to REPORT=soak-report
	$(BIN)/python -m tests.proof.soak --minutes $(MINUTES) --report $(REPORT)

mutations: $(READY) ## Break each promise in a copy of the code, and see a test catch each
	$(BIN)/python -m tests.proof.mutations

bench: $(READY) ## Measure, and print a table
	$(BIN)/python -m benchmarks

bench-growth: $(READY) ## Measure how the figures grow, and put the tables and drawings into docs/performance.md
	$(BIN)/python -m benchmarks.growth --page docs/performance.md

bench-peers: $(READY) ## Measure W with Autopilot's peers too, about eight minutes: installs them into .tools, and Redis and Postgres into the system
	$(BIN)/python -m benchmarks.peers

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

$(GENERATOR_READY): protos/requirements.txt $(READY)
	@test -d $(GENERATOR) || $(PYTHON) -m venv --without-pip $(GENERATOR)
	$(UV_INSTALL) --python $(GENERATOR_BIN)/python --requirement protos/requirements.txt
	@touch $(GENERATOR_READY)

generate: $(GENERATES:%=generate-%) ## Generate code from the contract, for each language whose tools are there
	@$(foreach language,$(LEFT_OUT),echo "left out: generated/$(language), for want of $(TOOLCHAIN_$(language))";)

# gRPC's Python plugin is part of its own protoc, and buf cannot call it.
generate-python: $(GENERATOR_READY)
	rm -rf generated/python/autopilot
	$(GENERATOR_BIN)/python -m grpc_tools.protoc --proto_path=protos \
		--python_out=generated/python --pyi_out=generated/python --grpc_python_out=generated/python \
		--plugin=protoc-gen-mypy_grpc=$(GENERATOR_BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:generated/python \
		$(PROTOS)
	touch generated/python/autopilot/py.typed

generate-go: $(GENERATOR_READY) $(TOOLS)/go/.ready
	rm -rf generated/go/autopilot
	$(BUF_GENERATE) --template buf.gen.go.yaml

# No library for TypeScript brings google.rpc's error details along.
generate-typescript: $(GENERATOR_READY) $(TOOLS)/typescript/.ready
	rm -rf generated/typescript/autopilot generated/typescript/google
	$(BUF_GENERATE) --template buf.gen.typescript.yaml
	$(BUF_GENERATE) --template buf.gen.typescript.yaml ../$(TOOLS)/typescript/googleapis

generate-rust: $(GENERATOR_READY) $(TOOLS)/rust/.ready
	rm -rf generated/rust/autopilot
	$(BUF_GENERATE) --template buf.gen.rust.yaml

$(TOOLS)/go/.ready: Makefile
	GOBIN=$(abspath $(TOOLS)/go) go install $(PROTOC_GEN_GO)
	GOBIN=$(abspath $(TOOLS)/go) go install $(PROTOC_GEN_GO_GRPC)
	@touch $@

$(TOOLS)/typescript/.ready: protos/generators/package.json protos/generators/package-lock.json | $(GENERATOR_READY)
	@mkdir -p $(TOOLS)/typescript/googleapis/google/rpc
	cp $^ $(TOOLS)/typescript
	cp $(GENERATOR)/lib/python*/site-packages/google/rpc/{status,error_details}.proto $(TOOLS)/typescript/googleapis/google/rpc
	cd $(TOOLS)/typescript && npm ci --silent
	@touch $@

# A few minutes, once, as Rust's below.
$(TOOLS)/grpcurl/.ready: Makefile
	GOBIN=$(abspath $(TOOLS)/grpcurl) go install $(GRPCURL)
	@touch $@

$(TOOLS)/go-licenses/.ready: Makefile
	GOBIN=$(abspath $(TOOLS)/go-licenses) go install $(GO_LICENSES)
	@touch $@

# What was compiled for another checkout of this machine is taken from there, where Cargo is told to keep it.
$(TOOLS)/rust/.ready: Makefile
	cargo install --quiet --debug --locked --root $(TOOLS)/rust \
		$(if $(CARGO_BUILD_BUILD_DIR),--target-dir $(CARGO_BUILD_BUILD_DIR)/install) $(PROTOC_GEN_RUST)
	@touch $@

check-generated: generate ## Fail when the checked-in code is not what the contract generates
	@test -z "$$(git status --porcelain -- generated)" || \
		{ git status --short -- generated; echo "generated code is stale: run make generate and commit it"; exit 1; }
	@$(foreach language,$(LEFT_OUT),echo "not run: generated/$(language), for want of $(TOOLCHAIN_$(language))";)

breaking: $(GENERATOR_READY) ## Fail when the contract breaks clients of a release
	cd protos && for released in released/*.binpb; do ../$(GENERATOR_BIN)/buf breaking --against $$released || exit 1; done

release-contract: $(GENERATOR_READY) ## Keep the contract of a release, which later ones must not break
	mkdir -p protos/released
	cd protos && ../$(GENERATOR_BIN)/buf build \
		--output released/$$(sed -n 's/^version = "\(.*\)"/\1/p' ../pyproject.toml).binpb

release-database: $(READY) ## Keep a database of a release, which later ones must go on with
	$(BIN)/python -m tests.storage.record_database

$(RELEASE_READY): $(LOCKS)/release.txt $(READY)
	@test -d $(RELEASE) || $(PYTHON) -m venv --without-pip $(RELEASE)
	$(UV_INSTALL) --python $(RELEASE_BIN)/python --requirement $(LOCKS)/release.txt
	@touch $(RELEASE_READY)

# For every platform and every Python that pyproject.toml allows. Versions that still fit stay: UPGRADE=--upgrade takes the
# newest ones.
UPGRADE ?=
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-config \
	--custom-compile-command 'make lock' $(UPGRADE)

lock: ## Write requirements/*.txt and protos/requirements.txt anew; UPGRADE=--upgrade: with the newest versions
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	$(COMPILE) pyproject.toml --all-extras --group dev --group build --output-file $(LOCKS)/dev.txt
	$(COMPILE) pyproject.toml --all-extras --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/server.txt
	$(COMPILE) --group build --constraint $(LOCKS)/dev.txt --output-file $(LOCKS)/build.txt
	$(COMPILE) --group release --output-file $(LOCKS)/release.txt
	$(COMPILE) protos/requirements.in --output-file protos/requirements.txt

licences: $(READY) $(if $(call have,go),$(TOOLS)/go-licenses/.ready) ## Write docs/licences.md, and refuse what is not allowed
	$(BIN)/python -m release.licences

release: $(RELEASE_READY) ## Build dist/: source, wheel and bill of materials; and try the wheel
	$(BIN)/python -m release.build

audit-dependencies: $(RELEASE_READY) ## Ask whether vulnerabilities are known of the locked packages
	$(BIN)/python -m release.advisories

LOWEST := .venv-lowest

lowest: $(READY) ## Run the tests that packages matter to with the oldest packages that are allowed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --no-config --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[server]'
	$(BIN)/uv pip freeze --python $(LOWEST)/bin/python --exclude-editable > $(LOWEST)/oldest.txt
	$(BIN)/uv pip install --quiet --no-config --python $(LOWEST)/bin/python --constraint $(LOWEST)/oldest.txt --group dev
	$(LOWEST)/bin/python -m pytest -q --numprocesses 2 --dist worksteal tests/promises tests/clients tests/engine tests/access tests/encryption tests/audit

clean: ## Remove what the targets made
	rm -rf clients/typescript/{node_modules,build,dist,readme/build,src/generated}
	rm -rf clients/java/target
	rm -rf $(VENV) $(GENERATOR) $(RELEASE) $(LOWEST) dist $(TOOLS) .demo .pytest_cache .mypy_cache .ruff_cache
