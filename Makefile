# SPDX-License-Identifier: Apache-2.0
# The few commands that people type. Each installs what it needs and says so.
#
#   make demo     the main job, live, on a real kernel in a virtual machine
#   make test     every test there is: lint, types, C, Python, network namespace, lab
#   make check    lint, types and what is quick of the Python tests: for everyday work
#   make lab      the lab's scenarios alone     (K=expression, as pytest's -k)
#   make lab-crowd  64 PFs that lose LACP at once, minutes of them
#   make lab-heartbeat  a mute switch, noticed before the kernel does
#   make lab-switches  Open vSwitch, teamd and DPDK as the switch, with the relay and with heartbeats
#   make soak-heartbeat DURATION=600  heartbeats with nothing wrong, with each switch on a busy machine,
#                 for so many seconds   (CPUS=1; DELAY=yes: what the switches send is late at random)
#   make bench-heartbeat  how soon each switch's silence is noticed, by an exact clock
#                 (SWITCH=Teamd ROUNDS=5 RECOVERIES=2; EXACT= by that of this machine)
#   make lab-matrix  the lab on each kernel series that the archive offers
#   make cluster-test  the operator against real API servers, which it builds the first time, in 10
#                 minutes (KUBECONFIG=file: against that cluster)
#   make faults   whatever may go wrong, and how it ends: docs/faults.md     (K=words of a name, or numbers)
#   make dashboard  the Grafana dashboard as a picture: its queries, put to a Prometheus that has seen an
#                 incident in the lab   (AGAIN=yes: the incident of the last time, the lab is not run)
#   make soak     10 million events on a virtual clock (N=events), an hour on two idle cores, and 200
#                 real flaps
#   make cni-test CNI_BIN=folder  the CNI plugins behind the real sriov-cni and bond-cni
#   make docs     the documentation, into build/docs
#   make wheel    the sdist and a wheel with libnl in it, tried on each Python there is, into dist/
#   make image    a container image of agent and operator, from dist/   (BASE=debootstrap: made from
#                 Debian's packages, where no registry of images is reached)
#   make bench    figures, side by side with peers, by an exact clock
#   make bench-relay RELAY="command"  any relay program beside ours     (CASES="--vfs 4 --pfs 1")
#   make bench-operator  200 resources on 5,000 nodes: requests and bytes, by real API servers
#   make bench-check  fails where something takes 5 % longer than the baseline
#   make fuzz     the fuzzers, until Ctrl-C

PYTHON ?= python3
export PYTHON
VENV := .venv/bin
LAB := $(PYTHON) tests/lab/vm.py
CLUSTER_TEST := tests/kubernetes/test_cluster.py
LAB_TESTS := tests/lab $(patsubst %,--ignore=tests/lab/test_%.py,crowd heartbeat heartbeat_relay switches)

.PHONY: demo test dashboard check lint lint-only test-c test-python lab lab-crowd lab-heartbeat lab-switches soak-heartbeat bench-heartbeat lab-matrix cluster-test cni-test docs wheel image bench bench-check fuzz clean setup-build setup-lab setup-dashboard setup-switches setup-test setup-docs setup-bench faults soak bench-relay bench-operator

# The guest has an environment of its own: colour is told by an argument.
demo: setup-lab
	@color=; if { [ -t 1 ] || [ -n "$$FORCE_COLOR" ]; } && [ -z "$$NO_COLOR" ]; then color=--color; fi; \
	$(LAB) --timeout 240 --results results/demo -- $(VENV)/python tests/lab/demo.py $$color

test: setup-test lint test-c test-python lab
	@echo "make test: all rings passed"

lint: setup-build lint-only

lint-only:
	$(VENV)/ruff check . examples/cni/pfstatus-cni
	$(VENV)/ruff format --check pfstatus tests
	$(VENV)/mypy
	$(VENV)/mypy examples examples/cni/pfstatus-cni

