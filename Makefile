# make help lists the targets. Everything runs in .venv, made by make env.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
IO_VENV = .venv-io
PEERS_VENV = .venv-peers
TPU_VENV = .venv-tpu
AZURITE = .azurite
FUZZ_VENV = .venv-fuzz
LOOPS_VENV = .venv-loops
DEMO = demo
SOURCES = hpa_records trainer tools tests

# The 1.9 GB of a GPU's TensorFlow only where there is a GPU.
EXTRA ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
# The minor version of TensorFlow; constraints/ has those that are supported.
TENSORFLOW ?= 2.21
CONSTRAINTS = constraints/tensorflow-$(TENSORFLOW).txt
STAMP = $(VENV)/.installed-$(EXTRA)-$(TENSORFLOW)
TEST_STAMP = $(VENV)/.installed-test
COMMA = ,

.DEFAULT_GOAL := help
.PHONY: help env env-test env-fuzz env-io env-azurite env-loops env-peers env-tpu constraints demo test \
  soak lint format clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' \
	  Makefile

env: $(STAMP)  ## Make .venv to convert and train (EXTRA=cpu, TENSORFLOW=2.19).

env-test: $(TEST_STAMP)  ## Add what tests and linters need; make test does.

env-fuzz: $(FUZZ_VENV)/.installed  ## Make .venv-fuzz with the fuzzers; make soak does.

env-io: $(IO_VENV)/.installed  ## Make .venv-io with the extra [io]; the tests do.

env-loops: $(LOOPS_VENV)/.installed  ## Make .venv-loops with the extra [loops]; the tests do.

env-peers: $(PEERS_VENV)/.installed  ## Make .venv-peers, for benchmark.py input.

env-azurite: $(AZURITE)/.installed  ## Install a server of Azure's storage; the tests do.

env-tpu: $(TPU_VENV)/.installed  ## Make .venv-tpu with the extra [tpu]; make soak does.

define make_venv
	@$(PYTHON) -m venv $(1) || { echo "Expected Python's venv module" \
	  "with ensurepip; on Debian: apt-get install python3-venv" >&2; exit 2; }
endef

# $(call install,FOLDER,EXTRAS,CONSTRAINTS,OPTION): with uv, or with pip if that fails (no
# uv for the platform, an index that only pip's configuration names). Modules are
# compiled as pip does it: at the first import, their SyntaxWarnings would fail
# tests. The stamp comes last, so that an interrupted installation starts again;
# it holds the seconds that it took.
define install
	begun=$$(date +%s) && \
	  { $(1)/bin/python -m pip install --quiet uv && \
	  $(1)/bin/python -m uv pip install --quiet $(or $(4),--compile-bytecode) \
	  --python $(1)/bin/python --constraint $(3) --editable ".[$(2)]" || \
	  $(1)/bin/python -m pip install --quiet --constraint $(3) \
	  --editable ".[$(2)]"; } && \
	  echo $$(($$(date +%s) - begun)) > $@
endef

# An environment of another EXTRA or TENSORFLOW is removed first: two
# TensorFlows write the same files.
$(STAMP): setup.cfg pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) tools/check_python.py
	@for stamp in $(VENV)/.installed-*; do \
	  case $$stamp in $@|$(TEST_STAMP)|*'*') ;; *) rm -rf $(VENV);; esac; done
	@rm -f $(VENV)/.installed-*
	$(call make_venv,$(VENV))
	$(call install,$(VENV),$(EXTRA),$(CONSTRAINTS))

$(TEST_STAMP): $(STAMP)
	$(call install,$(VENV),$(EXTRA)$(COMMA)test,$(CONSTRAINTS))

$(IO_VENV)/.installed: setup.cfg pyproject.toml constraints/tensorflow-2.17.txt
	@$(PYTHON) tools/check_python.py io
	$(call make_venv,$(IO_VENV))
	$(call install,$(IO_VENV),io,constraints/tensorflow-2.17.txt)

# The packages of the tests, in the same versions, and the fuzzers.
$(FUZZ_VENV)/.installed: setup.cfg pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) tools/check_python.py
	$(call make_venv,$(FUZZ_VENV))
	$(call install,$(FUZZ_VENV),$(EXTRA)$(COMMA)test$(COMMA)fuzz,$(CONSTRAINTS))

# PyTorch for Linux brings 3 GB of CUDA, unless an index of pip's configuration
# has its build for the CPU, of 190 MB. The tests do without it otherwise.
$(LOOPS_VENV)/.installed: setup.cfg pyproject.toml constraints/loops.txt
	@$(PYTHON) tools/check_python.py
	$(call make_venv,$(LOOPS_VENV))
	-$(LOOPS_VENV)/bin/python -m pip install --quiet --no-compile \
	  torch==2.13.0+cpu
	$(call install,$(LOOPS_VENV),loops,constraints/loops.txt,--no-compile-bytecode)

$(PEERS_VENV)/.installed: setup.cfg pyproject.toml constraints/peers.txt
	@$(PYTHON) tools/check_python.py
	$(call make_venv,$(PEERS_VENV))
	$(call install,$(PEERS_VENV),peers,constraints/peers.txt)

$(TPU_VENV)/.installed: setup.cfg pyproject.toml constraints/tpu.txt
	@$(PYTHON) tools/check_python.py
	$(call make_venv,$(TPU_VENV))
	$(call install,$(TPU_VENV),tpu$(COMMA)test-tpu,constraints/tpu.txt)

# From npm; its folder of packages is 190 MB.
$(AZURITE)/.installed:
	npm install --silent --no-audit --no-fund --prefix $(AZURITE) azurite@3.35.0
	touch $@

# $(call pin,FILE,OPTIONS): the newest versions that setup.cfg's ranges allow.
define pin
	$(BIN)/python -m uv pip compile --quiet --upgrade --no-annotate \
	  --custom-compile-command "make constraints" $(2) setup.cfg \
	  --output-file constraints/$(1).txt
endef

# $(call pin_tensorflow,VERSION,EXTRAS,BOUND): for every Python and platform. Of
# tensorflow-metadata, 1.21 does not load with the protobuf of TensorFlow < 2.20
# and does not say so. Later versions of anndata for Python 3.11 need pandas < 3.
define pin_tensorflow
	printf '%s\n' 'tensorflow==$(1).*' 'tensorflow-cpu==$(1).*' $(3) \
	  'anndata<=0.12.6; python_version=="3.11"' | \
	  $(call pin,tensorflow-$(1),--constraint - --universal --python-version 3.10 \
	  $(addprefix --extra=,cpu gpu remote export tfds beam embed features test fuzz $(2)))
endef
OLD_PROTOBUF = 'tensorflow-metadata<1.18'

# [tpu] and [peers] have wheels for Linux alone, and [loops] is tested there.
constraints: env  ## Write the newest versions into constraints/, to be tested.
	$(call pin_tensorflow,2.17,io,$(OLD_PROTOBUF))
	$(call pin_tensorflow,2.18,,$(OLD_PROTOBUF))
	$(call pin_tensorflow,2.19,,$(OLD_PROTOBUF))
	$(call pin_tensorflow,2.20)
	$(call pin_tensorflow,2.21)
	$(call pin,tpu,--extra=tpu --extra=test-tpu --python-platform=linux \
	  --python-version=3.10)
	$(call pin,loops,--extra=loops --python-platform=linux --python-version=3.11)
	$(call pin,peers,--extra=peers --python-platform=linux --python-version=3.11)

demo: env  ## Make sample data, convert it, train on it, write the report.
	rm -rf $(DEMO)
	$(BIN)/python tools/make_sample_data.py --output=$(DEMO)/data \
	  --num_samples=1000 --min_per_class=10 --size_px=256
	$(BIN)/python tools/make_records.py --csv=$(DEMO)/data/train.csv \
	  --images=$(DEMO)/data/train --output=$(DEMO)/records --image_size=128
	$(BIN)/python -m trainer.main --flagfile=demo.flags \
	  --records=$(DEMO)/records --workdir=$(DEMO)/run --fold=0
	$(BIN)/python tools/report.py --workdir=$(DEMO)/run

# In three parts, as a process keeps a part of each network that it built.
NETWORK_TESTS = tests/trainer/network tests/trainer/training
TEST_PARTS = "tests --ignore=tests/trainer" "$(NETWORK_TESTS)" \
  "tests/trainer $(addprefix --ignore=,$(NETWORK_TESTS))"

test: lint  ## Run the tests and the linters.
	failed=0; for part in $(TEST_PARTS); do \
	  $(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder \
	    --durations=40 $$part || failed=1; \
	done; exit $$failed

soak: env-test env-fuzz  ## Run fuzzers and long repetitions, which make test leaves out.
	$(BIN)/python -m pytest -q -s -m soak

lint: env-test  ## Check style, errors and which wing imports which.
	$(BIN)/yapf --diff --recursive $(SOURCES)
	$(BIN)/pylint $(SOURCES)
	$(BIN)/lint-imports --no-cache

format: env-test  ## Lay the code out as the linter wants it.
	$(BIN)/yapf --in-place --recursive $(SOURCES)

clean:  ## Remove what the other targets made.
	rm -rf $(VENV) $(AZURITE) .onnxruntime-web $(FUZZ_VENV) $(IO_VENV) $(LOOPS_VENV) $(PEERS_VENV) $(TPU_VENV) $(DEMO) .pytest_cache .hypothesis *.egg-info
