# Zero Downtime Lab. Two commands are enough on a fresh Debian 12 with root and
# the Go toolchain: make up, make test.
#
# What is missing on this machine is found and installed by `zdl doctor`, and
# what a lab is made of is built and cached by `zdl build`: both do nothing when
# there is nothing to do, so every target may be called at any time.

GO       ?= go
PROFILE  ?=
NAME     ?= default
BIN      := bin
ZDL      := $(BIN)/zdl

# zdl itself is built without C, so that it can be asked what is missing on a
# machine that has no C compiler yet.
GOBUILD  := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false
REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.revision=$(REVISION)

# Packages without client-go and without the kernel: the race detector needs
# minutes to compile the others for the first time.
PURE := ./internal/arena ./internal/arena/autopilot ./internal/arena/replay ./internal/cause ./internal/cluster ./internal/experiment ./internal/fault ./internal/fault/attackfile ./internal/incident/... \
        ./internal/labfile ./internal/load ./internal/probe ./internal/report ./internal/timeline ./internal/topology \
        ./internal/web ./internal/web/visitor ./workload/web

# What a shared machine does shows in tests that time things. One that fails is
# run once more, by itself; both results are printed, and the second counts.
# More than four failures are no accident.
GOTESTSUM := $(GO) run gotest.tools/gotestsum@v1.13.0 --format standard-quiet --rerun-fails=1 \
             --rerun-fails-max-failures=4 --rerun-fails-run-root-test --packages ./... --

.DEFAULT_GOAL := help
.PHONY: help up down root programs packages build test test-packages test-unit test-race \
        ui ui-check test-cluster test-vm check bench arm64 arm64-programs clean clean-cache

help: ## say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r target text; do printf '  make %-14s %s\n' "$$target" "$$text"; done

up: build ## install what is missing, build, boot the default lab, say where to look
	@if $(ZDL) status --name $(NAME) 2>/dev/null; then \
		echo; echo "The lab $(NAME) is up already. Look at the page above, or: $(ZDL) watch"; \
	else \
		$(ZDL) up --name $(NAME) $(if $(PROFILE),--profile $(PROFILE)); \
	fi

down: ## remove the lab
	@if [ -x $(ZDL) ]; then $(ZDL) down --name $(NAME); else echo "nothing was built, so there is no lab"; fi

build: packages ## build everything a lab is made of, once
	@$(ZDL) build

# The programs of this module. Go's own cache makes this a matter of a second.
programs:
	@mkdir -p $(BIN)
	@$(GOBUILD) -ldflags '$(LDFLAGS)' -o $(ZDL) ./cmd/zdl
	@$(GOBUILD) -ldflags '-s -w' -o $(BIN)/zdl-init ./cmd/zdl-init

# Asked first, so that nobody waits for a compiler to hear it.
root:
	@[ "$$(id -u)" = 0 ] || { echo "this needs root; run it again with: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

packages: root programs
	@$(ZDL) doctor --fix --quiet --for build

test-packages: root programs
	@$(ZDL) doctor --fix --quiet --for test

test: test-packages check ui-check test-unit test-race build test-cluster ## install, build, and run all tests, on a real cluster too

check: ## gofmt and go vet
	@unformatted="$$(gofmt -l cmd deploy experiments incidents internal test workload upstream)"; \
		if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...

ui: ## build the page anew, with Node.js and npm
	internal/web/ui/build.sh $(BIN)/ui

ui-check: ## prove that the page's build is what its source makes
	internal/web/ui/build.sh $(BIN)/ui check

test-unit: ## tests that need neither root nor a kernel feature
	$(GOTESTSUM)

test-race: ## the pure packages under the race detector
	CGO_ENABLED=1 $(GO) test -race $(PURE)

# One package at a time: each of them keeps all cores busy, and times what it sees.
test-cluster: root ## tests on the kernel and on real clusters, as root, after make build
	ZDL_TEST_ROOT=1 $(GOTESTSUM) -p 1 -timeout 60m

test-vm: build ## cgroup v2 and netem, in a virtual machine with a stock Debian kernel
	ZDL_TEST_VM=1 $(GO) test -count 1 -timeout 3h -v ./test/vm

bench: build ## print boot times, memory, takeovers, each with machine, profile and versions
	$(GO) run ./test/bench

arm64: arm64-programs packages ## cross-build everything for arm64
	@$(ZDL) build --arch arm64

arm64-programs:
	@mkdir -p dist/arm64
	GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./cmd/... ./workload/...
	GOARCH=arm64 $(GOBUILD) -ldflags '$(LDFLAGS)' -o dist/arm64/ ./cmd/zdl ./cmd/zdl-init ./workload/web

clean: ## remove what was built in this directory
	rm -rf $(BIN) dist

clean-cache: ## remove the cached programs and images of labs, too
	rm -rf "$${ZDL_CACHE:-/var/cache/zdl}"
