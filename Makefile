# make help lists the targets. Everything runs in .venv, made by make env.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
IO_VENV = .venv-io
PEERS_VENV = .venv-peers
TPU_VENV = .venv-tpu
FUZZ_VENV = .venv-fuzz
DEMO = demo
SOURCES = hpa_records trainer tools tests

# The 1.9 GB of a GPU's TensorFlow only where there is a GPU.
EXTRA ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
STAMP = $(VENV)/.installed-$(EXTRA)
COMMA = ,

.DEFAULT_GOAL := help
.PHONY: help env env-fuzz env-io env-peers env-tpu demo test soak lint format clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' \
	  Makefile

env: $(STAMP)  ## Make .venv with all that is needed (EXTRA=cpu or gpu).

env-fuzz: $(FUZZ_VENV)/.installed  ## Make .venv-fuzz with the fuzzers; make soak does.

env-io: $(IO_VENV)/.installed  ## Make .venv-io with the extra [io]; the tests do.

env-peers: $(PEERS_VENV)/.installed  ## Make .venv-peers, for benchmark.py input.

env-tpu: $(TPU_VENV)/.installed  ## Make .venv-tpu with the extra [tpu]; make soak does.

# $(call install,FOLDER,EXTRAS): the stamp comes last, so that an environment
# that was cut off is made again. It holds the seconds that it took.
define install
	@$(PYTHON) -m venv $(1) || { echo "Expected Python's venv module" \
	  "with ensurepip; on Debian: apt-get install python3-venv" >&2; exit 2; }
	begun=$$(date +%s) && \
	  $(1)/bin/python -m pip install --quiet --editable ".[$(2)]" && \
	  echo $$(($$(date +%s) - begun)) > $@
endef

# An environment of the other EXTRA is removed first: two TensorFlows write the
# same files.
$(STAMP): setup.cfg pyproject.toml
	@$(PYTHON) tools/check_python.py
	@for stamp in $(VENV)/.installed-*; do case $$stamp in $@|*'*') ;; \
	  *) rm -rf $(VENV);; esac; done
	@rm -f $(VENV)/.installed-*
	$(call install,$(VENV),$(EXTRA)$(COMMA)test)

$(IO_VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) tools/check_python.py io
	$(call install,$(IO_VENV),io)

# It sees what .venv has: the fuzzers run the same packages as the tests.
$(FUZZ_VENV)/.installed: $(STAMP)
	@$(PYTHON) -m venv $(FUZZ_VENV)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(FUZZ_VENV)/bin/python -c \
	  'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
	begun=$$(date +%s) && \
	  $(FUZZ_VENV)/bin/python -m pip install --quiet --editable ".[fuzz]" && \
	  echo $$(($$(date +%s) - begun)) > $@

$(PEERS_VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) tools/check_python.py
	$(call install,$(PEERS_VENV),peers)

$(TPU_VENV)/.installed: setup.cfg pyproject.toml
	@$(PYTHON) tools/check_python.py
	$(call install,$(TPU_VENV),tpu$(COMMA)test-tpu)

demo: env  ## Make sample data, convert it, train on it, write the report.
	rm -rf $(DEMO)
	$(BIN)/python tools/make_sample_data.py --output=$(DEMO)/data \
	  --num_samples=1000 --min_per_class=10
	$(BIN)/python tools/make_records.py --csv=$(DEMO)/data/train.csv \
	  --images=$(DEMO)/data/train --output=$(DEMO)/records --image_size=128
	$(BIN)/python -m trainer.main --flagfile=demo.flags \
	  --records=$(DEMO)/records --workdir=$(DEMO)/run --fold=0
	$(BIN)/python tools/report.py --workdir=$(DEMO)/run

test: env lint  ## Run the tests and the linters.
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

soak: env env-fuzz  ## Run fuzzers and long repetitions, which make test leaves out.
	$(BIN)/python -m pytest -q -s -m soak

lint: env  ## Check style, errors and which wing imports which.
	$(BIN)/yapf --diff --recursive $(SOURCES)
	$(BIN)/pylint $(SOURCES)
	$(BIN)/lint-imports --no-cache

format: env  ## Lay the code out as the linter wants it.
	$(BIN)/yapf --in-place --recursive $(SOURCES)

clean:  ## Remove what the other targets made.
	rm -rf $(VENV) $(FUZZ_VENV) $(IO_VENV) $(PEERS_VENV) $(TPU_VENV) $(DEMO) .pytest_cache .hypothesis *.egg-info
