# Segue: the two commands that matter are `make demo` and `make test`. `make help` lists all.
# Needs Python 3.11 or newer, make and git; everything else is installed into .venv.

PYTHON ?= $(shell python3.11 -c 'print("python3.11")' 2>/dev/null || echo python3)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
# Options for the program that a target runs, such as: make demo ARGS="--budget 1m"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test format lint types pytest clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup: $(INSTALLED) ## make .venv with Segue and its tools, at the versions of constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Segue needs Python 3.11 or newer; give one with: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## simulate, train, predict and score in a few minutes; results in segue-demo/
	$(VENV)/bin/segue demo $(ARGS)

test: format lint types pytest ## the whole check: format, lint, strict types, tests

format: setup
	$(RUN) -m ruff format --check .

lint: setup
	$(RUN) -m ruff check .

types: setup
	$(RUN) -m mypy

pytest: setup
	$(RUN) -m pytest -q -n 2 $(ARGS)

bench-%: setup FORCE ## run benchmarks/%.py, for example: make bench-border-weights ARGS="--rounds 1"
	$(RUN) -m benchmarks.$(subst -,_,$*) $(ARGS)

clean: ## remove caches and build products; .venv and segue-demo stay
	rm -rf build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:
