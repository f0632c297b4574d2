# The commands that README names. On a bare Debian 12 with Rust, `make demo` is all it takes.

CARGO ?= cargo
CONFIG ?= $(wildcard nightline.toml)
# Only used when CI runs the tests: which nextest profile.
PROFILE ?= default
# What lint and tests build: also what a server has no use for.
BUILD = --workspace --features desk --locked

.PHONY: help demo serve test test-rust test-peers test-recipe fuzz bench lint fmt setup setup-test

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## A real call over loopback: asks, interrupts, asks for a person
	@scripts/setup demo
	@scripts/demo

serve: ## Answer calls, with nightline.toml if it is there
	@scripts/setup demo
	$(CARGO) run --release --locked -- serve $(if $(CONFIG),--config $(CONFIG))

test: ## All tests, also those with real SIP phones
	@$(MAKE) --no-print-directory test-rust
	@$(MAKE) --no-print-directory test-peers
	@$(MAKE) --no-print-directory test-recipe

test-rust: setup-test
	$(CARGO) nextest run $(BUILD) --profile $(PROFILE)
	$(CARGO) test $(BUILD) --doc

# What needs other programs is ignored where only `cargo test` is run.
test-peers: setup-test
	$(CARGO) nextest run $(BUILD) --profile $(PROFILE) --run-ignored only -E 'binary(phones) or binary(exchange)'
	test -x target/peers/bin/python || python3 -m venv target/peers
	target/peers/bin/pip install --quiet aiortc==1.16.0 av==18.1.0 websockets==15.0.1
	target/peers/bin/python tests/peers/run

# The recipe of the embedded recogniser, as far as it can be tested without torch.
test-recipe: setup-test
	test -x target/recipe/bin/python || python3 -m venv target/recipe
	target/recipe/bin/pip install --quiet --disable-pip-version-check jieba==0.42.1 'numpy>=2.4' pypinyin==0.55.0 'scipy>=1.17'
	target/recipe/bin/python -m unittest discover -s models/nano/tests -t models/nano

fuzz: setup-test ## A minute of fuzzing for each reader that strangers can reach; fuzz/run --help has more
	fuzz/run

bench: ## The benchmarks; results are explained in benches/RESULTS.md
	@scripts/setup demo
	$(CARGO) bench --workspace --locked
	@echo "turn latency on the wire: benches/turn_latency/run; many calls at once: benches/turn_latency/load.py --help"

lint: setup-test ## Formatting, clippy, and licences if cargo-deny is there
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(BUILD) --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --locked check bans licenses sources; \
	else echo "cargo-deny is not installed: licences are not checked (cargo install cargo-deny --locked)"; fi

fmt: ## Format the code
	$(CARGO) fmt --all

setup: setup-test ## Install what building and testing need (Debian; asks sudo if you are not root)

setup-test:
	@scripts/setup test
