# `make learn` and `make test` are all that most people need; `make` lists the rest.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

BIN := $(VENV)/bin
# Modules are compiled when they are first imported: that spares the set-up a third of its time.
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet install --no-compile
# Jupyter refuses to run as root unless told that this is meant, as it is in a container.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# An installation is good for one set of pins in one place. Its stamp is written last and removed
# first, so that an interrupted installation leaves none.
cksum = $(shell (pwd; cat $(1)) | cksum | cut -d ' ' -f 1)
LEARN_PINS := requirements.txt pyproject.toml
TEST_PINS := $(LEARN_PINS) requirements-dev.txt requirements-rlax.txt
LEARN_STAMP := $(VENV)/.learn-$(call cksum,$(LEARN_PINS))
TEST_STAMP := $(VENV)/.test-$(call cksum,$(TEST_PINS))

# torch and faiss each bring an OpenMP, whose spinning threads starve each other on a busy machine.
# Everything that is started from here has them sleep instead.
export OMP_WAIT_POLICY := PASSIVE

.NOTPARALLEL:
.PHONY: help learn test lint unit drift notebooks browser-test colab-test bench pins

help:
	@echo "make learn                     set up, then open the first notebook in JupyterLab"
	@echo "make learn ARGS=--no-browser   the same on a server: prints the address"
	@echo "make test                      set up, then run every check"
	@echo "make lint|unit|drift|notebooks one part of make test"
	@echo "make browser-test              drive the first notebooks in headless Chromium"
	@echo "make colab-test                run notebook 01 in an environment like Colab's"
	@echo "make bench                     print the benchmark tables"
	@echo "make pins                      write requirements*.txt from the packages in $(VENV)"
	@echo "Options: PYTHON=python3.12 VENV=.venv WORKERS=2"

# A virtual environment that works, on a Python that is new enough, or an error that says what to do.
.PHONY: venv
venv:
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		$(MAKE) --no-print-directory new-venv

.PHONY: new-venv
new-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "rlcourse needs Python 3.11 or newer, and $(PYTHON) is older or missing: name another" \
			"one, for example 'make learn PYTHON=python3.12'"; exit 1; }
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -m venv --clear "$(VENV)" || { \
		echo "$(PYTHON) cannot make virtual environments: on Debian or Ubuntu," \
			"'apt-get install python3-venv' mends it"; exit 1; }

$(LEARN_STAMP): | venv
	@rm -f $(VENV)/.learn-* $(VENV)/.test-*
	@echo "Installing the course's packages into $(VENV): a minute or a few, the first time ..."
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps -e .
	@$(BIN)/jupyter labextension disable --level=sys_prefix \
		"@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1
	@touch $@

$(TEST_STAMP): $(LEARN_STAMP)
	@rm -f $(VENV)/.test-*
	@echo "Installing the test tools into $(VENV) ..."
	@$(INSTALL) -r requirements-dev.txt
	@$(INSTALL) -c requirements-dev.txt -r requirements-rlax.txt || \
		echo "Note: rlax is not installed here; the tests that compare with it are skipped."
	@touch $@

learn: $(LEARN_STAMP)
	$(BIN)/python -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
		$(ALLOW_ROOT) $(ARGS)

test: lint unit drift notebooks

lint: $(TEST_STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/lint-imports

unit: $(TEST_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.tables -n $(WORKERS) \
		-m "not browser and not colab" tests

drift: $(TEST_STAMP)
	$(BIN)/python -m rlcourse build --check

# nbval runs each notebook cell by cell: learners' notebooks as shipped, solved ones without the
# fallback. Every notebook keeps to one worker, in its own folder.
NBVAL := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p tests.notebooks.smoke \
	-n $(WORKERS) --dist loadfile --nbval-lax --nbval-current-env -p no:cacheprovider

notebooks: $(TEST_STAMP)
	RLCOURSE_STRICT=0 $(NBVAL) notebooks
	RLCOURSE_STRICT=1 $(NBVAL) solutions

browser-test: $(TEST_STAMP)
	@$(MAKE) --no-print-directory chromium
	$(BIN)/python -m pytest -m browser tests/browser

# Installs Debian's Chromium where there is none and it may.
.PHONY: chromium
chromium:
	@if test -x "$(CHROMIUM)"; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "Installing Chromium ..."; \
		apt-get -qq -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
			chromium fonts-dejavu-core >/dev/null; \
	else echo "The browser test needs Chromium: install it (Debian: 'sudo apt-get install" \
		"chromium'), or name one: 'make browser-test CHROMIUM=/path/to/chrome'"; exit 1; fi

colab-test: $(TEST_STAMP)
	$(BIN)/python -m pytest -s -m colab tests/colab

bench: $(TEST_STAMP)
	@$(INSTALL) -c requirements-dev.txt -r requirements-bench.txt || \
		echo "Note: the peers in requirements-bench.txt are not installed; some benchmarks need them."
	$(BIN)/python -m rlcourse bench

pins: $(TEST_STAMP)
	$(BIN)/python tests/repository/pins.py --write
