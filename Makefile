# `make demo`: the main job on the bundled logs. `make test`: lint, types, tests. `make dev`: the Dagster UI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PEERS := $(VENV)/peers

.PHONY: demo test lint dev bench bench-pii lock clean

demo: $(READY)
	$(BIN)/flywheel demo

dev: $(READY)
	$(BIN)/dagster dev --workspace workspace.yaml

test: $(READY) lint
	scripts/browser
	scripts/postgres
	scripts/sandbox
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --upgrade --target build/plugins \
	  $(wildcard plugins/*/)
	PYTHONPATH=build/plugins $(BIN)/pytest plugins

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(PEERS)/ready
	$(BIN)/python -m flywheel_tests.benchmarks

bench-pii: $(READY)
	$(BIN)/python -m flywheel_tests.benchmarks.personal_data

$(READY): requirements.lock pyproject.toml
	@echo 'Setting up $(VENV) from requirements.lock, once: two or three minutes.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

$(PEERS)/ready: flywheel_tests/benchmarks/peers.txt $(READY)
	@echo 'Installing what near-duplicates are compared with into $(PEERS), once: 300 MB, under a minute.'
	rm -rf $(PEERS)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) -r $<
	touch $@

lock:
	uv pip compile pyproject.toml --extra postgres --extra test --extra tokenizers --universal --python-version 3.11 \
	  --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header -o requirements.lock

clean:
	rm -rf $(VENV) data .dagster
