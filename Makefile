# `make demo` and `make test` need a bare Python 3.11 or 3.12 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := constraints/seal.txt

.PHONY: demo test test-slow test-browser check format setup bench-score toyworld-models clean

demo: $(STAMP)  ## the whole pipeline on the embedded toy world, into demo/
	$(BIN)/python -m examples.toyworld.demo

test: $(STAMP)  ## the tests, minutes
	$(BIN)/python -m pytest -m "not slow" -q

test-slow: $(STAMP)  ## what takes longer: many kills, every real pair
	$(BIN)/python -m pytest -m slow -q

test-browser: $(STAMP)  ## the report in a real browser; needs Node, npm and Chromium (CHROMIUM=its path)
	npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --silent
	$(BIN)/python -m pytest tests/browser -q

check: $(STAMP)  ## formatting, lint, types, who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

toyworld-models: $(STAMP)  ## train the toy world's reward models again, from seeds
	$(BIN)/python -m examples.toyworld.train_rewards --out examples/toyworld/models

setup: $(STAMP)  ## only the environment

# torch goes first and by its exact version: that is the one a CPU build is kept for on machines without a GPU.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' $(CONSTRAINTS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[cpu,export,dev]'
	touch $@

clean:
	rm -rf demo $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
