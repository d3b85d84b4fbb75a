# make demo: the whole benchmark at toy scale. make test: all tests. Everything is installed into .venv on the way.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PIP := -qq --disable-pip-version-check --no-compile --constraint constraints.txt
# Where torch comes from. A machine without an NVIDIA GPU gets the CPU build if that index can be reached.
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null || { $(PYTHON) -c '$(PROBE)' >/dev/null 2>&1 && echo $(CPU_INDEX); })
CPU_INDEX := https://download.pytorch.org/whl/cpu
PROBE = import urllib.request; urllib.request.urlopen("$(CPU_INDEX)/torch/", timeout=5)

# A hundred jobs import torch. Where bytecode is not kept, as in many containers, each would compile it: 10 s a job.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help venv demo test check test-slurm test-browser pull merge docs clean
.DEFAULT_GOAL := help

help:  ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*##/  make \1:/p' $(MAKEFILE_LIST)

venv: $(VENV)/.installed  ## Make .venv and install what the benchmark needs

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install $(PIP) --upgrade pip  # Python 3.11's own takes twice as long for the next line
	$(RUN)/python -m pip install $(PIP) $(addprefix --extra-index-url ,$(TORCH_INDEX)) --editable '.[workflow]'
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(RUN)/python -m pip install $(PIP) --editable '.[workflow,dev]'
	@touch $@

demo: $(VENV)/.installed  ## Draw small data, train, score and print Table 3; minutes on two cores
# Table 3 has the long trainings: first, so that no core waits for one of them at the end.
	$(RUN)/snakemake --profile demo --prioritize table3 -- all_tables
	@cat runs/demo/results/tables/table3.md
	@echo
	@echo "All tables:  runs/demo/results/tables/"
	@echo "Figures:     runs/demo/results/figures/"
	@echo "Report page: runs/demo/results/report/index.html"

test: $(VENV)/.developer  ## Run the tests; those that need SLURM or Chromium are skipped where these are missing
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest --numprocesses 2 tests/unit tests/golden
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest --numprocesses 2 --dist loadgroup -rs tests/workflow tests/slurm

check: $(VENV)/.developer  ## Lint, type-check, and hold imports to the floors of docs/architecture.md
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	PATH="$(CURDIR)/$(RUN):$$PATH" snakefmt --check Snakefile workflow  # finds shfmt, which formats the shell blocks
	$(RUN)/mypy
	$(RUN)/lint-imports

test-slurm: $(VENV)/.developer  ## Test the SLURM profile on a real slurmctld with emulated nodes (root; installs SLURM)
	INSTALL_SLURM=1 $(RUN)/python -m pytest -rs tests/slurm

test-browser: $(VENV)/.developer  ## Test the report page in headless Chromium
	$(RUN)/python -m pytest -rs tests/browser

pull: $(VENV)/.installed  ## Fetch versioned results; fails if anything has to be computed again
	$(RUN)/dvc pull
	@$(RUN)/snakemake --summary -- all_tables | awk -F '\t' '$$NF == "update pending" { n++ } \
		END { if (n) { print "error: " n " files remain to be made: these results are not what params.yaml asks for" \
		" (list: snakemake --dry-run all_tables)"; exit 1 } print "Nothing to be done: every result is here and current" }'

merge: $(VENV)/.installed  ## Add the results of another git revision to those here: make merge REV=origin/theirs
	PATH="$(CURDIR)/$(RUN):$$PATH" python workflow/merge_results.py $(REV)

docs: $(VENV)/.developer  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict

clean:  ## Remove the demo's runs, caches and logs; never results/ or data/
	rm -rf runs/demo runs/tests runs/screenshots .mypy_cache .pytest_cache .ruff_cache site
