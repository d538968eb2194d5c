# make help lists the targets. Everything runs in .venv, made by make env.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
DEMO = demo
SOURCES = hpa_records trainer tools tests

# The 1.9 GB of a GPU's TensorFlow only where there is a GPU.
EXTRA ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
STAMP = $(VENV)/.installed-$(EXTRA)

.DEFAULT_GOAL := help
.PHONY: help env demo test lint format clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' \
	  Makefile

env: $(STAMP)  ## Make .venv with all that is needed (EXTRA=cpu or gpu).

# The stamp comes last: an environment that was cut off is made again, and one
# of the other EXTRA is removed first: two TensorFlows write the same files.
$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) tools/check_python.py
	@for stamp in $(VENV)/.installed-*; do case $$stamp in $@|*'*') ;; \
	  *) rm -rf $(VENV);; esac; done
	@rm -f $(VENV)/.installed-*
	@$(PYTHON) -m venv $(VENV) || { echo "Expected Python's venv module" \
	  "with ensurepip; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --editable ".[$(EXTRA),test]"
	@touch $@

demo: env  ## Make sample data, convert it, train on it, show the scores.
	rm -rf $(DEMO)
	$(BIN)/python tools/make_sample_data.py --output=$(DEMO)/data \
	  --num_samples=1000 --min_per_class=10
	$(BIN)/python tools/make_records.py --csv=$(DEMO)/data/train.csv \
	  --images=$(DEMO)/data/train --output=$(DEMO)/records --image_size=128
	$(BIN)/python -m trainer.main --flagfile=demo.flags \
	  --records=$(DEMO)/records --workdir=$(DEMO)/run --fold=0

test: env lint  ## Run the tests and the linters.
	$(BIN)/python -m pytest -q

lint: env  ## Check style and errors, change nothing.
	$(BIN)/yapf --diff --recursive $(SOURCES)
	$(BIN)/pylint $(SOURCES)

format: env  ## Lay the code out as the linter wants it.
	$(BIN)/yapf --in-place --recursive $(SOURCES)

clean:  ## Remove what the other targets made.
	rm -rf $(VENV) $(DEMO) .pytest_cache .hypothesis *.egg-info
