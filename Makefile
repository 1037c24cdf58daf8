# `make demo` and `make test` do all set-up themselves; PYTHON=/path/to/python chooses another interpreter.
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: help demo test lint quick clean

help:
	@echo "make demo    set up, segment a synthetic TOF scan, evaluate and draw it (results in demo/), and leave the page in the browser running"
	@echo "make test    set up, check and test everything"
	@echo "make quick   the tests without the slow ones"
	@echo "make lint    ruff and mypy"
	@echo "make clean   remove what these made"

$(READY): requirements.lock pyproject.toml .ci/setup
	@.ci/setup $(VENV) $(PYTHON)
	@touch $@

demo: $(READY)
	@$(VENV)/bin/vesselseg demo --output demo --overwrite --serve

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# One thread for each of the parallel tests: threads that wait for each other on few cores make them many times slower.
# In the order of the folders: files of one or two long tests would come last, when there is nothing left to run beside them.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: lint
	@.ci/browser
	$(PYTEST)

quick: $(READY)
	@.ci/browser
	$(PYTEST) -m "not slow"

clean:
	rm -rf $(VENV) demo artefacts build .pytest_cache .mypy_cache .ruff_cache