check: setup-build
	@$(MAKE) --no-print-directory lint-only
	$(VENV)/pytest tests --ignore=tests/lab --ignore=tests/bench -q -m 'not slow' -n auto

test-c: setup-test
	PATH="$(CURDIR)/$(VENV):$$PATH" tests/c/run.sh

# The kernel of this machine, in network namespaces, is one of the rings: root, or a user namespace.
# The operator's against real API servers have a target of their own, cluster-test.
test-python: setup-test
	$(VENV)/pytest tests --ignore=tests/lab --ignore=tests/bench --ignore=$(CLUSTER_TEST) -q -n auto

cluster-test: setup-build
	[ -n "$$KUBECONFIG" ] || tests/kubernetes/servers.sh
	$(VENV)/pytest $(CLUSTER_TEST) -q --durations=5 $(if $(K),-k '$(K)')

lab: setup-lab build/lab/relay build/lab/status build/lab/pfstatus-cni
	$(LAB) --timeout 2100 --results results/lab -- \
		$(VENV)/python -m pytest $(LAB_TESTS) -q -p no:cacheprovider --durations=5 $(if $(K),-k '$(K)')

# 64 PFs take minutes to make and unmake: a boot of their own, and not part of `make test`.
lab-crowd: setup-lab
	$(LAB) --timeout 1500 -- $(VENV)/python -m pytest tests/lab/test_crowd.py -q -p no:cacheprovider

# Against the kernel's own three seconds: for a machine that does nothing else.
lab-heartbeat: setup-lab
	$(LAB) --timeout 1500 -- $(VENV)/python -m pytest tests/lab/test_heartbeat.py \
		tests/lab/test_heartbeat_relay.py -q -p no:cacheprovider --durations=5 $(if $(K),-k '$(K)')

DURATION ?= 600
CPUS ?= 2
soak-heartbeat: setup-switches
	$(LAB) --switches --cpus $(CPUS) --timeout $$(($(DURATION) + 420)) -- \
		$(VENV)/python tests/lab/calm.py $(DURATION) $(if $(DELAY),--delay)

# Each switch: mute, and DEFAULTED. SWITCH=Teamd: that one alone. EXACT=: by this machine's own clock.
ROUNDS ?= 5
RECOVERIES ?= 2
EXACT ?= --exact
bench-heartbeat: setup-switches
	$(LAB) --switches $(EXACT) --timeout 7200 -- $(VENV)/python tests/lab/heartbeat.py \
		--rounds $(ROUNDS) --recoveries $(RECOVERIES) $(if $(SWITCH),--switch $(SWITCH))

# Programs that others wrote as the switch; the first time they are downloaded.
lab-switches: setup-switches
	$(LAB) --switches --timeout 1500 -- \
		$(VENV)/python -m pytest tests/lab/test_switches.py -q -p no:cacheprovider --durations=5 $(if $(K),-k '$(K)')

# Every kernel series that the distribution's archive offers with headers, the lab's tests on each.
lab-matrix: setup-lab build/lab/relay build/lab/status build/lab/pfstatus-cni
	for kernel in $$($(LAB) --list); do \
		$(LAB) --kernel $$kernel --timeout 2100 -- \
			$(VENV)/python -m pytest $(LAB_TESTS) -q -p no:cacheprovider $(if $(K),-k '$(K)') || exit; \
	done

# Each fault is a function in tests/lab/faults; the quick ones are part of `make lab`.
faults: setup-lab
	$(LAB) --timeout 5400 --results results/faults -- $(VENV)/python tests/lab/fault_matrix.py $(if $(K),'$(K)')
	$(if $(K),,cp results/faults/faults.md docs/faults.md)

# What Prometheus kept is left in results/dashboard, for AGAIN=yes after a change of the dashboard.
dashboard: setup-dashboard
	$(if $(AGAIN),,$(LAB) --timeout 900 --results results/dashboard -- $(VENV)/python tests/lab/incident.py)
	$(VENV)/python tests/lab/dashboard.py results/dashboard
	cp results/dashboard/dashboard.svg docs/diagrams/dashboard.svg

