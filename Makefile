# make demo: set up, then run the whole benchmark on synthetic songs.   make test: set up, then run the quick tests.
PYTHON ?= python3
BIN := .venv/bin
DEMO_DATA := results/demo-musdb
# tests that share a run of the workflow stay on one worker
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

# install a Debian package, or with Homebrew, or say in one line what is missing
install_system = if command -v brew >/dev/null; then brew install $(2); \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $(1) >/dev/null; \
	elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq $(1) >/dev/null; \
	else echo "$(1) is missing: install it (Debian, Ubuntu: sudo apt-get install $(1); macOS: brew install $(2)), then run make again." >&2; exit 1; fi

.PHONY: demo test test-all test-slurm test-browser coverage lint format dist light setup fft ffmpeg chromium slurm readme clean

demo: setup $(DEMO_DATA)
	$(BIN)/madsep run --config-file workflow/configs/demo.yaml

$(DEMO_DATA): | setup
	$(BIN)/madsep synth $@ --train 12 --test 4 --seconds 20 --seed 1

test: setup
	$(PYTEST) -m "not slow"

# everything except the tests on Slurm and in a browser
test-all: setup
	$(PYTEST)

# as test-all, then the lines and branches of madsep/ that no test reached
coverage: setup
	$(PYTEST) --cov --cov-report=term-missing

# on a Slurm that the tests start and stop
test-slurm: setup slurm
	$(BIN)/python -m pytest tests/slurm

# the listening page in a headless Chromium
test-browser: setup chromium
	$(BIN)/python -m pytest tests/browser

lint: setup $(DEMO_DATA)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/hadolint workflow/envs/Dockerfile
	$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
	$(BIN)/snakemake --lint --configfile config.yaml workflow/configs/demo.yaml

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# dist/: the sdist, and the wheel that is built from it
dist: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation

# the wheel with its base dependencies alone, in an environment of its own
light: dist
	$(PYTHON) -m venv --clear .venv-light
	sed -n 's/^\([^ ]*==[^ ]*\).*/\1/p' requirements.txt > .venv-light/versions.txt
	.venv-light/bin/python -m pip install --quiet --constraint .venv-light/versions.txt dist/*.whl
	.ci/light .venv-light

readme: setup
	$(BIN)/python docs/make_readme.py

# site/: the documentation, with search, for a browser without a network
.PHONY: docs
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

setup: ffmpeg .venv/installed

# ducc0 (GPL): faster FFTs for the scoring engine
fft: setup
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-fft.txt

ffmpeg:
	@command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || { $(call install_system,ffmpeg,ffmpeg); }

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	{ $(call install_system,chromium,--cask chromium); }

# where there is no apt-get the tests say what is missing, and skip
slurm:
	@PATH="$$PATH:/usr/sbin"; command -v apt-get >/dev/null || exit 0; \
	command -v munged >/dev/null && command -v slurmctld >/dev/null && command -v slurmd >/dev/null || \
	{ $(call install_system,slurm-wlm munge,slurm-wlm); }

.venv/installed: requirements.txt requirements-torch.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "madsep needs Python 3.11 or newer, this is %d.%d; give another: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call install_system,python3-venv,python); }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --requirement requirements-torch.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf .venv .venv-light .snakemake dist results/* submission/*
