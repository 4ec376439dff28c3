# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The permitted characters of secrets: all but those that a file or program on their way can't carry."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import FORMER_SECRETS, SECRETS
from jinja2 import Environment, TemplateError
from jinja2.nodes import Output, TemplateData

LONGEST = 1024
"""Bytes; some services cut the lines of their files above this length."""
BCRYPT_LONGEST = 72
"""The maximum bytes of a password in etcd."""
PATRONI_OWN = ("patroni_rest", "postgresql_replication", "postgresql_rewind", "postgresql_superuser")
SQL_PASSWORDS = frozenset(secret.name for secret in SECRETS if secret.sql_role)
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
HASH = re.compile(r"md5[0-9a-f]{32}|SCRAM-SHA-256\$.*")
TEMPLATE_STARTS = ("{{", "{%", "{#")
TEMPLATED = "has {{, {% or {#, by which Ansible takes it for a template"
LITERAL = "mark it !unsafe, or encrypt it with ansible-vault encrypt_string, where it is no template"


def has_control(text: str) -> bool:
    """Whether a text has a line break or another control character."""
    return any(unicodedata.category(character) in UNPRINTABLE for character in text)


def text_problems(value: object) -> Iterator[str]:
    """Yield the problems of a secret of one line. The value itself is never shown."""
    if not isinstance(value, str):
        yield "must be a text, quote it"
        return
    if not value.strip():
        yield "is blank"
    elif value != value.strip():
        yield "begins or ends with a blank, which pgBackRest and others drop"
    if has_control(value):
        yield "has a line break or another control character, which ends a line of a configuration file"
    if any(ord(character) > 0xFFFF or ord(character) in (0xFFFE, 0xFFFF) for character in value):
        yield "has a character beyond U+FFFD, such as an emoji, which Patroni's YAML can't carry"
    if len(value.encode("utf-8", "surrogatepass")) > LONGEST:
        yield f"has more than {LONGEST} bytes"


def secret_problems(name: str, value: object) -> Iterator[str]:
    """Yield the problems of a secret for the services that read it.

    :arg name: its dotted name, such as C(ha_secrets.etcd_root).
    """
    yield from text_problems(value)
    if not isinstance(value, str):
        return
    variable, _dot, key = name.partition(".")
    if variable not in ("ha_secrets", FORMER_SECRETS["ha_secrets"]):
        return
    if key.startswith("etcd_") and len(value.encode("utf-8", "surrogatepass")) > BCRYPT_LONGEST:
        yield f"has more than {BCRYPT_LONGEST} bytes, which etcd does not take"
    if key in PATRONI_OWN and not value.isascii():
        yield "has a character beyond ASCII, which Patroni sends in another encoding than it expects"
    if key.startswith("postgresql_") and "$$" in value:
        yield "has $$, which ends the statement by which Patroni sets it"
    if key in SQL_PASSWORDS and HASH.fullmatch(value):
        yield "looks like the hash of a password, and would be taken for one"


def is_templated(text: str) -> bool:
    """Whether Ansible would render a text as a template, if it trusted it."""
    return text.startswith("#jinja2:") or any(start in text for start in TEMPLATE_STARTS)


def is_expression(text: str) -> bool:
    """Whether a template is one C({{ expression }}) and nothing else, as a reference to another variable is."""
    try:
        body = Environment(autoescape=True).parse(text.strip()).body
    except TemplateError:
        return False
    if len(body) != 1 or not isinstance(body[0], Output):
        return False
    return len(body[0].nodes) == 1 and not isinstance(body[0].nodes[0], TemplateData)
