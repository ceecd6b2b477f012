# make demo | make test: from a fresh clone, with nothing but python3 (3.11 to 3.13), its venv module and make.
#
# PYTHON       the interpreter that makes .venv:         make test PYTHON=python3.12
# TORCH_INDEX  an index to take torch's build from:      make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PIP_ARGS     anything else for pip install:            make test PIP_ARGS=--no-cache-dir
# PYTEST_ARGS  anything else for pytest:                 make test PYTEST_ARGS="-k metrics"
# WEB_ARGS     anything else for the web page:           make web WEB_ARGS="--port 8000 --device cpu"

PYTHON ?= python3
TORCH_INDEX ?=
PIP_ARGS ?=
PYTEST_ARGS ?=
WEB_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Stamps: a second call installs nothing, a changed requirements file installs again.
CREATED := $(VENV)/created.stamp
INSTALLED := $(VENV)/requirements.stamp
INSTALLED_DEV := $(VENV)/requirements-dev.stamp
INSTALLED_WEB := $(VENV)/requirements-web.stamp
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(if $(MAKE_TERMOUT),,--quiet) \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(PIP_ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo web test test-slow lint format clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## train a small model for a minute on photographs at hand, evaluate, upscale; prints a figure's path
	$(BIN)/python -m examples.demo

web: $(INSTALLED_WEB) ## serve a page that upscales images, on this machine alone: make web WEB_ARGS="--port 8000"
	$(BIN)/python -m web $(WEB_ARGS)

test: lint ## lint, then the tests (under 5 minutes on two cores, no GPU needed)
	$(BIN)/python -m pytest -q -n 2 $(PYTEST_ARGS)

test-slow: $(INSTALLED_DEV) ## the tests marked slow
	$(BIN)/python -m pytest -q -m slow $(PYTEST_ARGS) || [ $$? -eq 5 ]  # 5: none was selected

lint: $(INSTALLED_DEV) ## linter, format check, type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED_DEV) ## sort imports, mend what can be mended safely, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv and the tools' caches; runs under experiment/ stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name another: make PYTHON=python3.12"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(INSTALLED): requirements.txt $(CREATED)
	@echo "Installing requirements.txt (the first time this takes some minutes)"
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(INSTALLED_WEB): requirements-web.txt $(INSTALLED)
	@echo "Installing requirements-web.txt"
	$(PIP_INSTALL) -r requirements-web.txt
	@touch $@

$(INSTALLED_DEV): requirements-dev.txt requirements-export.txt requirements-openvino.txt requirements-spandrel.txt $(INSTALLED)
	@echo "Installing requirements-dev.txt, and spandrel without torchvision, which the tests stand in for"
	$(PIP_INSTALL) -r requirements-dev.txt
	$(PIP_INSTALL) --no-deps $$(grep -E '^(einops|spandrel)==' requirements-spandrel.txt)
	@touch $@
