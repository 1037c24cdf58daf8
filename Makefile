# `make demo` and `make test` do all set-up themselves; PYTHON=/path/to/python chooses another interpreter.
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: help demo test lint quick test-oldest clean

help:
	@echo "make demo    set up, segment a synthetic TOF scan, evaluate and draw it (results in demo/), and leave the page in the browser running"
	@echo "make test    set up, check and test everything"
	@echo "make quick   the tests without the slow ones"
	@echo "make test-oldest   tests of the library with the oldest packages that are supported"
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

# Those of the library that need no torch.
OLDEST := $(VENV)-oldest
OLDEST_TESTS := $(addprefix Testing/vesselseg/,baselines cli/test_reporter.py cli/test_review_cli.py editing figures \
	formats morphology reports review) $(filter-out %/test_brain_mask.py %/test_devices.py %/test_phantom.py \
	%/test_segmentation.py,$(wildcard Testing/vesselseg/test_*.py))

$(OLDEST)/.ready: Testing/oldest-requirements.txt .ci/setup-oldest
	@.ci/setup-oldest $(OLDEST) $(PYTHON)
	@touch $@

test-oldest: $(OLDEST)/.ready
	PYTHONPATH=$(CURDIR)/VesselSegmentation OMP_NUM_THREADS=1 \
	$(OLDEST)/bin/python -m pytest -n auto --dist loadfile -m "not slow" $(OLDEST_TESTS)

clean:
	rm -rf $(VENV) $(OLDEST) demo artefacts build .pytest_cache .mypy_cache .ruff_cache
