# `make demo` and `make test` are all a newcomer needs; both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs venv browser slurm gpu torture lock package oldest clean

demo: venv
	$(BIN)/triptych demo

test: venv browser slurm
	$(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The variable silences a notice of the theme, which says nothing about these pages.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Pages are tested in a real browser: one that is here, else Debian's, else the one that Playwright brings.
browser: venv
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } \
	|| $(BIN)/playwright install chromium

# Jobs are tested on a Slurm that the tests begin themselves; without it they say what they leave out.
slurm:
	@command -v sbatch >/dev/null && command -v munged >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get -qq update && apt-get -qq install -y slurm-wlm munge >/dev/null; } \
	|| true

venv: $(VENV)/ready

# The constraints pin everything, and with it a PyTorch that has a build for CPUs: others may pull gigabytes of GPU packages.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Triptych needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# What a card does: make gpu DATA=folder [OUT=folder] [PYTHON=python3] [WORDS="--whole --only report"].
# With the Python that has the card's PyTorch: the environment above has a build for CPUs.
OUT ?= docs/results/gpu
gpu:
	PYTHONPATH=src $(PYTHON) benchmarks/gpu.py $(DATA) --out $(OUT) $(WORDS)

# Attacks for as long as you like: make torture [SECONDS=600] [SEED=0] [WORDS="kills full"]; a line of figures for each.
SECONDS ?= 600
SEED ?= 0
torture: venv
	$(BIN)/python torture --seconds $(SECONDS) --seed $(SEED) $(WORDS)

# The newest of everything but PyTorch, whose version is chosen by hand, into constraints.txt.
lock:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	grep '^torch==' constraints.txt > $(VENV)/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(VENV)/torch.txt -e '.[dev]'
	$(BIN)/python tools/lock.py > $(VENV)/lock.txt
	mv $(VENV)/lock.txt constraints.txt

# What is built, in an empty environment: with the versions that are pinned, or the oldest that are allowed and a part of the tests.
package:
	rm -rf build/package
	$(PYTHON) tools/supply.py build/package --constraints constraints.txt --demo

oldest:
	rm -rf build/oldest
	$(PYTHON) tools/supply.py build/oldest --constraints constraints-oldest.txt --tests

clean:
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache site
