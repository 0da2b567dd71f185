# What a developer does with this repository. `make` alone lists it.

GUESTS := formwork-example-file formwork-example-bucket formwork-example-stabilizing formwork-scripted-guest formwork-outbound-guest \
	formwork-faulty-guest formwork-faulty-assigned-guest formwork-hostile-guest
PUBLISHED := formwork-guest-macros formwork-guest formwork-host formwork-cloudformation formwork
BENCHES := sandbox operations durability cloud_control neighbours
DEBUG = $${CARGO_TARGET_DIR:-target}/debug
BINARY = $(DEBUG)/formwork

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt clippy doc deny shell bench chaos fuzz guests python node postgres package

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: guests ## take both example handlers through create, read, update, list and delete
	cargo build --locked -p formwork
	FORMWORK=$(BINARY) examples/demo.sh

test: ## do all that decides whether a change is good: guests, lint, packages, tests
	@.ci/test

lint: fmt clippy doc deny shell ## look for what is wrong without running it

fmt: ## look at the layout of the code
	cargo fmt --all --check

clippy: ## look for mistakes that Clippy knows
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: ## build the documentation, without broken links
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

deny: ## look at licences, duplicates, sources and advisories of the dependencies
	@.ci/deny

shell: ## look for mistakes in the shell scripts
	@.ci/shell

bench: guests ## measure the engine and the server; BENCHES=cloud_control measures the server alone
	cargo bench --locked -p formwork-host -p formwork -p formwork-tests $(BENCHES:%=--bench %)

chaos: guests ## kill and starve hosts under load, and look for what is lost; CAMPAIGN=NAME, SECONDS=N, ROUNDS=N, SEED=N, POSTGRES=18
	@# Built as `make test` builds it, so that nothing is built twice.
	cargo test --locked --workspace --no-run --test campaigns --test serve
	$(DEBUG)/chaos $(CAMPAIGN) $(SEED:%=--seed %) $(SECONDS:%=--seconds %) $(ROUNDS:%=--rounds %)

fuzz: SECONDS = 60
fuzz: ## look for inputs that break a promise; TARGET=NAME for one, SECONDS=N for each
	@.ci/fuzz $(SECONDS) $(TARGET)

guests: ## build the components of the examples and of the tests
	guest-sdk/build-guest $(GUESTS)

python: ## install the official tools that the tests run
	tests/setup-python

node: ## install the AWS SDK for JavaScript that the tests run
	tests/setup-node

postgres: ## install the database servers that the tests run; POSTGRES=17 that version
	tests/setup-postgres

package: ## look at what would be published
	cargo package --locked --no-verify --allow-dirty $(PUBLISHED:%=--package=%)
	@.ci/package $(PUBLISHED)
