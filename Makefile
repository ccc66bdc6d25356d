# On a fresh clone `make report` and `make test` need python3 (3.11 or later) with its venv module, nothing else.
# Another interpreter: make test PYTHON=python3.13. Further arguments: make test ARGS="-k lagrange". Tests run in WORKERS
# processes, a file of them in one process, so that what its tests share is made once; WORKERS=0 is for a debugger.
PYTHON ?= python3
WORKERS ?= 2
BIN = .venv/bin

.PHONY: report test test-minimum test-dist docs lint bench clean

report: .venv/installed
	$(BIN)/bptt report -o out/ $(ARGS)

test: .venv/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

# The lowest versions that pyproject.toml allows, in a venv of their own; what they warn of is no error.
test-minimum: .venv/installed
	$(PYTHON) -m venv --clear .minimum
	$(BIN)/uv pip install --quiet --python .minimum/bin/python --resolution lowest-direct -e '.[dev]'
	.minimum/bin/python -m pytest -n $(WORKERS) --dist loadfile -o filterwarnings=default -o cache_dir=.minimum/cache $(ARGS)

# The sdist's tests on the wheel that is built from it, in a temporary folder.
test-dist: .venv/installed
	PYTHON=$(PYTHON) WORKERS=$(WORKERS) bash .ci/dist $(ARGS)

# Pages in docs/_build/html; nothing is fetched, and a warning is an error.
docs: .venv/installed
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build/html $(ARGS)

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python benchmarks/derivation.py
	$(BIN)/python benchmarks/check.py --sample 40

clean:
	rm -rf .venv .minimum out dist docs/_build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "bptt needs Python 3.11 or later, and '$(PYTHON)' was not found; try: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bptt needs Python 3.11 or later, and \"$(PYTHON)\" is %d.%d; try: make PYTHON=/path/to/python3" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -b constraints.txt -e '.[dev]'
	@touch $@
