# Two commands matter: `make demo` and `make test`. Each makes its own .venv; only Python 3.11+ is needed.
PYTHON ?= python3
BIN := .venv/bin
# Two cores are enough: one torch thread a worker, at most four workers.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: help demo test test-all mutants reach lint types docs wheel graphs format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xiqa needs Python 3.11 or newer; got `$(PYTHON) --version`. Name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[torch]'
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/installed

demo: .venv/installed ## Simulate radiographs, assess them, leave demo/report/report.html
	@rm -rf demo
	$(BIN)/xiqa simulate chest --count 8 --seed 1 --out demo/films/png
	$(BIN)/xiqa simulate chest --count 4 --seed 101 --dicom --out demo/films/dicom
	$(BIN)/xiqa assess demo/films/png/images demo/films/dicom/images --out demo/report
	@echo "Open demo/report/report.html in a browser."

test: .venv/installed-dev lint types ## Lint, types, quick tests, doctests, the docs' snippets
	$(PYTEST) -m "not long" tests
	$(PYTEST) --doctest-modules src --ignore src/xiqa/service/records/migrations
	$(PYTEST) --markdown-docs -m "markdown-docs" README.md CONTRIBUTING.md docs

test-all: .venv/installed-dev docs ## The long tests and the documentation build
	$(PYTEST) -m long tests

mutants: .venv/installed-dev ## Change the source in N places of each ROOM and list what no test notices
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants $(ROOM) -n $(or $(N),20) --seed $(or $(SEED),0)

reach: .venv/installed-dev ## Note anew which tests reach which function, for `make mutants`
	$(PYTEST) -p tests.mutants.reach -m "not long" tests
	$(BIN)/python -m tests.mutants.hints

lint: .venv/installed-dev ## Ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev ## Mypy, strict
	$(BIN)/mypy

docs: .venv/installed-dev ## Build the documentation into docs/_build
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build

wheel: .venv/installed-dev ## Build a wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

graphs: .venv/installed-dev ## Export the shipped model's graph again
	$(BIN)/xiqa export --force --out src/xiqa/models/bundles/cxr-foreign-objects/model.onnx

format: .venv/installed-dev ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the commands above made
	rm -rf .venv demo dist docs/_build docs/generated .mypy_cache .ruff_cache .pytest_cache
