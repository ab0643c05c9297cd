# The two commands of a fresh machine: `make demo` and `make test`. Needs Python 3.11+ and git.

PYTHON ?= python3
BIN := .venv/bin
PLUGINS := executor logger
INSTALLED := .venv/installed
DEVELOPING := .venv/developing
COMPILED := .venv/compiled
SLURM := .venv/slurm

.PHONY: install slurm demo watch check-night test checks test-executor test-logger clean

install: $(INSTALLED)

$(INSTALLED): envs/requirements.txt $(wildcard $(PLUGINS:%=%/pyproject.toml) $(PLUGINS:%=%/src/*/*.py))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lightstack needs Python 3.11 or newer: make PYTHON=python3.11 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --force-reinstall $(PLUGINS:%=./%)
	touch $@

$(DEVELOPING): $(INSTALLED) envs/develop.txt
	$(BIN)/python -m pip install --quiet --requirement envs/develop.txt
	touch $@

# What it takes to run on Slurm, beside the above.
slurm: $(SLURM)

$(SLURM): $(INSTALLED) envs/slurm.txt $(wildcard executor/slurm/pyproject.toml executor/slurm/src/*/*.py)
	$(BIN)/python -m pip install --quiet --requirement envs/slurm.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --force-reinstall ./executor/slurm
	touch $@

# A simulated night, from raw frames to stacks, in the folder demo/.
demo: $(INSTALLED)
	$(BIN)/python -m scripts.lightstack.simulator demo
	$(BIN)/snakemake --directory demo --cores all

# Stack the frames of a folder, and again whenever some arrive: make watch NIGHT=/path/to/my_night
watch: $(INSTALLED)
	$(BIN)/python -m scripts.lightstack.planning.watching "$(NIGHT)"

# What the workflow does to artificial light in a night's frames, told in a table and a picture:
# make check-night NIGHT=/path/to/my_night SETTINGS="background=mesh"
check-night: $(INSTALLED)
	$(BIN)/python -m scripts.lightstack.checking.night "$(NIGHT)" $(SETTINGS)

# One more than there are processors, for tests wait now and then.
WORKERS = $(shell expr `getconf _NPROCESSORS_ONLN` + 1)

# All checks and tests: those that leave a processor idle side by side.
test: $(DEVELOPING)
	$(MAKE) --jobs 3 --output-sync test-executor $(COMPILED) checks test-logger
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

# Machine code that processes would else compile each by itself.
$(COMPILED): $(DEVELOPING) $(shell find scripts -name '*.py')
	$(BIN)/python -m tests.compiled
	touch $@

checks: $(DEVELOPING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	for plugin in $(PLUGINS) executor/slurm; do (cd $$plugin && $(CURDIR)/$(BIN)/mypy) || exit; done

test-executor test-logger: test-%: $(DEVELOPING)
	$(BIN)/pytest $* --numprocesses 2 --dist worksteal

# What `make` made; your own data and results stay.
clean:
	rm -rf .venv demo
