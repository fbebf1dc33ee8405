# Two commands do everything: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := eeg-store eeg-ingest eeg-tokenizer labram-model
MANIFESTS := $(foreach p,$(PACKAGES),packages/$(p)/pyproject.toml)

.PHONY: setup demo test lint clean

setup: $(READY)

$(READY): constraints.txt requirements-dev.txt $(MANIFESTS)
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt $(foreach p,$(PACKAGES),--editable packages/$(p)) --requirement requirements-dev.txt
	touch $(READY)

demo: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pipelines.demo.run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest

clean:
	rm -rf build $(VENV)
