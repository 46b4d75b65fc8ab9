# Set-up, checks and stored notebooks. Works with GNU make 3.81 (macOS) and newer.
#   PYTHON=python3.12   the Python that .venv is made from
#   ARGS="..."          passed on to the command of the target, as in: make unit ARGS="-k geometry"
PYTHON ?= python3
ARGS =

PY := .venv/bin/python
# Errors only: warnings about mirrors and caches help nobody here.
PIP_INSTALL := $(PY) -m pip -qq --no-input --disable-pip-version-check install
LAB := $(PY) tools/compiled.py -m jupyterlab --ServerApp.root_dir=notebooks --ServerApp.ip=localhost \
	--LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
UV := uv==0.13.9
ON_ALL_CORES := -n auto --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help lab test lint unit browser faults nbval notebooks parameters pictures results bench bench-peers site lock audit newest clean
# Nothing but .venv is imported from.
unexport PYTHONPATH

help: ## list the targets
	@echo "make TARGET, where TARGET is"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile
	@echo 'PYTHON=... names the Python to use, ARGS="..." is passed on to the command.'

lab: .venv/.installed ## open JupyterLab on the first notebook
	@$(LAB) notebooks/0_start_here.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

# Notebooks before the browser, which runs them again, with what has been compiled.
test: lint unit nbval browser ## run every check: lint, unit tests, notebooks, browser tests

lint: .venv/.installed ## check style and format, notebooks included, and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyrefly check

unit: .venv/.installed ## run the unit tests
	$(PY) -m pytest $(ON_ALL_CORES) --no-loadscope-reorder tests --ignore-glob "tests/test_browser*" $(ARGS)

# Two at a time, because what they wait for takes longer on a busy machine; 5 says that there was no test to run.
browser: .venv/.installed ## run the browser tests, where there is a Chromium or Chrome
	$(PY) -m pytest -n 2 --dist loadgroup tests/test_browser*.py $(ARGS) || test $$? -eq 5

faults: .venv/.installed ## kill sweeps at 50 random times, and resume them
	RANDOM_KILLS=25 $(PY) -m pytest tests/sweeps/test_faults.py -s $(ARGS)

nbval: .venv/.installed ## run every notebook and compare every stored output
	$(PY) -m pytest $(ON_ALL_CORES) -p no:cacheprovider --nbval --nbval-current-env --nbval-cell-timeout=300 notebooks $(ARGS)

notebooks: .venv/.installed ## run every notebook and store its outputs
	$(PY) tools/store.py $(ARGS)
	@$(PY) tools/addresses.py
	@$(PY) tools/pictures.py

parameters: .venv/.installed ## run every notebook with three sets of unusual parameters (many minutes)
	$(PY) tools/parameters.py $(ARGS)

pictures: .venv/.installed ## draw the moving picture of README.md (some minutes)
	@$(PY) tools/animated.py $(ARGS)

results: .venv/.installed ## compute the full-size results the notebooks show
	@set -e; for script in notebooks/results/[a-z]*.py; do echo "$$script"; PYTHONPATH=notebooks $(PY) "$$script"; done

bench: .venv/.installed ## run the benchmarks
	PYTHONPATH=notebooks:tools:tests:docs $(PY) -m benchmarks $(ARGS)

bench-peers: ## make the environment of PyTorch that bench compares with (5 GB on Linux)
	@echo "On Linux PyTorch brings 5 GB of libraries for GPUs; torch.compile takes a C++ compiler."
	@c++ --version > /dev/null || { echo "There is no c++: install one, such as g++ or clang." >&2; exit 1; }
	rm -rf .venv-peers
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip --no-input --disable-pip-version-check install -r benchmarks/peers.txt

site: .venv/.installed ## build the static site from the stored notebooks
	@$(PY) docs/make.py $(ARGS)

lock: ## make requirements.lock anew; ARGS=--upgrade takes the newest versions
	$(check_python)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(PYTHON) -m venv "$$dir" && \
	"$$dir/bin/python" -m pip -qq --no-input --disable-pip-version-check install $(UV) && \
	"$$dir/bin/uv" --quiet pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links --output-file requirements.lock $(ARGS)

audit: ## ask OSV for advisories about the locked packages; ARGS=ADDRESS asks another source
	$(check_python)
	@$(PYTHON) tools/audit.py $(ARGS)

newest: ## fill .venv with the newest dependencies instead of the locked ones
	$(empty_venv)
	@$(PIP_INSTALL) --upgrade --editable ".[notebooks,cluster,docs,test]"
	@touch .venv/.locked .venv/.installed

clean: ## remove .venv and .venv-peers, caches, screenshots and the site
	rm -rf .venv .venv-peers .pytest_cache .ruff_cache .hypothesis tests/screenshots site
	find . -path ./.git -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

# Each stamp is written last, so an interrupted installation starts again from an empty .venv.
.venv/.locked: requirements.lock
	$(empty_venv)
	@echo "Installing the locked packages into .venv (once; some minutes on a slow connection)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock
	@touch $@

.venv/.installed: .venv/.locked pyproject.toml $(wildcard tools/environment/share/jupyter/labextensions/*/static/*)
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

define check_python
@test "$$($(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)" = True || { \
	echo "toylib needs Python 3.11 or newer, but $(PYTHON) says '$$($(PYTHON) --version 2>&1 | tail -n 1)':" \
	"install one and name it, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
@{ $(PYTHON) -m venv --help && $(PYTHON) -c 'import ensurepip'; } >/dev/null 2>&1 || { \
	echo "$(PYTHON) cannot make a virtual environment, its venv or ensurepip module is missing:" \
	"install it (Debian, Ubuntu: apt install python3-venv) and run make again" >&2; exit 1; }
endef

define empty_venv
$(check_python)
@$(PYTHON) -m venv --clear .venv
endef
