# What a person types. Everything is installed into .venv; nothing else on the machine changes.

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
SOURCES := pyproject.toml setup.py $(wildcard csrc/* scratchnet/backends/*.p*)

export MPLBACKEND ?= Agg

.PHONY: help demo test bench lint wheel clean

help:            ## show these lines
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: $(VENV)/.run    ## install, then train the book's spiral network; pictures and weights go to demo/
	$(PY) -P -m scratchnet train spiral --out demo

test: $(VENV)/.dev    ## install what the tests need, then run them
	$(PY) -P -m pytest

bench: $(VENV)/.dev   ## compare with NumPy and, where installed in .venv, PyTorch, JAX and scikit-learn; under 15 minutes
	mkdir -p bench-results
	$(PY) -P -m pytest bench -q --benchmark-quiet --benchmark-json bench-results/results.json
	$(PY) -P bench/report.py bench-results/results.json --out bench-results

lint: $(VENV)/.dev    ## style, types and the stub of the compiled kernels
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -P -m mypy.stubtest --mypy-config-file pyproject.toml scratchnet.backends.cpu
	PATH=$(VENV)/bin:$$PATH cython-lint --max-line-length=115 scratchnet/backends

wheel: $(VENV)/.dev   ## sdist and wheel, in dist/
	$(PY) -m pip install -q "build>=1.2"
	$(PY) -m build

clean:           ## remove everything that was built
	rm -rf $(VENV) build dist demo bench-results *.egg-info scratchnet/backends/*.so

$(VENV)/.run: $(VENV)/.made $(SOURCES)
	$(PY) -m pip install -q -e ".[plot,progress]"
	touch $@

$(VENV)/.dev: $(VENV)/.made $(SOURCES)
	$(PY) -m pip install -q -e ".[dev]"
	touch $@ $(VENV)/.run

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scratchnet needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV) || { echo 'No venv: on Debian or Ubuntu, apt install python3-venv python3-dev gcc'; exit 1; }
	$(PY) -m pip install -q -U pip
	touch $@
