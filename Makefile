# How to run, test and change this project. `make` lists the targets.
#
# What comes from the distribution: requirements/system.sh. What comes from PyPI, locked with hashes:
# requirements/*.lock. Everything else is made below .venv, and nothing that is there already is touched. Each target
# asks the distribution only for what it uses itself. What is said of that goes to standard error: `make run` may
# stand in a pipe.

PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PORT ?= 9200
VERSION ?=

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test check unit test-stack test-kernels fuzz generate format elasticsearch bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A terminal's Ctrl-C reaches all that stands in its foreground, make included, and make would then end with an error
# of its own. So in the foreground of a terminal the agent gets a process group of its own (bash -m), and ends by itself;
# it does not stop on Ctrl-Z then, since nothing could wake it.
run: system-run $(VENV)/run ## trace this host; make run ARGS="--for 10s"
	@set -- $$(sed 's/.*) //' /proc/self/stat); \
	[ "$$3" = "$$6" ] || exec $(BIN)/lineage run $(ARGS); \
	exec bash -mc '(trap "" TSTP; exec "$$@")' - $(BIN)/lineage run $(ARGS)

test: check unit test-stack ## every test: check, unit, kernel, Elasticsearch, end to end, packaging, container engines

check: $(VENV)/dev ## linters, types, import contracts, generated files, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python bpf/generate_wire.py --check
	$(BIN)/python mappings/generate.py --check
	$(BIN)/python protocols/generate.py --check
	PIP_NO_INDEX=1 PIP_FIND_LINKS= $(PIP) install --dry-run --no-build-isolation --editable '.[dev]'

unit: system-test $(VENV)/dev ## all tests but those with container engines; make unit ARGS="tests/tree -k parent"
	$(BIN)/python -m pytest -m 'not stack' $(ARGS)

test-stack: system-stack $(VENV)/dev ## docker-compose.yml and container runtimes for real, with engines and images of its own
	$(BIN)/python -m pytest -m stack tests/stack

test-kernels: system-kernels $(VENV)/dev ## tests/kernel on Debian's 5.10, 6.1 and 6.12 too, emulated: an hour; ARGS="--only 6.1"
	@exec $(BIN)/python -m tests.kernels $(ARGS)

fuzz: $(VENV)/fuzz ## bytes that a fuzzer makes up, into decoder, tree and documents; make fuzz ARGS="--seconds 600"
	$(BIN)/python -m tests.fuzz $(ARGS)

generate: $(VENV)/dev ## write the generated files again, after a change of bpf/events.h, mappings/fields.yml or protocols/
	$(BIN)/python bpf/generate_wire.py
	$(BIN)/python mappings/generate.py
	$(BIN)/python protocols/generate.py

format: $(VENV)/dev ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

elasticsearch: system-elasticsearch $(VENV)/dev ## the tests' Elasticsearch in the foreground; PORT=9200, VERSION=9 or 8 (9 where it can run)
	@exec $(BIN)/python -m tests.elasticsearch.server --port $(PORT) $(if $(VERSION),--version $(VERSION))

bench: system-run $(VENV)/run ## the figures of this machine, as a table and as JSON
	@exec $(BIN)/lineage bench $(ARGS)

clean: ## remove what make made here; caches of the tests' servers stay
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# ---- what the targets above stand on ----

$(BIN)/python: | system-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is not Python 3.11 or later: name one with PYTHON=" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

SYSTEM := system-venv system-run system-elasticsearch system-test system-stack system-kernels
.PHONY: $(SYSTEM)
$(SYSTEM):
	@PYTHON=$(PYTHON) bash requirements/system.sh $(@:system-%=%) >&2

$(VENV)/run: requirements/run.lock requirements/build.lock pyproject.toml | $(BIN)/python
	@echo "installing the locked Python packages into $(VENV), about half a minute ..." >&2
	@$(PIP) install --require-hashes -r requirements/run.lock -r requirements/build.lock >&2
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable . >&2
	@touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.lock
	@echo "installing the locked Python packages for tests into $(VENV), about half a minute ..." >&2
	@$(PIP) install --require-hashes -r requirements/dev.lock >&2
	@touch $@

$(VENV)/fuzz: $(VENV)/dev requirements/fuzz.lock
	@$(PIP) install --require-hashes --only-binary atheris -r requirements/fuzz.lock >&2 || { \
		echo "the fuzzer, atheris, cannot be installed: it has packages for x86-64 and some versions of Python" \
			"alone, and this is $$($(BIN)/python -VV). PYTHON= names another. The tests do not need it." >&2; exit 1; }
	@touch $@

# The locks name versions and hashes, never where they came from.
LOCK := $(VENV)/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
lock: $(BIN)/python ## lock the dependencies of pyproject.toml again; ARGS=--upgrade for newer ones
	$(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet pip-tools
	$(LOCK) $(ARGS) --build-deps-for wheel --build-deps-for editable --only-build-deps -o requirements/build.lock pyproject.toml
	$(LOCK) $(ARGS) -c requirements/build.lock -o requirements/run.lock pyproject.toml
	$(LOCK) $(ARGS) --extra dev -c requirements/build.lock -c requirements/run.lock -o requirements/dev.lock pyproject.toml
	$(LOCK) $(ARGS) --extra fuzz -c requirements/build.lock -c requirements/run.lock -o requirements/fuzz.lock pyproject.toml
