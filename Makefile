# Every target is idempotent. `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := harness/parts/locks
# A repository of its own, as a user would have it.
GALLERY := examples/gallery/features --reports=reports

# Bytecode is written at set-up, so that every later start of a program is quicker.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check unit cases night mutants kill-matrix fuzz drills drill test images engine-tests drill-docker drill-kind report bench \
	bench-repository lock clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Parts and Python packages are installed at the same time: both need only uv, and the code of harness.parts.
setup: $(BIN)/uv  ## make the virtual environment and install the parts into the shared cache
	@$(MAKE) --silent $(VENV)/stamp & filled=$$!; \
		$(BIN)/python -m harness.parts.install; parts=$$?; \
		wait $$filled && test $$parts = 0

$(BIN)/uv: $(LOCKS)/bootstrap.lock
	@echo "setup: making the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "blackstart needs Python 3.11 or newer: make PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKS)/bootstrap.lock
	@touch $@

# The path of the checkout is written down relative to the environment: Python reads it in the encoding of the locale, and
# with LC_ALL=C it would not start in a folder with an accent in its name.
$(VENV)/stamp: $(BIN)/uv requirements.lock requirements-dev.lock pyproject.toml hatch_build.py
	@echo "setup: installing the locked Python packages into $(VENV)"
	@test -f README.md || echo "# blackstart" > README.md
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@cd $(VENV)/lib/python3.*/site-packages && echo ../../../.. > _blackstart.pth
	@touch $@

check: setup  ## lint, format, types, import directions and house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/house
	$(BIN)/coverage run -m pytest -q tests/core
	$(BIN)/coverage report --skip-covered

# Tests with this marker are left out: BUT=night, as in CI.
BUT_NOT = $(if $(BUT), and not $(BUT))

unit: setup  ## unit tests of the harness, but for those of `make check`
	$(BIN)/pytest tests -m "not engine$(BUT_NOT)" --ignore=tests/house --ignore=tests/core

cases: setup  ## inputs of real estates, on PostgreSQL 14 to 18
	@for major in $(or $(MAJORS),14 15 16 17 18); do \
		echo "== PostgreSQL $$major"; BLACKSTART_PG_MAJOR=$$major $(BIN)/pytest tests/cases -m "cases$(BUT_NOT)" || exit 1; done

fuzz: setup  ## random damage of repositories and of all that is read from them: SECONDS for each of 12 targets
	BLACKSTART_FUZZ=$(or $(SECONDS),30) $(BIN)/pytest tests/fuzz

mutants: setup  ## take away one guard, oracle or fault at a time: a test must notice each (SAMPLE=10: ten of them)
	$(BIN)/python -m tests.mutants.run $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

kill-matrix: setup  ## kill drills, backups, WAL shipping, retention and rewrap before and after every change (SAMPLE=3: three of each)
	$(BIN)/python -m tests.kills.run $(if $(SAMPLE),--sample $(SAMPLE))

drills: setup  ## every drill of the embedded substrate
	$(BIN)/pytest features/$(if $(BUT), -m "not $(BUT)")
	$(BIN)/pytest $(GALLERY)

# The estate is prepared while its slower parts are still being installed.
drill: $(VENV)/stamp  ## lose the primary site and recover on the DR site, with a report
	@$(BIN)/blackstart prepare
	@$(BIN)/blackstart drill

night: test cases images engine-tests drill-docker drill-kind fuzz mutants kill-matrix  ## all that CI leaves out too; it takes hours

test: setup check unit drills  ## set-up, checks, unit tests and the embedded drills

images: setup  ## provide the images for docker and kind: pulled from a registry, or baked without one
	@$(BIN)/python -m harness.images.bake

engine-tests: setup  ## tests that need a container engine: images, substrates, clusters
	$(BIN)/pytest $(or $(TESTS),tests) -m "engine$(BUT_NOT)"

drill-docker: setup  ## every drill, with sites made of containers
	$(BIN)/pytest features/ --substrate=docker $(if $(DRILLS),-m "$(DRILLS)$(BUT_NOT)")
	$(BIN)/pytest $(GALLERY) --substrate=docker $(if $(DRILLS),-m "$(DRILLS)$(BUT_NOT)")

drill-kind: setup  ## every drill, with Kubernetes clusters made by kind
	$(BIN)/pytest features/ --substrate=kind $(if $(DRILLS),-m "$(DRILLS)")

report: setup  ## build the report of the newest drills
	@$(BIN)/blackstart report

bench: setup  ## run every benchmark
	@for one in memory logical tenants site_loss big_estate clusters leftovers; do echo "== $$one"; $(BIN)/python -m benchmarks.$$one || exit 1; done

bench-repository: setup  ## physical backups, restores and WAL beside pgBackRest, Barman and a pipe (root; ROUNDS=5)
	$(BIN)/python -m benchmarks.repository --record $(if $(ROUNDS),--rounds $(ROUNDS))

lock: setup  ## rewrite all lock files, with hashes and without registry addresses
	@$(BIN)/python -m harness.parts.lock

clean:  ## remove the virtual environment and the caches of tools; reports and the shared cache are kept
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
