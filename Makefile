# Every target installs its own requirements: a bare Debian or Ubuntu machine needs make, python3 and root only.
.DEFAULT_GOAL := help
SHELL := /bin/bash
LAB_COPY := $(subst $() ,-,$(strip $(filter bookworm,$(LAB_OS)) $(LAB_PROFILE)))
LAB := $(if $(LAB_COPY),.lab/$(LAB_COPY),inventory/lab)
BIN := .venv/bin
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)
FAULTS := all
LEDGER := tests/unit/plugins/plugin_utils/drill/data/primary_power_loss-1.ledger.json.gz
REPEAT := 1
MINUTES := 60
SEED := 1
LADDERS := reports/ladder-lab-*/ladder.json
# Only explorations have no limit by default.
LIMIT = $(if $(filter command,$(firstword $(origin MINUTES))),-e explore_minutes=$(MINUTES))
STEP := up
SCENARIOS := default failover maintenance backup haproxy keepalived three_nodes

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z_ -]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap: ## The virtualenv .venv and the collections
	@scripts/bootstrap

.PHONY: lab
lab: lab-nodes ## The whole cluster in seven containers on this machine (LAB_OS=trixie|bookworm LAB_PROFILE=fast)
	$(BIN)/ansible-playbook -i $(LAB) playbooks/site.yml
	$(BIN)/ansible-playbook -i $(LAB) lab/client.yml
	$(BIN)/ansible-playbook -i $(LAB) playbooks/restore_verify.yml
	$(BIN)/ansible-playbook -i $(LAB) playbooks/status.yml -e status_wait=60

.PHONY: lab-nodes
lab-nodes: bootstrap ## The lab's bare containers and generated secrets only (LAB_CPUS=0.27 gives each its own processors)
	@$(if $(filter .lab/%,$(LAB)),$(BIN)/python -m lab.inventory $(LAB) $(if $(LAB_PROFILE),--profile $(LAB_PROFILE)))
	@$(BIN)/python -m lab.nodes up $(LAB)/hosts.yml
	@PYTHONPATH=collections $(BIN)/python -m lab.odd_secrets $(LAB)/group_vars/all/secrets.yml app
	@$(BIN)/ansible-playbook -i $(LAB)/hosts.yml playbooks/secrets.yml -e secrets_plaintext=true

.PHONY: lab-down
lab-down: bootstrap ## Remove the lab's containers and network; the image and the package cache stay
	@$(BIN)/python -m lab.power down $(LAB)/hosts.yml
	@$(BIN)/python -m lab.nodes down $(LAB)/hosts.yml

.PHONY: status
status: ## The lab's health; fails when it is not healthy
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/status.yml

.PHONY: lab-next-version
lab-next-version: bootstrap ## A next version of the lab's installed packages (PACKAGES="pgbouncer etcd-server" STEP=down)
	@$(BIN)/python -m lab.next_version $(STEP) $(if $(filter up,$(STEP)),$(PACKAGES))

.PHONY: maintenance
maintenance: lab-next-version ## Update the lab to a next version and reboot its hosts, under load; reports in reports/
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/update.yml -e update_scope=stack -e evidence=true
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/reboot.yml -e reboot_all=true -e reboot_recent=0 -e evidence=true
	@$(BIN)/python -m lab.next_version down

.PHONY: drill
drill: bootstrap ## Every fault on the lab under write load (FAULTS=a,b REPEAT=3); the report goes to reports/
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/drill.yml -e drill_confirm=lab -e drill_faults=$(FAULTS) -e drill_repeat=$(REPEAT)

.PHONY: drill-picture
drill-picture: bootstrap ## docs/images/drill-timeline.svg of one injection (LEDGER=reports/<time>/<fault>-1.ledger.json.gz)
	@$(BIN)/python scripts/drill_picture.py $(LEDGER) docs/images/drill-timeline.svg

.PHONY: explore
explore: bootstrap ## Random schedules of overlapping faults on the lab (TRIALS=200 SEED=7 MINUTES=480); the same command goes on
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/explore.yml -e explore_confirm=lab -e explore_seed=$(SEED) \
		$(if $(TRIALS),-e explore_trials=$(TRIALS)) $(LIMIT) $(if $(SCHEDULE),-e explore_schedule=$(SCHEDULE))

.PHONY: ladder
ladder: bootstrap ## Pauses, cut links and stalled disks of 0.5 to 5 s on the lab, and which led to a failover (REPEAT=5)
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/explore.yml -e explore_confirm=lab -e explore_mode=ladder \
		-e explore_repeat=$(if $(filter command,$(firstword $(origin REPEAT))),$(REPEAT),5) $(LIMIT)

.PHONY: ladder-picture
ladder-picture: bootstrap ## docs/images/ladder.svg from ladders of several profiles (LADDERS="reports/ladder-lab-*/ladder.json")
	@$(BIN)/python scripts/ladder_picture.py docs/images/ladder.svg $(LADDERS)

.PHONY: lab-fencing
lab-fencing: bootstrap ## Let the lab's lease watchers ask a controller whether a silent leader is off (undo: make lab)
	@$(BIN)/python -m lab.power up $(LAB)/hosts.yml
	@$(BIN)/ansible-playbook -i $(LAB) lab/fencing.yml

