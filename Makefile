# `make` alone lists the targets. Everything runs in .venv, which the first target makes from requirements/.

PYTHON ?= python3
PIP_ARGS ?=
MIN_FREE_GB ?=
OUT ?= out/demo
SOURCE ?=
SPLIT ?=
RATE ?=
VIEW ?=
DEMO_ARGS ?=
TEST_ARGS ?=

VENV := $(CURDIR)/.venv
RUN := "$(VENV)/bin/python"
COLCON_DIR := out/colcon

# .venv brings its own ROS 2: one that this shell has sourced must not be mixed in.
ifdef ROS_DISTRO
unexport LD_LIBRARY_PATH
endif
unexport PYTHONPATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO RMW_IMPLEMENTATION _ROS_WHEELS_BOOTSTRAP_COMPLETE
export AMENT_PREFIX_PATH := $(VENV)
# Demo and tests talk to nobody outside this machine.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
export PIP_ARGS MIN_FREE_GB

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak figures lint types engines colcon format clean distclean

help: ## List the targets and their variables
	@echo "SERNet-Former for ROS 2. The first target that needs it makes .venv (README: what is downloaded)."
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo
	@echo "  PYTHON=python3.12     the Python that makes .venv (3.11 or 3.12)"
	@echo "  PIP_ARGS=\"...\"        further arguments for pip, e.g. for a CPU-only torch; kept (docs/install.md)"
	@echo "  SOURCE=PATH RATE=HZ   demo: your own video, folder of frames or CamVid tree; frames a second"
	@echo "  SPLIT=NAME            demo: part of a CamVid tree, e.g. val (docs/demo.md: its layout)"
	@echo "  VIEW=1                demo: show it meanwhile in the browser, on http://127.0.0.1:8080/"
	@echo "  OUT=DIR               demo: where its results go (out/demo)"
	@echo "  DEMO_ARGS=\"...\"       demo: further arguments (make demo DEMO_ARGS=--help)"
	@echo "  TEST_ARGS=\"...\"       test: some of them, in one process: arguments for pytest, e.g. TEST_ARGS=\"-k codec\""

setup: ## Make .venv or bring it up to date (the other targets do this by themselves)
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no '$(PYTHON)' on this machine. Install it: sudo apt install python3 python3-venv," >&2; \
		echo "or name another Python 3.11 or 3.12: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) scripts/setup_venv.py

demo: setup ## Drive the live node with synthetic street scenes, or SOURCE; results in out/demo
	$(RUN) -m sernet_ros.demo --out "$(OUT)" $(if $(SOURCE),--source "$(SOURCE)") $(if $(SPLIT),--split "$(SPLIT)") $(if $(RATE),--rate $(RATE)) $(if $(VIEW),--view) $(DEMO_ARGS)

# The tests that run ROS have the machine to themselves, for they watch rates; the others share it.
test: setup ## Run all tests
ifneq ($(strip $(TEST_ARGS)),)
	$(RUN) -m pytest $(TEST_ARGS)
else
	@failed=0; \
	$(RUN) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --ignore tests/ros tests || failed=1; \
	$(RUN) -m pytest tests/ros || failed=1; \
	exit $$failed
endif

soak: setup ## Drive the node with 10,000 frames and leave it idle: memory and CPU (about ten minutes)
	SERNET_SOAK=whole $(RUN) -m pytest -s tests/ros/test_soak.py

figures: setup ## Score the shipped models on the whole of CamVid's val, against README (some three minutes; needs SERNET_DATA)
	SERNET_WHOLE_VAL=1 $(RUN) -m pytest tests/core/test_evaluate.py -k stated

lint: setup ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: setup ## Check types
	$(RUN) -m mypy

engines: setup ## Add onnxruntime, the ONNX writer and the int8 quantiser to .venv (0.1 GB)
	$(RUN) -m pip --disable-pip-version-check install --quiet $(PIP_ARGS) -r requirements/engines.txt

# Run by .venv's Python: the executables' first line must name it, or they do not find torch.
colcon: setup ## Build the ROS package with colcon into out/colcon
	$(RUN) -m colcon --log-base $(COLCON_DIR)/log list | grep -F '(ros.ament_python)'
	$(RUN) -m colcon --log-base $(COLCON_DIR)/log build \
		--build-base $(COLCON_DIR)/build --install-base $(COLCON_DIR)/install
	@echo "To use it: export AMENT_PREFIX_PATH=$(VENV); . $(COLCON_DIR)/install/setup.sh"

format: setup ## Format the code and repair what lint can repair by itself
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean: ## Remove results and caches
	rm -rf out build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf .venv
