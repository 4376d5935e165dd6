# Two commands do everything on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
APP ?= django
EXIT ?=

.PHONY: help demo test lint types imports pytest bench soak docs clean

help:
	@echo "make demo [EXIT=1]   the example shop, a scripted day, what was recorded, and a live tail"
	@echo "                     APP=flask, starlette or fastapi: the same day in another shop (default: django)"
	@echo "make test            ruff, mypy, import-linter, pytest"
	@echo "make bench           speed, as ratios, written to benchmarks/README.md"
	@echo "make soak            the long fault tests"
	@echo "make clean           remove what these commands made"

# The stamp changes when the dependencies may have changed; the second run installs nothing.
.venv/stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "seclog needs Python 3.11 or later: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[django,cli,fast]' \
		--group test --group lint --group demo --group asgi --group doors --group neighbours
	@touch $@

demo: .venv/stamp
	@$(BIN)/python -m example_projects.demo --app $(APP) $(if $(EXIT),--exit)

test: lint types imports pytest

lint: .venv/stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/stamp
	$(BIN)/mypy

imports: .venv/stamp
	$(BIN)/lint-imports

pytest: .venv/stamp
	$(BIN)/pytest

bench: .venv/stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python -m benchmarks

soak: .venv/stamp
	$(BIN)/pytest --soak -m soak

clean:
	rm -rf .venv .tox .demo .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis
