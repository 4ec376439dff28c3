# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL stores a role's password: makes the text that it stores, and compares a password with one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stringprep
import unicodedata

ITERATIONS = 4096
"""PostgreSQL's own default."""
SCRAM = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)")
PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores for a password (RFC 5802, RFC 5803), so that no statement has the password."""
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, ITERATIONS)
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, _stored_key(salted), server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)


def is_password_of(role: str, password: str, stored: str | None) -> bool | None:
    """Return whether a password is the one that PostgreSQL has stored for a role, None if it has none to compare."""
    scram = SCRAM.fullmatch(stored or "")
    if scram:
        salt, key = base64.b64decode(scram[2]), base64.b64decode(scram[3])
        # PostgreSQL has stored it as it is, where it could not decode it.
        ways = {_bytes(password), _prepared(password)}
        return any(_stored_key(hashlib.pbkdf2_hmac("sha256", way, salt, int(scram[1]))) == key for way in ways)
    if stored and stored.startswith("md5"):
        return hashlib.md5(_bytes(password + role), usedforsecurity=False).hexdigest() == stored.removeprefix("md5")
    return None


def _stored_key(salted: bytes) -> bytes:
    """Return RFC 5802's StoredKey."""
    return hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()


def _prepared(password: str) -> bytes:
    """Return a password as SASLprep (RFC 4013) makes it, and as it is where SASLprep forbids it, as PostgreSQL does."""
    mapped = (" " if stringprep.in_table_c12(char) else char for char in password if not stringprep.in_table_b1(char))
    text = unicodedata.normalize("NFKC", "".join(mapped))
    is_prohibited = any(within(char) for char in text for within in PROHIBITED)
    return _bytes(text if text and not is_prohibited and _is_one_way(text) else password)


def _is_one_way(text: str) -> bool:
    """Return whether a text from right to left is so as a whole."""
    leftward = [stringprep.in_table_d1(char) for char in text]
    return not any(leftward) or (leftward[0] and leftward[-1] and not any(map(stringprep.in_table_d2, text)))


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")
