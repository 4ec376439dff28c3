# Everything sets itself up: a bare Debian or Ubuntu machine with make, python3 and root needs nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/bash
LAB := inventory/lab
BIN := .venv/bin
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)
FAULTS := all
LEDGER := tests/unit/plugins/plugin_utils/drill/data/primary_power_loss-1.ledger.json.gz
REPEAT := 1
MINUTES := 60
SCENARIOS := default haproxy keepalived three_nodes failover backup

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z_ -]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap: ## The virtualenv .venv and the collections
	@python3 scripts/bootstrap

.PHONY: lab
lab: lab-nodes ## The whole cluster in seven containers on this machine (LAB_OS=trixie|bookworm)
	$(BIN)/ansible-playbook -i $(LAB) playbooks/site.yml
	$(BIN)/ansible-playbook -i $(LAB) lab/client.yml
	$(BIN)/ansible-playbook -i $(LAB) playbooks/restore_verify.yml
	$(BIN)/ansible-playbook -i $(LAB) playbooks/status.yml -e status_wait=60

.PHONY: lab-nodes
lab-nodes: bootstrap ## The lab's bare containers and generated secrets only (LAB_CPUS=0.27 gives each its own processors)
	@$(BIN)/python lab/nodes.py up $(LAB)/hosts.yml
	@$(BIN)/python lab/odd_secrets.py $(LAB)/group_vars/all/secrets.yml app
	@$(BIN)/ansible-playbook -i $(LAB)/hosts.yml playbooks/secrets.yml -e secrets_plaintext=true

.PHONY: lab-down
lab-down: bootstrap ## Remove the lab's containers and network (the image and the package cache stay)
	@$(BIN)/python lab/power.py down $(LAB)/hosts.yml
	@$(BIN)/python lab/nodes.py down $(LAB)/hosts.yml

.PHONY: status
status: ## The lab's health; fails when it is not healthy
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/status.yml

.PHONY: drill
drill: bootstrap ## Every fault on the lab under write load (FAULTS=a,b REPEAT=3); the report goes to reports/
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/drill.yml -e drill_confirm=lab -e drill_faults=$(FAULTS) -e drill_repeat=$(REPEAT)

.PHONY: drill-picture
drill-picture: bootstrap ## docs/images/drill-timeline.svg of one injection (LEDGER=reports/<time>/<fault>-1.ledger.json.gz)
	@$(BIN)/python scripts/drill_picture.py $(LEDGER) docs/images/drill-timeline.svg

.PHONY: lab-fencing
lab-fencing: bootstrap ## The lab's lease watchers ask a controller whether the silent leader is off (make lab ends it)
	@$(BIN)/python lab/power.py up $(LAB)/hosts.yml
	@$(BIN)/ansible-playbook -i $(LAB) lab/fencing.yml

.PHONY: soak
soak: bootstrap ## No failover for nothing: the lab under load and starvation (MINUTES=60); the report goes to reports/
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/soak.yml -e soak_confirm=lab -e soak_minutes=$(MINUTES)

.PHONY: test
test: bootstrap browser etcd ## Everything: lint, types, units, docs, sanity, then the Molecule scenarios in containers
	@$(BIN)/python scripts/check.py lint types unit docs
	@$(BIN)/python scripts/check.py sanity
	@$(MAKE) --no-print-directory molecule

.PHONY: browser
browser: bootstrap ## Chromium for the tests of the drill's report
	@$(BIN)/python scripts/browser.py

.PHONY: etcd
etcd: bootstrap ## An etcd for the tests of the lease watcher
	@$(BIN)/python scripts/etcd.py

unit: etcd
.PHONY: lint types unit docs sanity
lint types unit docs sanity: bootstrap ## One kind of check alone
	@$(BIN)/python scripts/check.py $@

.PHONY: molecule
molecule: bootstrap ## The Molecule scenarios (SCENARIOS="haproxy keepalived" for some); a running lab is kept
	@python3 scripts/molecule.py $(SCENARIOS)

.PHONY: bench
bench: lab-nodes ## Time the deploy on bare nodes, the no-op and --check (recreates the lab)
	@$(BIN)/python scripts/bench.py

.PHONY: bench-backup
bench-backup: bootstrap ## Backup and restore beside pg_basebackup and cp, on the lab with 5 GB of data (SCALE=350)
	@$(BIN)/ansible-playbook -i $(LAB) lab/bench_backup.yml $(if $(SCALE),-e bench_scale=$(SCALE))

.PHONY: bench-path
bench-path: bootstrap ## What the path costs: pgbench through it and straight to the primary (PORT=6432), idle services
	@$(BIN)/ansible-playbook -i $(LAB) lab/bench_path.yml $(if $(PORT),-e path_port=$(PORT))

.PHONY: reference
reference: bootstrap ## Generate docs/variables.md again
	@$(BIN)/python scripts/generate_variables_reference.py

.PHONY: acceptance
acceptance: lab ## On the lab: secrets, routing, self-healing, reboots, interruptions, the drill (hours; recreates its nodes)
	@$(BIN)/python -m pytest -v tests/acceptance
