# Fluoro: run, test, build. `make help` lists the targets.
.PHONY: help build test check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

build: ## bin/fluoro, static
	CGO_ENABLED=0 go build -trimpath -o bin/fluoro ./cmd/fluoro

test: ## all tests
	go test ./internal/trace/

check: ## format, vet
	@test -z "$$(gofmt -l cmd internal)" || { gofmt -l cmd internal; exit 1; }
	go vet ./internal/trace/
