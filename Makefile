# Fluoro: run, test, build. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0
CONSOLE_SOURCES := $(shell find web/src web/public web/index.html web/package-lock.json web/vite.config.ts -type f 2>/dev/null)

.PHONY: help run build test unit web-test blackbox soak crashes check demo bench fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

run: build ## install what is missing, build console and binary, serve
	bin/fluoro serve

build: web/dist/index.html ## bin/fluoro, static, console included
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/fluoro ./cmd/fluoro

web/node_modules/.installed: web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@

web/dist/index.html: web/node_modules/.installed $(CONSOLE_SOURCES)
	cd web && npm run build

test: build unit web-test blackbox ## all tests; installs and starts what they need
	@echo "all tests passed"

# Simulated crashes and faults of the disk have one thread, and are slow under the race
# detector: they run without it.
FAULTS := Crash|crash|Fail_every|bitFlips|Tamper|Secrets|Damage|Inspect|Switch

unit: ## tests of the packages, with the race detector; some start real servers
	scripts/install-test-tools.sh
	$(GO) test ./internal
	$(GO) test -race $$($(GO) list ./cmd/... ./internal/... ./web/... | grep -v -e /internal$$ -e /store/local$$)
	$(GO) test -race -short -timeout 15m -skip '$(FAULTS)' ./internal/store/local
	$(GO) test -timeout 15m ./internal/store/local

web-test: web/node_modules/.installed ## type check and tests of the console
	cd web && npm run check && npm test

blackbox: build ## tests through the wire with the official clients
	scripts/install-test-tools.sh
	FLUORO_BIN=$(CURDIR)/bin/fluoro $(GO) test -count=1 -timeout 20m ./test/...

soak: build ## write soak.md: 30 minutes at 80 % of the peak, and whether memory was flat
	$(GO) run ./test/bench -fluoro bin/fluoro -soak 30m -rate 0.8 -out soak.md
	@cat soak.md

crashes: build ## kill the server 50 times under full load: what is lost, doubled, how fast it is back
	FLUORO_BIN=$(CURDIR)/bin/fluoro FLUORO_CRASHES=50 $(GO) test -count=1 -timeout 60m -run TestCrash -v ./test/wire

check: web/node_modules/.installed ## format, vet, staticcheck, import policy, habits, prose, type check
	@test -z "$$(gofmt -l cmd internal test web/*.go)" || { gofmt -l cmd internal test web/*.go; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 ./internal -run 'TestImports|TestHabits|TestProse'
	cd web && npm run check

demo: build ## a small shop sends traffic to a running `make run`
	bin/fluoro demo

bench: build ## write bench.md: what ingest and reads cost
	$(GO) run ./test/bench -fluoro bin/fluoro -out bench.md
	@cat bench.md

fuzz: ## run every fuzz target for 30 s
	scripts/fuzz.sh 30s

clean: ## remove what was built
	rm -rf bin web/dist/* web/node_modules .cache
	touch web/dist/.gitkeep
