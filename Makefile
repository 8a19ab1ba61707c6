# What developers and CI run. Each target installs what it needs into .venv (or, for other interpreters and
# dependencies, into .venvs/) and installs nothing again while pyproject.toml is unchanged.

HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=

BIN := .venv/bin
UV := .venvs/uv/bin/uv
VERSIONS := 3.11 3.12 3.13
EXTRAS := chat,fuzz,metrics
PYTEST_FLAGS := -n auto

# The tests start many processes; each would compile every module for itself.
unexport PYTHONDONTWRITEBYTECODE
# uv has certificates of its own, which a company's proxy or mirror may not be known to.
export UV_SYSTEM_CERTS := 1

# The first of some commands that is a Python >= 3.11 able to make virtual environments. A command that is on PATH need
# not run: a pyenv shim fails for a version that is not active.
first_python = $(shell for python in $(1); do \
	"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { command -v "$$python"; break; }; done)
PYTHON ?= $(call first_python,python3.13 python3.12 python3.11 python3)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help chat test check format lint types imports coverage wheel bench fuzz conformance oldest matrix clean

help: ## Show this text
	@echo 'make TARGET'
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'HOST and PORT set where chat listens, ARGS goes to pytest, PYTHON chooses the interpreter of .venv.'

chat: .venv/chat.stamp ## Serve the chat example at http://HOST:PORT (127.0.0.1:8000)
	$(BIN)/protocol run examples.chat.app:app --host $(HOST) --port $(PORT)

test: .venv/dev.stamp ## Run the tests
	$(BIN)/pytest $(PYTEST_FLAGS) $(ARGS)

check: lint types imports wheel ## Check everything but what the tests do

format: .venv/dev.stamp ## Rewrite the code as the formatter and the linter want it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/dev.stamp ## Check format and lint rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/dev.stamp ## Check types with mypy, and with pyright what users write
	$(BIN)/mypy
	$(BIN)/pyright

imports: .venv/dev.stamp ## Check that imports go one way
	PYTHONPATH=. $(BIN)/lint-imports

coverage: .venv/dev.stamp ## Run the tests and report branch coverage
	$(BIN)/pytest $(PYTEST_FLAGS) --cov --cov-report=term $(ARGS)

wheel: .venv/dev.stamp ## Build the wheel and import it in an empty environment
	$(BIN)/python .ci/wheel.py

bench: .venv/dev.stamp ## Run the benchmarks
	@set -e; for file in benchmarks/[a-z]*.py; do name=$$(basename "$$file" .py); \
		echo "== $$name"; $(BIN)/python -m "benchmarks.$$name"; done

fuzz: .venv/dev.stamp ## Run the property tests and the fuzzer for long
	$(BIN)/pytest $(PYTEST_FLAGS) -m 'hypothesis or (long and not conformance)' --hypothesis-profile=long $(ARGS)

conformance: .venv/dev.stamp ## Run the conformance suites, long cases included
	$(BIN)/pytest -m conformance $(ARGS)

oldest: .venvs/oldest/test.stamp ## Run the tests on the oldest dependencies that pyproject.toml allows
	.venvs/oldest/bin/pytest $(PYTEST_FLAGS) $(ARGS)

matrix: $(VERSIONS:%=matrix-%) ## Run the tests on each Python that is found

matrix-%: $(UV)
	@python='$(call first_python,python$* $(HOME)/.pyenv/versions/$*.*/bin/python)'; \
	if [ -z "$$python" ]; then echo "No Python $*: skipped"; exit 0; fi; \
	$(MAKE) --no-print-directory .venvs/$*/test.stamp PYTHON="$$python" && \
	set -x && .venvs/$*/bin/pytest $(PYTEST_FLAGS) $(ARGS)

clean: ## Remove environments, caches and build results
	rm -rf .venv .venvs dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo >&2 'No Python >= 3.11 with venv found. Install one (on Debian: apt install' \
		'python3-venv), or name it: make PYTHON=/path/to/python'; exit 1; }
	$(PYTHON) -m venv .venv

.venv/pip.stamp: | .venv/bin/python
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'  # knows dependency groups
	@touch $@

.venv/chat.stamp: pyproject.toml .venv/pip.stamp
	$(BIN)/python -m pip install --quiet --editable '.[chat]'
	@touch $@

.venv/dev.stamp: pyproject.toml .venv/pip.stamp
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --group dev
	@touch $@

# uv resolves for the oldest versions, and fills a further environment in seconds.
$(UV): | .venv/bin/python
	$(BIN)/python -m venv .venvs/uv
	.venvs/uv/bin/python -m pip install --quiet uv

.venvs/oldest/test.stamp: RESOLUTION := --resolution lowest-direct
.venvs/%/test.stamp: pyproject.toml $(UV)
	$(UV) venv --quiet --clear --python '$(PYTHON)' .venvs/$*
	$(UV) pip install --quiet --compile-bytecode --python .venvs/$* $(RESOLUTION) --editable '.[$(EXTRAS)]' --group test
	@touch $@
