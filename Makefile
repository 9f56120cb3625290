# The commands of the project; each does all set-up it needs. `make PYTHON=…` chooses the interpreter.
.PHONY: help setup demo test test-313 check coverage bench reference clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1  /p' Makefile

setup:          ## .venv with the package and its test tools; as root on Debian also the programs tests run beside it
	@scripts/install-system-packages
	@PYTHON=$(PYTHON) scripts/make-venv .venv

demo: setup     ## the closed loop on this machine: attack, event, BGP FlowSpec rule, withdrawal
	@.venv/bin/tidegate demo

test: setup     ## every check: format, lint, types, tests, documents, architecture
	@scripts/run-checks .venv

test-313:       ## the tests on Python 3.13, in an environment of their own
	@scripts/make-venv .venv-3.13 3.13
	@scripts/run-checks .venv-3.13 tests

check: setup    ## the quick ones: format, lint, types
	@scripts/run-checks .venv static

coverage: setup ## lines and branches that the tests reach
	@.venv/bin/coverage run -m pytest -q && .venv/bin/coverage report --skip-covered

bench: setup    ## the benchmarks, each figure beside its bar
	@.venv/bin/tidegate bench

reference: setup ## write the generated pages again, and the figures from benchmarks/figures.json
	@.venv/bin/python scripts/make_reference.py

clean:          ## remove what the commands above made
	rm -rf .venv .venv-3.13 build .coverage* .mypy_cache .ruff_cache .pytest_cache
