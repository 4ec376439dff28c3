# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate an inventory's secrets, if it has none, with characters that files, shells, SQL and journals escape.

Run with PYTHONPATH=collections as python -m lab.odd_secrets FILE ROLE …; C(playbooks/secrets.yml) generates letters
and digits only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import secret_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import Plan, complete, extended, new_secret

ASCII = "'\"\\ %s%% $HOME `id` #:;=@/?&!"
ENDS = (f"{ASCII}é中", f"{ASCII}x")


def odd(name: str, secret: str) -> str:
    """Return a secret that ends with the most unusual characters that this one may have.

    :arg name: its dotted name, such as C(ha_secrets.etcd_root).
    """
    return next(secret + end for end in ENDS if not list(secret_problems(name, secret + end)))


def odd_secrets(roles: list[str]) -> str:
    """Return the text of a secrets file with all secrets of a cluster, and passwords of these SQL roles."""
    plan = complete({}, roles, lambda: new_secret()[:16])
    return extended(
        "",
        Plan(
            {
                variable: {key: odd(f"{variable}.{key}", secret) for key, secret in secrets.items()}
                for variable, secrets in plan.missing.items()
            }
        ),
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(odd_secrets(sys.argv[2:]), encoding="utf-8")
