# `make run` serves the workbench, `make test` passes the fast suite. Both make the environment first.
PYTHON ?= python3
VENV   ?= .venv
PY      = $(VENV)/bin/python
DATA   ?= ../shared/data
CASES  ?= 1000000
# Tests start hundreds of short processes: none of them should compile what another has compiled.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: run test slow faults fuzz cluster proof lint format evidence clean

run: $(VENV)/.samples
	@$(PY) -m workbench

test: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2 --dist worksteal

slow: $(VENV)/.dev
	$(PY) -m pytest -m slow -n 2 --dist worksteal
	$(PY) -m pytest -m crash
	$(PY) -m pytest -m browser

faults: $(VENV)/.dev
	$(PY) benchmarks/faults.py --kills 500

fuzz: $(VENV)/.dev
	$(PY) benchmarks/fuzz.py --cases $(CASES)

cluster: $(VENV)/.dev
	$(PY) -m pytest -m cluster

proof: $(VENV)/.dev
	$(PY) -m pytest -m proof --data $(DATA)

evidence: $(VENV)/.dev
	$(PY) benchmarks/evidence.py

lint: $(VENV)/.dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(VENV)/.dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info

# A stamp is written only after its install has ended well, so an interrupted one is taken up again.
$(VENV)/.samples: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" tools/install $(VENV) samples,notebooks
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	@PYTHON="$(PYTHON)" tools/install $(VENV) samples,dev
	@touch $(VENV)/.samples $@
