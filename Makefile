# symc: `make demo` and `make test` work as the first command; `make help` lists the rest.
# PYTHON=... chooses the interpreter (3.11 or newer) that .venv is made from.

VENV   ?= .venv
# The peers want other versions of what symc builds on, so they live apart.
BENCH  ?= .venv-bench
JOBS   ?= 2
WERROR ?= OFF

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
endif

PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check
TOOL := $(VENV)/bin
CPP  := $(wildcard cpp/*/*.cpp cpp/*/*.h cpp/*/*.def tests/cpp/*.cpp tests/cpp/*.h)
PYTEST := $(PY) -m pytest -q -n $(JOBS)

# TSan of older compilers needs addresses that are not randomised, where that may be asked for.
FIXED = $(shell setarch -R true 2>/dev/null && echo setarch -R)

# The build tools of the virtual environment come first on PATH.
export PATH := $(CURDIR)/$(TOOL):$(PATH)
export CMAKE_GENERATOR := Ninja

# Prints the requirements of the named lists of pyproject.toml, so that they are written once.
define REQUIREMENTS
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    toml = tomllib.load(file)
lists = toml["project"]["optional-dependencies"] | {
    "build": toml["build-system"]["requires"], "core": toml["project"]["dependencies"]}
print(*(f"'{line}'" for name in sys.argv[1:] for line in lists[name]), sep="\n")
endef
export REQUIREMENTS

define SANITIZE
	@echo "== C++ tests under $(1)"
	@cmake -S . -B build/$(2) -DSYMC_PYTHON=OFF -DSYMC_TESTS=ON -DSYMC_WERROR=$(WERROR) \
	    -DSYMC_SANITIZE=$(1) >build/$(2).log || { cat build/$(2).log; exit 1; }
	@cmake --build build/$(2) -j $(JOBS) >build/$(2).log || { cat build/$(2).log; exit 1; }
	@$(3) ctest --test-dir build/$(2) --output-on-failure --no-tests=error
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check tidy format bench fuzz mutate sanitize stubs build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## train three classifiers on handwritten digits and draw their loss
	@$(PY) examples/digits.py

test: build ## all tests, the C++ executables included
	@$(PYTEST)

check: $(VENV)/.dev ## format, lint, layers, types: needs no build
	@$(TOOL)/ruff check
	@$(TOOL)/ruff format --check
	@PYTHONPATH=src $(TOOL)/lint-imports --no-logo
	@$(TOOL)/mypy
	@$(if $(CPP),$(TOOL)/clang-format --dry-run --Werror $(filter-out %.def,$(CPP)),:)

format: $(VENV)/.dev ## rewrite sources in the house format
	@$(TOOL)/ruff check --fix-only -q
	@$(TOOL)/ruff format
	@$(if $(CPP),$(TOOL)/clang-format -i $(filter-out %.def,$(CPP)),:)

tidy: $(VENV)/.dev | build/ ## clang-tidy over the runtime
	@cmake -S . -B build/tidy -DSYMC_PYTHON=OFF -DSYMC_TESTS=OFF >/dev/null
	@printf '%s\n' $(filter-out %/bindings.cpp,$(wildcard cpp/runtime/*.cpp)) | \
	    xargs -P $(JOBS) -n 1 $(TOOL)/clang-tidy -p build/tidy --quiet

sanitize: $(VENV)/.deps | build/ ## C++ tests under ASan+UBSan, then TSan
	$(call SANITIZE,address$(,)undefined,asan)
	$(call SANITIZE,thread,tsan,$(FIXED))

bench: $(BENCH)/.built ## time the workloads of bench/ against their peers: make bench WORKLOADS=calls
	@$(BENCH)/bin/python -m bench.run $(WORKLOADS)

fuzz: build ## random programs for a while: make fuzz EXAMPLES=100000
	@HYPOTHESIS_PROFILE=fuzz SYMC_FUZZ_EXAMPLES=$(or $(EXAMPLES),10000) $(PYTEST) tests/fuzz

mutate: build ## draw wrong rules and derivatives, and see whether the tests catch them
	@$(PY) -m tools.mutation --draw $(or $(DRAW),60) --jobs $(JOBS)

stubs: build ## take over the type stub that the build made from the extension
	@$(PY) -c "import shutil, symc._runtime as r; \
	    shutil.copy(r.__file__.rpartition('/')[0] + '/_runtime.pyi', 'src/symc/_runtime.pyi')"

build: $(VENV)/.built ## build the extension and install symc, editable, into .venv

clean: ## remove what was built (the virtual environment stays)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -f $(VENV)/.built
	@find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null; true

, := ,

build/:
	@mkdir -p $@

$(PY):
	@test -n "$(PYTHON)" || { echo "symc needs Python 3.11 or newer: make PYTHON=/path/to/python3"; exit 1; }
	@echo "== making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

# Stamps: what is installed for which lists of pyproject.toml.
$(VENV)/.deps: INSTALL = build core test
$(VENV)/.dev: INSTALL = build core test dev
$(VENV)/.deps $(VENV)/.dev: pyproject.toml | $(PY)
	@echo "== installing requirements: $(INSTALL)"
	@$(PY) -c "$$REQUIREMENTS" $(INSTALL) | xargs $(PIP) install -qq
	@touch $@

$(BENCH)/.bench: pyproject.toml
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@echo "== installing peers"
	@$(BENCH)/bin/python -c "$$REQUIREMENTS" build core bench | \
	    xargs $(BENCH)/bin/python -m pip --disable-pip-version-check install -qq
	@touch $@

$(BENCH)/.built: $(BENCH)/.bench CMakeLists.txt $(wildcard cmake/*) $(CPP)
	@echo "== building symc beside its peers"
	@$(BENCH)/bin/python -m pip --disable-pip-version-check install -q --no-build-isolation \
	    --no-deps --config-settings=build-dir=build/bench -e .
	@touch $@

$(VENV)/.built: $(VENV)/.deps CMakeLists.txt tests/cpp/CMakeLists.txt $(wildcard cmake/*) $(CPP)
	@echo "== building symc"
	@$(PIP) install -q --no-build-isolation --no-deps \
	    --config-settings=cmake.define.SYMC_TESTS=ON \
	    --config-settings=cmake.define.SYMC_WERROR=$(WERROR) \
	    --config-settings=cmake.define.SYMC_TEST_DIR="$(CURDIR)/build/cpp" -e .
	@touch $@
