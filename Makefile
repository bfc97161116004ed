# Two commands do everything on a fresh machine: `make run` and `make test`. Both install first when they must.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install run run-full test test-real check app docs bench bench-all clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

run: install
	$(BIN)/harness run baselines/visit_notes.yaml

run-full: install
	$(BIN)/harness run baselines/visit_notes-full.yaml

test: install check
	$(BIN)/python -m pytest -n 3 --dist loadfile

# The slow half: real models trained, tuned and raced, processes killed, a browser driven through everything. 4 minutes.
test-real: install
	$(BIN)/python -m pytest -n 2 --dist loadfile -m real

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

app: install
	$(BIN)/harness app

# Into site/, which opens from disk. The variable silences an advertisement that Material prints.
docs: install
	$(BIN)/python -c 'import material, mkdocstrings' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# About 20 minutes on two idle cores; what misses a bound today (bench/README.md) does not stop the rest. `end_to_end.py` and the rest take longer: bench-all.
bench: install
	$(BIN)/python bench/stats_speed.py
	$(BIN)/python bench/racing.py
	$(BIN)/python bench/training.py --only fp32
	$(BIN)/python bench/training.py --only processor
	$(BIN)/python bench/generation.py --quick
	-$(BIN)/python bench/scoring.py
	$(BIN)/python bench/overhead.py

bench-all: bench
	$(BIN)/python bench/generation.py
	$(BIN)/python bench/end_to_end.py
	$(BIN)/python bench/scale.py
	-$(BIN)/python bench/training.py --only bf16
	$(BIN)/python bench/store_race.py
	$(BIN)/python bench/resume.py
	$(BIN)/python bench/endpoint_parity.py
	$(BIN)/python bench/coverage.py
	$(BIN)/python bench/gates.py
	$(BIN)/python bench/blinding.py
	$(BIN)/python bench/review_load.py
	$(BIN)/python bench/app_speed.py
	$(BIN)/python bench/parity.py

clean:
	rm -rf .venv .harness build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