.PHONY: soak
soak: bootstrap ## No unwanted failover: the lab under load and starvation (MINUTES=60); the report goes to reports/
	@$(BIN)/ansible-playbook -i $(LAB) playbooks/soak.yml -e soak_confirm=lab -e soak_minutes=$(MINUTES)

.PHONY: test
test: bootstrap browser etcd promtool age ## All checks: lint, types, units, docs, sanity, then the Molecule scenarios in containers
	@$(BIN)/python -m scripts.check lint types unit docs
	@$(BIN)/python -m scripts.check sanity
	@$(MAKE) --no-print-directory molecule

.PHONY: model
model: bootstrap ## The model of a failover: what holds, and the shortest counterexample without each rule (docs/model.md)
	@PYTHONPATH=.:collections:roles/lease_watcher/files:roles/patroni/files $(BIN)/python -m scripts.model

.PHONY: browser
browser: bootstrap ## Chromium for the tests of the drill's report
	@$(BIN)/python -m scripts.browser

.PHONY: age
age: bootstrap ## An age for the test of secrets from elsewhere
	@$(BIN)/python -m scripts.age

.PHONY: etcd
etcd: bootstrap ## An etcd for the tests of the lease watcher
	@$(BIN)/python -m scripts.etcd

.PHONY: promtool
promtool: bootstrap ## promtool and amtool for the tests of the alert rules
	@$(BIN)/python -m scripts.promtool

unit: etcd promtool age
.PHONY: lint types unit docs sanity
lint types unit docs sanity: bootstrap ## One kind of check
	@$(BIN)/python -m scripts.check $@

.PHONY: molecule
molecule: bootstrap ## The Molecule scenarios (SCENARIOS="haproxy keepalived" for some); a running lab is used and kept
	@python3 -m scripts.molecule $(SCENARIOS)

.PHONY: bench
bench: lab-nodes ## Time the deploy on bare nodes, the no-op and --check (recreates the lab)
	@$(BIN)/python -m scripts.bench

.PHONY: bench-noop
bench-noop: bootstrap ## The time of each step of a no-op on the running lab
	@$(BIN)/python -m scripts.bench noop $(LAB)

.PHONY: bench-scale
bench-scale: bootstrap ## Time one and three clusters in one inventory, and ansible-inventory with 900 hosts (own nodes)
	@$(BIN)/python -m scripts.bench_scale

.PHONY: bench-backup
bench-backup: bootstrap ## Compare backup and restore with pg_basebackup and cp, on the lab with 5 GB (SCALE=350)
	@$(BIN)/ansible-playbook -i $(LAB) lab/bench_backup.yml $(if $(SCALE),-e bench_scale=$(SCALE))

.PHONY: bench-path
bench-path: bootstrap ## The cost of the path: pgbench through it and directly to the primary (PORT=6432), idle services
	@$(BIN)/ansible-playbook -i $(LAB) lab/bench_path.yml $(if $(PORT),-e path_port=$(PORT))

.PHONY: reference
reference: bootstrap ## Generate docs/variables.md, docs/playbooks.md and the files from the topology's schema
	@$(BIN)/python -m scripts.generate_topology_reference
	@$(BIN)/python -m scripts.generate_variables_reference
	@$(BIN)/python -m scripts.generate_playbooks_reference

.PHONY: attack-table
attack-table: bootstrap ## Attack the lab from several seats, and write what was found to docs/attacks.md
	-@$(BIN)/python -m pytest -q tests/acceptance/test_attack.py
	@$(BIN)/python -m scripts.generate_attack_table --take .lab/attack.json

.PHONY: dashboards
dashboards: bootstrap ## Generate docs/dashboards from the descriptions in scripts/dashboards
	@$(BIN)/python -m scripts.dashboards.generate

.PHONY: dashboards-check
dashboards-check: bootstrap ## Ask the lab's Prometheus for every panel, and require data (PROMETHEUS=http://... CLUSTER=main)
	@$(BIN)/python -m scripts.dashboards.check $(or $(PROMETHEUS),$(LAB)) $(CLUSTER)

.PHONY: release
release: bootstrap ## Build the collection for publication, in .cache/release
	@$(BIN)/python -m scripts.release build

.PHONY: release-check
release-check: bootstrap ## Build the collection, install it in an empty folder, run its preflight and status on the lab
	@$(BIN)/python -m scripts.release check $(LAB)

.PHONY: ee
ee: bootstrap ## Build the image holdfast/ee, an execution environment with the collection, on the lab's Debian
	@$(BIN)/python -m scripts.ee build

.PHONY: ee-status
ee-status: bootstrap ## The lab's health, checked from a container of that image
	@$(BIN)/python -m scripts.ee status $(LAB)

.PHONY: site
site: bootstrap ## The docs site, in .cache/site/html
	@$(BIN)/python -m scripts.docs_site

.PHONY: matrix
matrix: bootstrap browser etcd promtool age ## Sanity and units with ansible-core 2.19, 2.20 and 2.21 (CORES=2.19 CHECKS=sanity for some)
	@$(BIN)/python -m scripts.matrix $(CORES) $(CHECKS)

.PHONY: amendments
amendments: bootstrap ## Which amendments apply to released versions of Patroni (fetched from PyPI)
	@$(BIN)/python -m pytest -v tests/acceptance/test_patroni_versions.py

.PHONY: acceptance
acceptance: lab ## On the lab: secrets, routing, self-healing, reboots, interruptions, the drill (hours; recreates its nodes)
	@$(BIN)/python -m pytest -v tests/acceptance