N ?= 10000000
soak: setup-lab
	$(VENV)/python tests/soak.py --events $(N) --into results/soak.json
	$(LAB) --timeout 1800 -- $(VENV)/python tests/lab/flaps.py

build/lab/%: examples/%.c $(wildcard csrc/*)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Icsrc -o $@ $< csrc/*.c $$(pkg-config --cflags --libs libnl-3.0) -lpthread

build/lab/pfstatus-cni: examples/cni/pfstatus-cni.c $(wildcard csrc/*)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Icsrc -o $@ $< csrc/*.c $$(pkg-config --cflags --libs libnl-3.0 jansson) -lpthread

# The plugins as container runtimes run them, behind the real sriov-cni: CNI_BIN is a folder with
# cnitool, sriov, bond, static and host-device in it.
cni-test: setup-lab build/lab/pfstatus-cni
	@[ -x "$(CNI_BIN)/sriov" ] || { echo "make cni-test CNI_BIN=folder: there must be cnitool, sriov, bond, static" >&2; exit 2; }
	$(LAB) --timeout 1500 -- env CNI_BIN=$(abspath $(CNI_BIN)) \
		$(VENV)/python -m pytest tests/lab/test_cni.py tests/lab/test_sriov_cni.py -q -p no:cacheprovider --durations=5 $(if $(K),-k '$(K)')

docs: setup-docs
	$(VENV)/python -m sphinx -q -W --keep-going docs build/docs
	@echo "make docs: build/docs/index.html"

# PYTHONS="/path/to/python3.12 /path/to/python3.13" where they are not on the path.
wheel: setup-build
	tests/package/wheel.sh

image:
	tests/package/image.sh

bench: setup-bench build/bench/netlink build/bench/floor
	$(VENV)/python tests/bench/footprint.py
	$(VENV)/python tests/bench/cni.py
	$(LAB) --exact --timeout 7200 --results results/bench -- sh -c '\
		$(VENV)/python tests/bench/netlink.py && $(VENV)/python tests/bench/reaction.py'

bench-operator: setup-build
	tests/kubernetes/servers.sh
	$(VENV)/python tests/bench/operator_cluster.py

# CASES chooses from --vfs 4,64,256 --pfs 1,2,16 --cost 0,1.5; all of them take hours.
bench-relay: setup-bench
	$(LAB) --exact --timeout 36000 --results results/bench-relay -- \
		$(VENV)/python tests/bench/relay.py $(if $(RELAY),--relay '$(RELAY)') $(CASES)

# The baseline is tests/bench/baseline.json; WRITE=--write notes there what was found.
bench-check: setup-bench build/bench/netlink build/bench/floor
	$(LAB) --exact --timeout 3600 --results results/bench-check -- sh -c '\
		$(VENV)/python tests/bench/netlink.py --ours && \
		$(VENV)/python tests/bench/reaction.py --relay pfstatus --cases "^[0-9]+ VFs"'
	$(VENV)/python tests/bench/check.py results/bench-check $(WRITE)

build/bench/floor: tests/bench/floor.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -o $@ $<

build/bench/netlink: tests/bench/netlink.c $(wildcard csrc/*)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Icsrc -o $@ $< csrc/*.c \
		$$(pkg-config --cflags --libs libnl-3.0 libnl-route-3.0) -lpthread

fuzz: setup-test
	PATH="$(CURDIR)/$(VENV):$$PATH" tests/fuzz/run.sh

setup-build:
	@tests/setup.sh build
setup-lab:
	@tests/setup.sh build lab
setup-switches:
	@tests/setup.sh build lab switches
setup-test:
	@tests/setup.sh build lab test docs
setup-docs:
	@tests/setup.sh build docs
setup-dashboard:
	@tests/setup.sh build lab dashboard
setup-bench:
	@tests/setup.sh build lab bench

clean:
	rm -rf .venv build dist results
