# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a host's private key and certificates into their declared state, and its services to read them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_files as files
from ansible_collections.holdfast.ha.plugins.module_utils import timings
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import (
    Found,
    Wanted,
    first_certificate,
    is_older,
    reasons_to_renew,
)
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import end_of_authority, prove
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_units import Due, Reader, plan
from ansible_collections.holdfast.ha.plugins.module_utils.component import Changes, UnitPlan
from ansible_collections.holdfast.ha.plugins.module_utils.component_host import Host
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

ROTATE = "run playbooks/rotate_authority.yml"
REPLACE = "playbooks/site.yml -e certificates_replace_ca=true for all hosts"


class Keeper:
    """One run: the observed state of the host, the needed changes, and their execution."""

    def __init__(self, module: UnloggedModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.wanted = [Wanted.from_entry(entry) for entry in self.params["certificates"]]
        trusted = self.params["ca_content"]
        # Certificates of the user's own may come from any of the authorities.
        self.is_given = bool(self.params["private_key"])
        self.ca = trusted if self.is_given else self.params["issuer"] or first_certificate(trusted)
        since = self.params["issued_since"]
        self.issued_since = datetime.fromtimestamp(since, UTC) if since else None

    @property
    def next_key(self) -> str:
        """Where a new private key waits for its certificates, so that the services never see it without them."""
        return f"{self.params['private_key_path']}.new"

    def run(self) -> dict[str, Any]:
        """Compare, write unless in check mode, and return the module's result."""
        self.warn_of_the_end()
        reasons = {wanted.path: found for wanted in self.wanted if (found := self.reasons(wanted))}
        self.refuse_unfit(reasons)
        key_pem, requests = self.key_and_requests([wanted for wanted in self.wanted if wanted.path in reasons])
        directories = [path for path in [self.params["directory"]] if files.directory_differs(path)]
        changed = [file for file in self.files_wanted(key_pem) if files.differs(file)]
        superfluous = [path for path in self.superfluous if Path(path).exists()]
        if not self.module.check_mode:
            self.refuse_unknown_accounts(changed)
            for path in directories:
                files.put_directory(path)
            for file in changed:
                files.put(file)
            for path in superfluous:
                Path(path).unlink()
        paths = [*directories, *(file.path for file in changed), *superfluous]
        due = self.units([*paths, *reasons], waits=bool(requests))
        return result(reasons, paths, requests, due)

    def warn_of_the_end(self) -> None:
        """Warn if the authority expires within a year, because its replacement takes preparation."""
        end = end_of_authority(self.ca) if self.ca and not self.is_given else None
        if end and end - datetime.now(UTC) < timedelta(days=365):
            self.module.warn(f"The certificate authority ends on {end:%Y-%m-%d}: {ROTATE} before")

    def reasons(self, wanted: Wanted) -> tuple[str, ...]:
        """Return why a certificate, the one just signed or the one on disk, is not acceptable."""
        signed = self.params["signed"].get(wanted.path)
        if signed is not None:
            found = self.prove_signed(signed)
            if self.is_given:  # the controller has judged the content, which may have more names
                return (found,) if isinstance(found, str) else ()
            return reasons_to_renew(found, wanted, datetime.now(UTC), timedelta(0))
        days = timedelta(days=self.params["renew_before_days"])
        return reasons_to_renew(self.present[wanted.path], wanted, datetime.now(UTC), days, self.issued_since)

    @cached_property
    def present(self) -> dict[str, Found | str]:
        """The content of each certificate on the host, or why it is unusable."""
        return {wanted.path: self.prove(wanted.path, self.params["private_key_path"]) for wanted in self.wanted}

    @cached_property
    def renews_key(self) -> bool:
        """Whether the private key is to be replaced together with its certificates."""
        if not self.params["new_key"] or self.params["signed"]:
            return False
        return any(is_older(found, self.issued_since) for found in self.present.values())

    @property
    def superfluous(self) -> list[str]:
        """What must not be there: certificates, and a waiting key that a killed run left or that takes its place."""
        return [*self.params["absent"], *([] if self.renews_key else [self.next_key])]

    def prove(self, path: str, key_path: str) -> Found | str:
        """Return a certificate's content, or why it is unusable."""
        if not self.ca:
            return "there is no certificate authority yet"
        return prove(path, key_path, self.ca)

    def prove_signed(self, pem: str) -> Found | str:
        """Verify a certificate that isn't installed yet, with the key that it will be installed with."""
        waiting = files.read(self.next_key)
        key = self.params["private_key"].encode() or waiting
        with (
            tempfile.NamedTemporaryFile(dir=self.module.tmpdir) as staged,
            tempfile.NamedTemporaryFile(dir=self.module.tmpdir) as staged_key,
        ):
            staged.write(with_newline(pem))
            staged.flush()
            staged_key.write(key or b"")
            staged_key.flush()
            return self.prove(staged.name, staged_key.name if key else self.params["private_key_path"])

    def key_and_requests(self, unfit: list[Wanted]) -> tuple[bytes | None, list[dict[str, str]]]:
        """Return a new private key (None: keep the present one) and the signing requests."""
        path = self.next_key if self.renews_key else self.params["private_key_path"]
        if not unfit:
            return None, []
        if self.module.check_mode:
            return None if Path(path).exists() else b"", []
        # A run without changes doesn't get here: loading cryptography is most of this module's cost.
        from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto  # noqa: PLC0415

        if crypto.CRYPTOGRAPHY_ERROR:
            self.module.fail_json(msg=missing_required_lib("cryptography >= 38"), exception=crypto.CRYPTOGRAPHY_ERROR)
        present = crypto.load_key(files.read(path))
        key = present or crypto.new_key()
        request = crypto.new_request(key)
        requests = [{"path": wanted.path, "csr": request} for wanted in unfit]
        return None if present else crypto.key_pem(key), requests

    def files_wanted(self, key_pem: bytes | None) -> list[files.File]:
        """Return the desired state of every file. A key and its certificates follow each other at once."""
        params = self.params
        path = self.next_key if self.renews_key else params["private_key_path"]
        if params["signed"]:
            key_pem = params["private_key"].encode() or files.read(self.next_key)
        access = (params["private_key_owner"], params["private_key_group"], int(params["private_key_mode"], 8))
        key = files.File(path, key_pem, *access)
        public: dict[str, bytes | None] = {wanted.path: None for wanted in self.wanted}
        public |= {path: with_newline(pem) for path, pem in params["signed"].items()}
        ca = files.File(params["ca_path"], with_newline(params["ca_content"]), "root", "root", 0o644)
        return [ca, key, *(files.File(path, content, "root", "root", 0o644) for path, content in public.items())]

    def units(self, changing: Sequence[str], *, waits: bool) -> list[Due]:
        """Return what the services need; reload and restart them unless in check mode.

        :arg waits: whether certificates are still to be issued, so that it is too early.
        """
        readers = [Reader.from_entry(entry) for entry in self.params["units"]]
        if not readers or waits:
            return []
        host = Host(self.module)
        paths = {path for reader in readers for path in (*reader.restart_on, *reader.reload_on)}
        modified = {path: Path(path).stat().st_mtime for path in paths if Path(path).exists()}
        changes = Changes(frozenset(changing if self.module.check_mode else ()), modified)
        due = plan(readers, host.units([reader.unit for reader in readers]), changes, is_amended)
        if not self.module.check_mode:
            for one in (one for one in due if one.verbs):
                host.apply_unit(one.reader.wanted, UnitPlan(one.reader.unit, one.verbs))
        return due

    def refuse_unfit(self, reasons: dict[str, tuple[str, ...]]) -> None:
        """Fail without an authority, and on signed certificates that are not acceptable."""
        if not self.ca and not self.module.check_mode:
            self.module.fail_json(msg="ca_content holds no certificate")
        unfit = {path: reasons[path] for path in self.params["signed"] if path in reasons}
        if unfit:
            end = end_of_authority(self.ca or "")
            has_ended = end is not None and end < datetime.now(UTC)
            ended = f" The authority ended on {end:%Y-%m-%d}: run {REPLACE}." if has_ended else ""
            told = f"The certificate just signed is refused: {unfit}.{ended}"
            self.module.fail_json(msg=told, reasons=unfit)

    def refuse_unknown_accounts(self, changed: list[files.File]) -> None:
        """Fail before anything is written when an owner or a group doesn't exist."""
        unknown = files.unknown_accounts(changed)
        if unknown:
            self.module.fail_json(
                msg=f"This host has no {', '.join(unknown)}; Debian's package ssl-cert has that group"
            )


def is_amended(started_at: float) -> bool:
    """Return whether the Patroni that was started then runs with the present amendments."""
    return timings.is_amended() and not timings.restart_due(started_at)


def with_newline(pem: str) -> bytes:
    """Return PEM text as bytes that end in exactly one newline."""
    return pem.strip().encode() + b"\n"


def result(
    reasons: Mapping[str, Sequence[str]],
    changed_paths: list[str],
    requests: list[dict[str, str]],
    due: Sequence[Due] = (),
) -> dict[str, Any]:
    """Return the module's result; its diff names files, reasons and services only."""
    before = [f"{path}: {reason}" for path, found in reasons.items() for reason in found]
    before += [f"{one.reader.unit}: {reason}" for one in due for reason in (*one.reasons, *one.reloads)]
    after = [f"{path}: as it shall be" for path in sorted({*changed_paths, *reasons})]
    after += [f"{one.reader.unit}: {', '.join(one.verbs)}" for one in due if one.verbs]
    return {
        "changed": bool(changed_paths or reasons or any(one.verbs for one in due)),
        "reasons": reasons,
        "changed_paths": changed_paths,
        "requests": requests,
        "units": [one.as_data() for one in due],
        "diff": {"before": "".join(f"{line}\n" for line in before), "after": "".join(f"{line}\n" for line in after)},
    }
