# Every target works on a bare clone with nothing but Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
SALTS ?= 1-100

.PHONY: install verify test soak bench lint mutate clean

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else "pruneproof needs Python >= 3.11, found %d.%d: run make PYTHON=/path/to/newer/python" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python cannot make virtual environments: install its venv package (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

verify: install
	$(BIN)/pruneproof verify

test: install
	$(BIN)/python -m pytest -n $(JOBS) -m 'not interpreter'
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -n $(JOBS) -m interpreter

soak: install # the statistical tests under many salts: none may fail
	PRUNEPROOF_SALT=$(SALTS) $(BIN)/python -m pytest -q -n $(JOBS) -m 'alpha and not interpreter'

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: install
	$(BIN)/python -m pytest bench --benchmark-only

# Break the code one operator at a time; every mutant must turn a test red. Narrow it with MUTATE="--module prune.masks".
mutate: install
	$(BIN)/python tests/mutation/mutate.py $(MUTATE)

clean:
	rm -rf $(VENV) build dist src/*.egg-info
