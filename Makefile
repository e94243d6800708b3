# SPDX-License-Identifier: MIT
# A thin door to meson and to tools/: `make help` lists what can be asked for.
BUILD = build
FUZZ_SECONDS = 30
ARGS =

.DEFAULT_GOAL = all
.PHONY: deps build-deps test-deps lint-deps fuzz-deps all demo run test bench fuzz lint asan tsan install clean help
.NOTPARALLEL:

deps: ## install the Debian packages that building and running need, the dashboard's too
	@tools/deps build web

build-deps:
	@tools/deps build

test-deps: ## install what the tests and benchmarks need besides; starts no service
	@tools/deps build test

lint-deps: ## install the linters
	@tools/deps lint

fuzz-deps: ## install clang and its fuzzer
	@tools/deps build fuzz

$(BUILD)/build.ninja:
	@meson setup $(BUILD)

all: $(BUILD)/build.ninja ## build $(BUILD)/poise (the default)
	@ninja -C $(BUILD) poise

demo: build-deps all ## three backends, the balancer and traffic, in one command
	@$(BUILD)/poise demo $(ARGS)

run: all ## run the balancer; ARGS='-c FILE' or ARGS='--listen :8080 --backend HOST:PORT ...'
	@$(BUILD)/poise run $(ARGS)

test: deps test-deps all ## run every test; ARGS='--suite unit' or names run some
	@tools/test $(BUILD) $(ARGS)

asan: deps test-deps ## run every test under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/sanitize address,undefined build-asan $(ARGS)

tsan: deps test-deps ## run every test under ThreadSanitizer
	@tools/sanitize thread build-tsan $(ARGS)

bench: deps test-deps all ## compare with nginx and HAProxy on this machine
	@bench/run $(ARGS)

fuzz: fuzz-deps ## fuzz each target for FUZZ_SECONDS
	@tools/fuzz build-fuzz $(FUZZ_SECONDS)

lint: ## formatting, layers, lengths, style and static analysis
	@tools/lint

install: all ## install the program; PREFIX=/usr and DESTDIR= are honoured
	@$(if $(PREFIX),meson configure $(BUILD) --prefix $(PREFIX) &&) meson install -C $(BUILD) --no-rebuild

clean: ## remove every build directory
	rm -rf $(BUILD) build build-asan build-tsan build-fuzz

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | sed 's|$$(BUILD)|$(BUILD)|' | expand -t 12
