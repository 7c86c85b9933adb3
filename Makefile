# Needs make, and a Python from 3.11 up that has pip and venv. `make help` lists the targets.

# The folder of the virtual environment and what goes into it. `test-all` and `bench` give others.
VENV := .venv
LOCK := .locks/dev.txt
BIN := $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -n auto --dist loadfile
# What takes longer: real servers, a browser, commands as processes, and instructions that are counted. CI runs it too.
LONG := tests/conformance tests/operation tests/fuzz/test_growth.py tests/benchmarks tests/integrations/test_examples.py \
    tests/integrations/browser tests/integrations/cli tests/integrations/emulator tests/integrations/testing tests/test_package.py \
    tests/verifier/keys/test_cache_model.py tests/verifier/keys/test_cache_processes.py \
    tests/integrations/gateway
# Written last, so that a set-up that was cut short is taken up again.
STAMP := $(VENV)/.installed

# Nothing that the caller's shell has set for another project may lead pip or Python astray.
unexport VIRTUAL_ENV
unexport PYTHONHOME
unexport PYTHONPATH
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The lock file chooses pyright's version: no hint that there is a newer one, and no look for it.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# An environment is made again when it was moved (its scripts hold its old path), when its Python is gone, or when
# PYTHON asks for another version than it has.
VERSION := import sys; print(*sys.version_info[:2], sep=".")
USABLE := $(shell \
    test "$$(cat $(VENV)/.folder 2>/dev/null)" = "$(CURDIR)" \
    && has=$$($(BIN)/python -c '$(VERSION)' 2>/dev/null) \
    && { test -z "$(PYTHON)" || test "$$("$(PYTHON)" -c '$(VERSION)' 2>/dev/null)" = "$$has"; } \
    && echo yes)
ifneq ($(USABLE),yes)
$(STAMP): remake
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-floors check fuzz soak format test-all lock build bench bench-run clean remake

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-10s %s\n", $$1, $$2 }'
	@echo
	@echo "  PYTHON=/path/to/python3 chooses the Python; ARGS=\"...\" goes to what test, bench and lock run."

demo: $(STAMP) ## Show the door at work, on this machine alone
	@$(BIN)/doorward demo

test: $(STAMP) ## Run the tests
	@$(PYTEST) $(addprefix --ignore ,$(LONG)) $(ARGS)

test-long: $(STAMP) ## Run the tests that take longer: on real servers, over many processes, of how work grows
	@$(PYTEST) $(LONG) $(ARGS)

check: $(STAMP) ## Lint, and check the format, the types and the imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/pyright
	@# What applications write, and what must not type-check.
	@$(BIN)/pyright --project tests/typed
	@# It looks for the two packages as an installed user of them would, which an editable install hides.
	@for package in doorward doorward_integrations; do \
	    PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=verifier:integrations $(BIN)/pyright --ignoreexternal --verifytypes $$package > $(VENV)/.types \
	        || { cat $(VENV)/.types; exit 1; }; \
	    grep "completeness" $(VENV)/.types; \
	done
	@$(BIN)/lint-imports --no-cache

# Those adapters whose tests need nothing that is newer than the oldest version of their framework.
FLOORS = tests/verifier tests/fuzz $(patsubst %,tests/integrations/test_%.py,aiohttp django grpc)

test-floors: ## Run the tests of the library with the oldest versions that it accepts
	@$(MAKE) --no-print-directory VENV=.venvs/floors LOCK=.locks/floors.txt ARGS="-q $(FLOORS) $(ARGS)" test

# atheris has wheels for some versions of CPython on Linux only; elsewhere hypothesis goes on for longer.
fuzz: $(STAMP) ## Fuzz every parser and the door (SECONDS=30 for each property)
	@if $(BIN)/python -m pip install --quiet --require-hashes -r .locks/fuzz.txt 2>/dev/null; \
	then $(BIN)/python tests/fuzz/run.py $(or $(SECONDS),30) $(ARGS); \
	else DOORWARD_FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/fuzz $(ARGS); fi

soak: $(STAMP) ## Judge two real servers while keys, policy and machine go wrong (SECONDS=300)
	@$(BIN)/python tests/operation/soak/run.py --seconds $(or $(SECONDS),300)

format: $(STAMP) ## Format the code, and mend what the linter can
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

build: $(STAMP) ## Build the wheel and the source archive into dist/
	@$(BIN)/python -m build --no-isolation

bench: ## Measure, beside other libraries
	@$(MAKE) --no-print-directory VENV=.venvs/bench LOCK=.locks/benchmarks.txt bench-run

bench-run: $(STAMP)
	@$(BIN)/python benchmarks/run.py $(ARGS)

clean: ## Remove all that the other targets make
	@rm -rf .venv .venvs dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov .fuzz
	@find verifier integrations tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# One lock serves every Python and system. It names no index, so that pip takes the one it is set up for.
