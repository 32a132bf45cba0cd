# Pipewren: `make run` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7181
.DEFAULT_GOAL := help
.PHONY: help run data test check fix docs bench clean

help:
	@echo "make run    install, prepare the data, serve examples/flights on http://localhost:$(PORT)"
	@echo "make test   install, run all tests"
	@echo "make check  format, lint, types, layers, docs current"
	@echo "make fix    format and repair what ruff can"
	@echo "make docs   write the generated pages of docs/"
	@echo "make bench  measure against the raw engine (needs wrk)"

# One stamp per set of extras: a second run has nothing to do.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "Cannot make a virtual environment: on Debian install the package python3-venv"; exit 1; }
	@echo "installing$(if $(1), with: $(1))"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".$(if $(1),[$(1)])"
	@touch $@
endef

$(VENV)/installed: pyproject.toml
	$(call install,)
$(VENV)/installed-test: pyproject.toml
	$(call install,test)
$(VENV)/installed-check: pyproject.toml
	$(call install,test$(comma)check$(comma)bench)
$(VENV)/installed-bench: pyproject.toml
	$(call install,bench)
comma := ,

data: $(VENV)/installed
	@$(BIN)/python examples/flights/prepare_data.py

run: data
	@$(BIN)/pipewren serve examples/flights --port $(PORT) --example

test: $(VENV)/installed-test data
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

check: $(VENV)/installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pipewren.cli.reference --check
	@find src tests bench -name '*.py' | xargs wc -l | awk '$$2 != "total" && $$1 > 400 { print $$2 ": " $$1 " lines, over 400"; over = 1 } END { exit over }'

fix: $(VENV)/installed-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed-check
	$(BIN)/python -m pipewren.cli.reference

bench: $(VENV)/installed-bench data
	@$(BIN)/python -m bench $(ARGS)
	@$(BIN)/python -m bench.templates

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
