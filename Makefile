# What a person types. Everything is installed into .venv; nothing else on the machine changes, but that root's
# `test-long` and `platforms` install Debian's Chromium, debootstrap, qemu-user, mingw-w64 and wine if they are missing.

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
INSTALL = PYTHONWARNINGS=ignore $(PY) -m pip install -q# setuptools frames a warning about folders named as the package
PARALLEL = -n auto --maxprocesses=4 --dist=worksteal -p no:benchmark# tests that may share a machine with each other
SOURCES := pyproject.toml setup.py $(wildcard csrc/* scratchnet/backends/*.p*)

export MPLBACKEND ?= Agg

.PHONY: help demo test test-long test-all native debug installed platforms reproducible coverage bench lint docs wheel clean

help:            ## show these lines
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.run    ## install, then train the book's spiral network; pictures and weights go to demo/
	@$(PY) -P tools/demo.py --out demo

test: $(VENV)/.dev    ## install what the tests need, then run them; under five minutes
	@echo 'Left out here: the tests that take long, which make test-long runs. What else is skipped is said at the end.'
	$(PY) -P -m pytest $(PARALLEL) -m "not long"

bench: $(VENV)/.dev   ## compare with NumPy and, where installed in .venv, PyTorch, JAX, scikit-learn and Thinc
	mkdir -p bench-results
	$(PY) -P -m pytest bench -q --benchmark-quiet --benchmark-json bench-results/results.json
	$(PY) -P bench/report.py bench-results/results.json --out bench-results

lint: $(VENV)/.dev    ## style, types and the stub of the compiled kernels
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -P -m mypy.stubtest --mypy-config-file pyproject.toml scratchnet.backends.cpu
	PATH=$(VENV)/bin:$$PATH cython-lint --max-line-length=115 scratchnet/backends

wheel: $(VENV)/.release    ## sdist and wheel into dist/, for the oldest Linux that this one's libraries allow; checked
	$(PY) -P tools/wheel.py

docs: $(VENV)/.docs   ## the pages for people who learn, in English and Korean: a page a layer, the API; build/docs
	@mkdir -p build
	@$(PY) docs/build.py build/docs

test-all: platforms native debug wheel reproducible installed test test-long    ## all that can be checked here; 40 to 60 minutes

test-long: $(VENV)/.docs    ## the tests that `make test` leaves out: random attack, planted bugs, MNIST, the pages, ranks
	@bash tools/chromium.sh
	$(PY) -P -m pytest -q -m long

native:          ## the C code alone: sanitizers, other compilers and processors
	bash tools/native.sh

debug: $(VENV)/.dev    ## the tests with every index of the .pyx checked; not the GPU's, which have none
	rm -rf build/debug-installed
	SCRATCHNET_BUILD=debug $(PY) -m pip install -q --no-deps --target build/debug-installed .
	PYTHONPATH=build/debug-installed $(PY) -P -m pytest -q $(PARALLEL) -m "not long" --ignore=tests/cuda

installed: wheel    ## the tests against the installed sdist, under every Python, oldest and newest NumPy
	$(PY) -P tools/installed.py

platforms: wheel    ## the tests on newer Pythons, 64-bit Arm, Windows by wine: at most 20 minutes; needs root
	$(PY) tools/platforms.py

reproducible: $(VENV)/.release    ## whether two builds give the same files
	$(PY) -P tools/reproducible.py

coverage: $(VENV)/.dev    ## which lines of the Python and Cython code the tests run
	$(PY) -m pip install -q --group coverage
	$(PY) tools/measure_coverage.py

clean:           ## remove everything that was built
	rm -rf $(VENV) build dist demo bench-results *.egg-info scratchnet/backends/*.so

$(VENV)/.run: $(VENV)/.made $(SOURCES)
	@echo 'Installing scratchnet into $(VENV): compiling the C kernels takes one to three minutes.'
	@$(INSTALL) -e ".[plot,progress]"
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(SOURCES)
	@echo 'Installing scratchnet and its tools into $(VENV): compiling the C kernels takes one to three minutes.'
	@$(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/.run

$(VENV)/.release: $(VENV)/.dev
	$(PY) -m pip install -q --group release
	touch $@

$(VENV)/.docs: $(VENV)/.dev
	@echo 'Installing what the pages are made with.'
	@$(PY) -m pip install -q --group docs
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scratchnet needs Python 3.11 or newer")'
	@echo 'Making $(VENV), an environment of its own for Python.'
	@$(PYTHON) -m venv $(VENV) || { echo 'No venv: on Debian or Ubuntu, apt install python3-venv python3-dev gcc'; exit 1; }
	@$(PY) -m pip install -q -U pip
	@touch $@