UV = .venvs/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-header --no-annotate $(ARGS)
COMPILE = $(UV) pyproject.toml --all-extras

lock: $(STAMP) ## Write the lock files anew (ARGS=--upgrade takes newer versions)
	@$(BIN)/python -m venv .venvs/lock
	@.venvs/lock/bin/python -m pip install --quiet --require-hashes -r .locks/uv.txt
	@echo "uv>=0.9" | $(UV) - --output-file .locks/uv.txt >/dev/null
	@$(COMPILE) --group tests --group types --output-file .locks/dev.txt >/dev/null
	@$(subst --generate-hashes,,$(COMPILE)) --resolution lowest-direct --output-file .venvs/lock/floors.in >/dev/null
	@$(COMPILE) --group tests --constraint .venvs/lock/floors.in --output-file .locks/floors.txt >/dev/null
	@echo "atheris>=2.3; sys_platform == 'linux'" | $(UV) - --output-file .locks/fuzz.txt >/dev/null
	@$(COMPILE) --group benchmarks --constraint .locks/dev.txt --output-file .locks/benchmarks.txt >/dev/null

# Tells whether an interpreter will do, and its version. It has to run, since a pyenv shim may be there and yet fail.
# Exit 0: good. Exit 3: new enough, but without what makes a virtual environment.
define PROBE
import sys
if sys.version_info < (3, 11): sys.exit(2)
print(*sys.version_info[:2], sep=".")
try: import ensurepip, venv
except ImportError: sys.exit(3)
endef
export PROBE

# As PROBE, for the interpreters that `test-all` looks for: finished releases of CPython, of the usual build, since
# the locked packages have wheels for those.
define CENSUS
import platform, sys, sysconfig
if platform.python_implementation() != "CPython" or sys.version_info.releaselevel != "final": sys.exit(2)
if sysconfig.get_config_var("Py_GIL_DISABLED"): sys.exit(2)
$(PROBE)
endef
export CENSUS

$(STAMP): pyproject.toml $(LOCK)
ifneq ($(USABLE),yes)
	@found=; bare=; \
	for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
	    code=0; version=$$("$$python" -c "$$PROBE" 2>/dev/null) || code=$$?; \
	    if [ $$code = 0 ]; then found=$$python; break; fi; \
	    if [ $$code = 3 ] && [ -z "$$bare" ]; then bare="$$python"; package="python$$version-venv"; fi; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	    echo "error: $$bare cannot make virtual environments: on Debian or Ubuntu, install $$package." >&2; exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
	    echo "error: no working Python from 3.11 up is there as $${PYTHON:-python3 or python3.11 to python3.14};" \
	        "install one, or name one with PYTHON=/path/to/python3." >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with Python $$version (this once) ..."; \
	"$$found" -m venv --clear $(VENV)
	@echo "$(CURDIR)" > $(VENV)/.folder
endif
	@# The lock is whole: pip has nothing to resolve, and would look for newer ones where an extra is asked for.
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test-all: ## Run the tests under every CPython from 3.11 up that is found
	@set --; IFS=:; for folder in $$PATH; do set -- "$$@" "$$folder"; done; unset IFS; \
	uv="$${UV_PYTHON_INSTALL_DIR:-$${XDG_DATA_HOME:-$$HOME/.local/share}/uv/python}"; \
	for folder in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin "$$uv"/*/bin; do set -- "$$@" "$$folder"; done; \
	found=; bare=; \
	for folder in "$$@"; do \
	    for python in "$$folder"/python3 "$$folder"/python3.[0-9] "$$folder"/python3.[0-9][0-9]; do \
	        [ -x "$$python" ] || continue; \
	        code=0; version=$$("$$python" -c "$$CENSUS" 2>/dev/null) || code=$$?; \
	        case "$$code $$found " in \
	            0*" $$version "*) ;; \
	            0*) found="$$found $$version"; mkdir -p .venvs; echo "$$python" > .venvs/$$version.found; \
	                echo "Found Python $$version: $$python";; \
	            3*) bare="$$bare $$version";; \
	        esac; \
	    done; \
	done; \
	for version in $$(printf '%s\n' $$bare | sort -u); do \
	    case "$$found " in *" $$version "*) ;; *) \
	        echo "Left out Python $$version: it cannot make virtual environments (on Debian: python$$version-venv)";; \
	    esac; \
	done; \
	if [ -z "$$found" ]; then echo "error: no working CPython from 3.11 up was found." >&2; exit 1; fi; \
	failed=; \
	for version in $$found; do \
	    echo "== Python $$version"; \
	    $(MAKE) --no-print-directory VENV=.venvs/$$version PYTHON="$$(cat .venvs/$$version.found)" test \
	        || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "error: the tests failed under Python$$failed (of$$found)." >&2; exit 1; fi; \
	echo "The tests passed under Python$$found."
