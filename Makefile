# make train: the main job on the embedded data. make table4: the papers' main table in small. make test: the test suite.
# All create .venv and install first, with uv where it is installed.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
SHARED = -n 2 --dist loadfile --no-loadscope-reorder
UV := $(shell command -v uv 2> /dev/null)
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(RUN),$(RUN) -m pip install --quiet)

.PHONY: help train table4 test test-fast test-long fuzz audit bench gpu docs docs-serve lint format clean

help:
	@echo "make train      train and evaluate on the embedded data set (ARGS='model=largefov ...' adds overrides)"
	@echo "make table4     V2's Table 4 on the embedded data, then its report (ARGS='seed=0,1,2', or 'rows=baseline,msc,aspp,crf')"
	@echo "make test       install what the tests need and run them, but for the long ones"
	@echo "make test-fast  the tests without the slow ones; make test-long the long ones"
	@echo "make fuzz       10,000 damaged files for each reader of foreign bytes"
	@echo "make audit      known weaknesses of what is installed, as pip-audit finds them"
	@echo "make bench      the benchmarks, into benchmarks/README.md (ARGS='--root VOC2012 --checkpoint best.ckpt')"
	@echo "make gpu        the same on a GPU, where there is one, in under ten minutes"
	@echo "make docs       the documentation as a site, into site/; make docs-serve shows it while it is written"
	@echo "make lint       ruff and mypy; make format mends what ruff can"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-joblib: pyproject.toml $(VENV)/bin/python
	$(INSTALL) -e '.[joblib]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml $(VENV)/bin/python
	$(INSTALL) -e '.[docs]'
	@touch $@ $(VENV)/.installed

train: $(VENV)/.installed
	$(RUN) -m deeplab_lit.train $(ARGS)
	@echo "other commands: . $(VENV)/bin/activate once in a shell, or $(VENV)/bin/deeplab-lit train --help"

table4: $(VENV)/.installed-joblib
	$(RUN) -m deeplab_lit.train experiments=table4_resnet101 budget=mini launcher=joblib num_workers=1 $(ARGS)
	$(RUN) -m deeplab_lit.report sweep=runs/table4_resnet101

test: $(VENV)/.installed-dev
	$(RUN) -m pytest $(SHARED) -m 'not long' $(ARGS)

test-fast: $(VENV)/.installed-dev
	$(RUN) -m pytest $(SHARED) -m 'not slow and not long' $(ARGS)

test-long: $(VENV)/.installed-dev
	$(RUN) -m pytest $(SHARED) -m long $(ARGS)

fuzz: $(VENV)/.installed-dev
	DEEPLAB_LIT_FUZZ=10000 $(RUN) -m pytest -n 2 tests/security/test_fuzz.py $(ARGS)

audit: $(VENV)/.installed-dev
	$(INSTALL) pip-audit
	$(RUN) -m pip_audit --skip-editable

bench: $(VENV)/.installed-dev
	$(RUN) benchmarks/run.py $(ARGS)

gpu: $(VENV)/.installed-dev
	$(RUN) benchmarks/gpu.py $(ARGS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict $(ARGS)

docs-serve: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs serve $(ARGS)

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/.installed-dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV)
