# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages by component, equal to the roles' defaults (a unit test compares them)."""

from __future__ import annotations

PACKAGE_VARIABLES: dict[str, tuple[str, ...]] = {
    "common": ("certificates_packages",),
    "etcd": ("etcd_packages",),
    "postgresql": ("patroni_packages", "postgresql_objects_packages"),
    "lease_watcher": ("lease_watcher_packages",),
    "haproxy": ("haproxy_packages",),
    "keepalived": ("keepalived_packages",),
    "pgbouncer": ("pgbouncer_packages",),
    "backup": ("pgbackrest_packages",),
}
"""Host variables that add packages, by component."""

COMMON_PACKAGES: tuple[str, ...] = ("python3-cryptography", "ssl-cert")
"""What every member needs: the certificates role's."""

COMPONENT_PACKAGES: dict[str, tuple[str, ...]] = {
    "etcd": ("etcd-client", "etcd-server"),
    "postgresql": ("patroni", "postgresql", "python3-etcd", "python3-psycopg2", "ssl-cert"),
    "lease_watcher": (),
    "haproxy": ("haproxy",),
    "keepalived": ("keepalived", "nftables"),
    "pgbouncer": ("pgbouncer", "ssl-cert"),
    "backup": ("pgbackrest", "ssl-cert"),
}
