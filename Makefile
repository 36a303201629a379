# On a fresh machine: `make demo` shows the product, `make test` proves it. Both install what they need into .venv.

PYTHON ?= python3
BIN := .venv/bin
# Demo runs go here; `make demo DIR=elsewhere` chooses another folder.
DIR ?= demo

.PHONY: demo test check test-all site bench bench-more lock clean

demo: .venv/installed
	$(BIN)/lexitrain demo --dir $(DIR)

test: .venv/installed
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-all: .venv/installed
	$(BIN)/python -m pytest -q -m "not gpu and not browser"

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The documentation as pages that open from the disk: build/site/index.html. A warning is an error.
site: .venv/installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -d build/doctrees -c docs . build/site

# The tables of docs/performance.md on this machine's CPU, in about 19 minutes on two idle cores.
bench: .venv/installed
	$(BIN)/python -m benchmarks.step_profile
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.shared_prompt
	$(BIN)/python -m benchmarks.step_curves
	$(BIN)/python -m benchmarks.tables

# Arithmetic counted rather than timed, checkpoint sizes, how preparation scales, and training beside other work:
# thirteen minutes more.
bench-more: .venv/installed
	$(BIN)/python -m benchmarks.busy_machine
	$(BIN)/python -m benchmarks.step_flops
	$(BIN)/python -m benchmarks.known_layers
	$(BIN)/python -m benchmarks.host_time
	$(BIN)/python -m benchmarks.checkpoint_size
	$(BIN)/python -m benchmarks.prepare_scale

# Everything comes from the lock; the project itself is installed in place and adds nothing.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("LexiTrain needs Python 3.11 or later; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Make the lock again from the ranges in pyproject.toml. torch is named first: its CPU wheel is at hand on machines
# without a GPU, and every other package then accepts it.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 setuptools
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check '.[all,bench,dev,docs,trackers]'
	.venv-lock/bin/python -m pip freeze --all --exclude pip --exclude lexitrain | sed 's/^\(torch==[0-9.]*\)+cpu/\1/' > requirements.lock
	rm -rf .venv-lock build

clean:
	rm -rf .venv .venv-lock build demo .pytest_cache .ruff_cache
