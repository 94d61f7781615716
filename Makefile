# Every target works on a bare clone with nothing but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
JOBS ?= 2
SALTS ?= 1-100
CASES ?= 10000
PINS ?= --constraint constraints.txt

# What pip downloads, from its own words: the large files as they come, and the sum.
define DOWNLOADS
/(Downloading|Using cached) .*\.whl \(/ { size = substr($$(NF - 1), 2) * ($$NF ~ /^kB/ ? 0.001 : $$NF ~ /^GB/ ? 1000 : 1); sum += size; count++; if (size >= 20) { print "  " ($$2 == "cached" ? $$3 : $$2) ", " size " MB"; fflush() } } END { printf "  %d packages, %.0f MB in all\n", count, sum }
endef

.PHONY: install verify test test-latest test-minimum test-slow types soak fuzz bench lint docs docs-serve mutate clean

install: $(VENV)/.dev

# One environment, as full as is needed: `verify` and `docs` take what they need, unless everything is there already.
NEEDS = $(if $(wildcard $(VENV)/.dev),$(VENV)/.dev,$(VENV)/.$(1))
EXTRAS_verify := verify,proof
EXTRAS_docs := docs
EXTRAS_dev := dev

$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing pruneproof[$(EXTRAS_$*)] into $(VENV); most of the download is PyTorch:"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off $(PINS) \
		--editable '.[$(EXTRAS_$*)]' | awk '$(DOWNLOADS)'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "pruneproof needs Python >= 3.11, found %d.%d: run make PYTHON=/path/to/newer/python" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python cannot make virtual environments: install its venv package (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

verify: $(call NEEDS,verify)
	$(BIN)/pruneproof verify

test: install
	$(BIN)/python -m pytest -n $(JOBS) -m 'not interpreter and not slow'
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n $(JOBS) -m interpreter

test-slow: install # what takes minutes, a browser, many processes or large files
	$(BIN)/python -m pytest -m slow

soak: install # the statistical tests under many salts: none may fail
	PRUNEPROOF_SALT=$(SALTS) $(BIN)/python -m pytest -q -n $(JOBS) -m 'alpha and not interpreter'

# With the newest releases that `pip install .` takes today, and with the lowest that pyproject.toml admits: each in an
# environment of its own, made anew. Where the lowest torch is a build for GPUs, it is only resolved, with all the others.
# Old releases call what newer ones of their own requirements deprecate: those warnings are not ours.
test-latest:
	rm -rf .venv-latest
	$(MAKE) test types VENV=.venv-latest PINS=

LOWEST := build/lowest.txt
test-minimum:
	rm -rf .venv-minimum
	mkdir -p build
	$(MAKE) .venv-minimum/bin/python VENV=.venv-minimum
	.venv-minimum/bin/python tests/lowest.py > $(LOWEST)
	.venv-minimum/bin/python -m pip install --dry-run --progress-bar off --constraint $(LOWEST) '.[dev]' | tee build/resolved.txt
	if grep -q 'Would install.* nvidia-' build/resolved.txt; then .venv-minimum/bin/python tests/lowest.py torch > $(LOWEST); \
		grep '^torch==' constraints.txt >> $(LOWEST); fi
	PYTEST_ADDOPTS='-W ignore::DeprecationWarning' $(MAKE) test VENV=.venv-minimum PINS='--constraint $(LOWEST)'

lint: install types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(call NEEDS,docs) # build/docs/html; tutorials are executed, a warning is an error
	PYTHONPATH=src $(BIN)/python -m sphinx -W --keep-going -q -b html -c docs . build/docs/html

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs/html 8000

fuzz: install # random networks and inequalities against certificates and the prover: no answer may be wrong
	$(BIN)/python tests/fuzz.py $(CASES) $(if $(FIRST),--first $(FIRST))

bench: install
	$(BIN)/python -m pytest bench --benchmark-only

# Break the code one operator at a time; every mutant must turn a test red. Narrow it with MUTATE="--module prune.masks".
mutate: install
	$(BIN)/python tests/mutation/mutate.py $(MUTATE)

clean:
	rm -rf $(VENV) build dist src/*.egg-info
