# `make` lists what there is. ARGS goes to the program behind a target: make dev ARGS="--port 0 --json"

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTHON ?=
SEED ?= 1
# what goes through a pooler as it goes without: dialects, accept, apply, execute, streams, permissions, CLI, doctor, console
POOLED := tests/contract tests/e2e tests/console tests/integration/test_accept.py tests/integration/test_apply.py \
	tests/integration/test_doctor.py tests/integration/test_doctor_servers.py tests/integration/test_rates.py \
	tests/integration/test_servers.py tests/integration/test_sweep.py tests/integration/test_webhooks.py

# Tests start hundreds of processes, and each would compile what it imports of the project: a quarter of their time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install dev test test-slow test-api test-pooler test-browser faults faults-runs faults-hosts faults-upgrade soak check bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/installed ## make .venv from requirements.lock (quick the second time; PYTHON=... picks an interpreter)
	@:

dev: install ## start Postgres, Redis, the api and a worker; prints a curl to try
	@$(BIN)/threadmill dev $(ARGS)

test: install ## all tests that take seconds, on embedded Postgres and Redis
	@$(BIN)/pytest -n 3 --dist loadgroup -m "not slow and not browser" $(ARGS)

test-slow: install ## the tests that take minutes: one fault at a time, on processes of their own
	@$(BIN)/pytest -m alone tests/integration/isolation
	@$(BIN)/pytest -n 3 --dist loadgroup -m "slow and not browser and not alone" $(ARGS)

test-pooler: install ## tests of the service through a PgBouncer in transaction mode, of Debian's (minutes)
	@$(BIN)/python -m tests.elsewhere --pooler -- $(BIN)/pytest -n 2 --dist loadgroup \
		-m "not slow and not browser and not straight" $(or $(ARGS),$(POOLED))

test-browser: install ## the console in Chromium, with axe-core (SCREENSHOTS=DIR keeps pictures of each page)
	@$(BIN)/pytest -n 2 -m browser tests/console $(ARGS)

test-api: install ## made-up requests of all documents against a running service: 10,000 and more, minutes (SEED=1)
	@$(BIN)/python -m tests.documents --seed $(SEED) $(ARGS)

faults: install ## a fault a second under load, from kills to cut links, then a checker (SEEDS=1-20 MINUTES=1)
	@$(BIN)/python -m tests.faults.run

faults-runs: install ## kill executing workers, interrupt runs at random moments, then a checker (SEED=1)
	@$(BIN)/python -m tests.faults.executions kills --seed $(SEED)
	@$(BIN)/python -m tests.faults.executions cancels --seed $(SEED)

faults-hosts: install ## cut a host off in network namespaces, under load (ARGS="--cut back|to-servers|from-servers|all --forget")
	@$(BIN)/python -m tests.hosts.outage $(ARGS)

faults-upgrade: install ## exchange a version for the next one under load (ARGS="--to present" or "--to following --back")
	@$(BIN)/python -m tests.upgrade.rolling $(ARGS)

soak: install ## a mixed load with faults: what processes hold must stay flat (MINUTES=35 PACE=2 FAULTS=no)
	@$(BIN)/python -m tests.soak.run

check: install ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: scan sbom
scan: install ## secrets in the whole history, known vulnerabilities of what the lock files name
	@$(BIN)/python .ci/scan
	@.ci/audit

sbom: install ## dist/threadmill.cdx.json: what the image installs, as CycloneDX
	@$(BIN)/python .ci/sbom

bench: install ## throughput, latency and CPU against the plain-arq baseline
	@$(BIN)/python -m bench $(ARGS)

lock: install ## write requirements.lock and its parts in deploy/ anew from pyproject.toml (ARGS=--upgrade takes newer versions)
	@$(BIN)/python -m venv $(VENV)/lock
	@$(VENV)/lock/bin/pip install --quiet pip-tools
	@$(VENV)/lock/bin/python .ci/lock $(ARGS)

clean: ## remove .venv and the caches; the data in .data stay
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Everything goes to standard error: standard output belongs to the program (`make dev ARGS=--json`). pip would compile
# with one processor; what does not compile are templates of Python files, which it lets pass, too.
$(VENV)/installed: requirements.lock pyproject.toml
	@python="$$(.ci/find-python $(PYTHON))" && echo "making $(VENV) with $$python" >&2 && \
	"$$python" -m venv $(VENV) && \
	$(BIN)/pip install --quiet --no-compile --require-hashes -r requirements.lock >&2 && \
	{ $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib >&2; true; } && \
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e . >&2
	@touch $@
