# Two commands for a fresh machine that has only Python and make:
#   make demo   detects landmarks on generated images and trains on them, results in out/demo
#   make test   runs all tests
# They set up .venv themselves; the second time they start at once.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
# A file's tests stay together: they share what is costly to make. Files come in the order of
# tests/conftest.py, which begins with the long ones.
PARALLEL ?= -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
RUN = $(VENV)/bin/python

.PHONY: help demo test test-fast lint docs setup setup-window wheel samples pictures clean

help:
	@echo "make demo    detect and train on generated images, into out/demo (SKULLS=12: fewer)"
	@echo "make test    run all tests (ARGS='-k geometry' for some, PARALLEL= one by one)"
	@echo "make test-fast  those without window, child process and training"
	@echo "make lint    ruff, mypy, import contracts and the plugin's manifest"
	@echo "make docs    build the documentation, into site"
	@echo "make wheel   build the wheel and the source distribution, into dist"
	@echo "make samples draw sample_data anew"
	@echo "make pictures draw the documentation's pictures anew"
	@echo "make clean   remove what was built, keep $(VENV)"

setup:
	@$(PYTHON) scripts/setup_env.py --venv $(VENV)

setup-window:
	@$(PYTHON) scripts/setup_env.py --venv $(VENV) --window

# More skulls than are shipped, of the same population, for training to learn from. Drawn once.
SKULLS ?= 60
DRAWN = out/phantoms-$(SKULLS)

$(DRAWN)/skull/dataset.json: | setup
	@echo "Drawing $(SKULLS) skulls ..."
	@$(RUN) scripts/phantoms --anatomy skull --count $(SKULLS) --workers 2 --out $(DRAWN)

demo: setup $(DRAWN)/skull/dataset.json
	@$(RUN) -m napari_oneshot_lmk demo --skulls $(DRAWN)/skull --out out/demo --overwrite

test: setup-window
	@$(RUN) -m pytest $(PARALLEL) $(ARGS)

test-fast: setup-window
	@$(RUN) -m pytest -m "not slow and not window and not process" $(PARALLEL) $(ARGS)

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/npe2 validate napari_oneshot_lmk/napari.yaml

docs: setup
# Not --quiet: warnings that are not said would not end it.
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

wheel: setup
	@rm -rf dist
	$(RUN) -m build

samples: setup
	$(RUN) scripts/phantoms --out sample_data --overwrite

pictures: setup-window
	$(RUN) scripts/virtual_display.py $(RUN) scripts/screenshots.py
	$(RUN) scripts/virtual_display.py $(RUN) scripts/screenshots.py \
	  --theme light --out docs/images/light

clean:
	rm -rf build dist out site .pytest_cache .mypy_cache .ruff_cache .hypothesis
