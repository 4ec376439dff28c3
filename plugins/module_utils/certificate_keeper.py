# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a host's private key and certificates into their declared state."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_files as files
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import (
    Found,
    Wanted,
    first_certificate,
    reasons_to_renew,
)
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import end_of_authority, prove


class Keeper:
    """One run: the observed state of the host, the needed changes, and their execution."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, Any] = module.params
        self.wanted = [Wanted.from_entry(entry) for entry in self.params["certificates"]]
        self.ca = first_certificate(self.params["ca_content"])

    def run(self) -> dict[str, Any]:
        """Compare, write unless in check mode, and return the module's result."""
        self.warn_of_the_end()
        reasons = {wanted.path: found for wanted in self.wanted if (found := self.reasons(wanted))}
        self.refuse_unfit(reasons)
        key_pem, requests = self.key_and_requests([wanted for wanted in self.wanted if wanted.path in reasons])
        directories = [path for path in [self.params["directory"]] if files.directory_differs(path)]
        changed = [file for file in self.files_wanted(key_pem) if files.differs(file)]
        superfluous = [path for path in self.params["absent"] if Path(path).exists()]
        if not self.module.check_mode:
            self.refuse_unknown_accounts(changed)
            for path in directories:
                files.put_directory(path)
            for file in changed:
                files.put(file)
            for path in superfluous:
                Path(path).unlink()
        return result(reasons, [*directories, *(file.path for file in changed), *superfluous], requests)

    def warn_of_the_end(self) -> None:
        """Warn if the authority expires within a year, because its replacement takes preparation."""
        end = end_of_authority(self.ca) if self.ca else None
        if end and end - datetime.now(UTC) < timedelta(days=365):
            self.module.warn(f"The certificate authority ends on {end:%Y-%m-%d}: put its successor before it in ca.crt")

    def reasons(self, wanted: Wanted) -> tuple[str, ...]:
        """Return why a certificate, the one just signed or the one on disk, is not acceptable."""
        signed = self.params["signed"].get(wanted.path)
        days = self.params["renew_before_days"] if signed is None else 0
        found = self.prove(wanted.path) if signed is None else self.prove_signed(signed)
        return reasons_to_renew(found, wanted, datetime.now(UTC), timedelta(days=days))

    def prove(self, path: str) -> Found | str:
        """Return a certificate's content, or why it is unusable."""
        if self.ca is None:
            return "there is no certificate authority yet"
        return prove(path, self.params["private_key_path"], self.ca)

    def prove_signed(self, pem: str) -> Found | str:
        """Verify a certificate that isn't installed yet."""
        with tempfile.NamedTemporaryFile(dir=self.module.tmpdir) as staged:
            staged.write(with_newline(pem))
            staged.flush()
            return self.prove(staged.name)

    def key_and_requests(self, unfit: list[Wanted]) -> tuple[bytes | None, list[dict[str, str]]]:
        """Return a new private key (None: keep the present one) and the signing requests."""
        path = self.params["private_key_path"]
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
        """Return the desired state of every file."""
        params = self.params
        key = files.File(
            params["private_key_path"],
            key_pem,
            params["private_key_owner"],
            params["private_key_group"],
            int(params["private_key_mode"], 8),
        )
        public: dict[str, bytes | None] = {params["ca_path"]: with_newline(params["ca_content"])}
        public |= {wanted.path: None for wanted in self.wanted}
        public |= {path: with_newline(pem) for path, pem in params["signed"].items()}
        return [key, *(files.File(path, content, "root", "root", 0o644) for path, content in public.items())]

    def refuse_unfit(self, reasons: dict[str, tuple[str, ...]]) -> None:
        """Fail without an authority, and on signed certificates that are not acceptable."""
        if self.ca is None and not self.module.check_mode:
            self.module.fail_json(msg="ca_content holds no certificate")
        unfit = {path: reasons[path] for path in self.params["signed"] if path in reasons}
        if unfit:
            self.module.fail_json(msg=f"The certificate just signed is refused: {unfit}", reasons=unfit)

    def refuse_unknown_accounts(self, changed: list[files.File]) -> None:
        """Fail before anything is written when an owner or a group doesn't exist."""
        unknown = files.unknown_accounts(changed)
        if unknown:
            self.module.fail_json(
                msg=f"This host has no {', '.join(unknown)}; Debian's package ssl-cert has that group"
            )


def with_newline(pem: str) -> bytes:
    """Return PEM text as bytes that end in exactly one newline."""
    return pem.strip().encode() + b"\n"


def result(
    reasons: Mapping[str, Sequence[str]], changed_paths: list[str], requests: list[dict[str, str]]
) -> dict[str, Any]:
    """Return the module's result; its diff names files and reasons only."""
    before = [f"{path}: {reason}" for path, found in reasons.items() for reason in found]
    after = sorted({*changed_paths, *reasons})
    return {
        "changed": bool(changed_paths or reasons),
        "reasons": reasons,
        "changed_paths": changed_paths,
        "requests": requests,
        "diff": {
            "before": "".join(f"{line}\n" for line in before),
            "after": "".join(f"{path}: as it shall be\n" for path in after),
        },
    }
