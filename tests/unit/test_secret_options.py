# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules' options that hold secrets leave in a host's log and in results."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins import action, modules
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|credential|cipher|(^|_)key($|_)")
NASTY = "q'\"b\\n\\%s $HOME #\t\u00e9\u4e2d: {k}"
INJECTS = "inject_invocation" in PASS_VARS
"""Whether the controller says if a result has the arguments; before ansible-core 2.21 each has them."""
CALLED = {"_ansible_no_log": False, **({"_ansible_inject_invocation": True} if INJECTS else {})}
"""What the controller adds to each call, with C(-vvv)."""
LINES = f"{NASTY}\nsecond-line {NASTY}\n"


class RecordedError(Exception):
    """A module was about to start; what it is made of is in the arguments."""


def class_of(name: str) -> type[basic.AnsibleModule] | None:
    """What a module makes; None where an action stands in its place."""
    module = importlib.import_module(f"{modules.__name__}.{name}")
    known = (UnloggedModule, basic.AnsibleModule)
    return next((made_of for made_of in known if hasattr(module, made_of.__name__)), None)


def arguments_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a module gives to AnsibleModule, or what the action in its place takes."""
    module = importlib.import_module(f"{modules.__name__}.{name}")
    made_of = class_of(name)
    if made_of is None:
        found = getattr(importlib.import_module(f"{action.__name__}.{name}"), "ARGUMENTS", {})
        return {"argument_spec": found}

    def record(*arguments: Any, **named: Any) -> None:
        raise RecordedError({**dict(zip(["argument_spec"], arguments, strict=False)), **named})

    monkeypatch.setattr(module, made_of.__name__, record)
    with pytest.raises(RecordedError) as recorded:
        module.main()
    return recorded.value.args[0]


def options(spec: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    for name, option in spec.items():
        yield (*path, name), option
        yield from options(option.get("options") or {}, (*path, name))


NAMES = sorted(info.name for info in pkgutil.iter_modules(modules.__path__))


@pytest.mark.parametrize("name", NAMES)
def test_only_options_of_a_module_itself_hold_secrets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ansible hides a nested option only as far as its value is found in the text of the whole."""
    for path, option in options(arguments_of(name, monkeypatch)["argument_spec"]):
        assert not option.get("no_log") or len(path) == 1, f"{'.'.join(path)} is nested"
        harmless = option.get("type") in {"bool", "path"} or option.get("no_log") is False
        named = SECRET_NAME.search(path[-1]) and not harmless
        assert not named or (len(path) == 1 and option.get("no_log")), f"{'.'.join(path)} is not hidden"


ENDPOINTS = {"endpoints": ["https://198.51.100.11:8008"]}
TLS = {"ca_path": "/ca", "certificate_path": "/crt", "private_key_path": "/key"}
STORE = {"endpoints": ["https://198.51.100.11:2379"], "prefix": "/service/lab/", "username": "patroni"}
MEMBER = {"name": "a", "address": "198.51.100.11"}
GIVEN: dict[str, dict[str, Any]] = {
    "certificate": {
        "directory": "/tls",
        "private_key_path": "/tls/host.key",
        "ca_path": "/tls/ca.crt",
        "ca_content": "",
        "certificates": [],
        "authority_directory": "/pki",
        "authority_passphrase": NASTY,
        "private_key": LINES,
    },
    "certificate_authority": {"directory": "/pki", "passphrase": NASTY},
    "certificate_probe": {
        "ports": [],
        "trusted": "",
        "private_key_path": "/tls/host.key",
        "certificate": {},
        "authority_directory": "/pki",
        "authority_passphrase": NASTY,
        "phase": "settled",
    },
    "component": {
        "files": [{"path": "/etc/a", "secret": True}, {"path": "/etc/b", "content": LINES, "validate": NASTY}],
        "secrets": {"/etc/a": LINES},
    },
    "deployed_info": {"wished": NASTY},
    "etcd_cluster": {
        **TLS,
        **ENDPOINTS,
        "root_password": NASTY,
        "users": [{"name": "patroni", "prefixes": ["/service/"]}],
        "passwords": {"patroni": f"other {NASTY}"},
        "former_root_password": f"former {NASTY}",
    },
    "etcd_info": {**TLS, **ENDPOINTS, "password": NASTY, "former_password": f"former {NASTY}"},
    "etcd_leader": {
        **TLS,
        **ENDPOINTS,
        "endpoint": ENDPOINTS["endpoints"][0],
        "away_from": True,
        "password": NASTY,
    },
    "etcd_member": {
        **TLS,
        "name": "a",
        "members": [MEMBER],
        "token": "lab",
        "data_directory": "/var/lib/etcd/lab",
        "permit_path": "/run/holdfast/etcd/permit.env",
        "root_password": NASTY,
    },
    "etcd_removal": {**TLS, **ENDPOINTS, "name": "a", "root_password": NASTY},
    "patroni_cluster": {**ENDPOINTS, "state": "applied", "username": "holdfast", "password": NASTY},
    "patroni_config": {
        **ENDPOINTS,
        "password": NASTY,
        "config": {"slots": {NASTY: LINES}},
        "etcd": STORE,
        "etcd_password": NASTY,
    },
    "patroni_info": {**ENDPOINTS, "password": NASTY},
    "patroni_reset": {"etcd": STORE, "etcd_password": NASTY},
    "patroni_switchover": {
        **ENDPOINTS,
        "password": NASTY,
        "pooler_password": NASTY,
        "superuser": "postgres",
        "superuser_password": NASTY,
    },
    "pooler_drain": {"address": "198.51.100.11", "password": NASTY},
    "pooler_login": {"password": NASTY, "passwords": {"app": f"other {NASTY}"}},
    "pooler_reconnect": {"poolers": [{"name": "db1", "address": "198.51.100.11"}], "password": NASTY},
    "postgresql_extensions": {"hosts": ["198.51.100.11"], "ca": "/ca.crt", "login_password": NASTY},
    "postgresql_logins": {"roles": [{"name": "app"}], "passwords": {"app": NASTY}},
    "postgresql_check": {
        "bin_directory": "/bin",
        "hba": LINES,
        "sources": [{"parameters": {"app.jwt_secret": LINES}}],
        "roles": [{"name": "a", "comment": NASTY}],
    },
}
"""Every module with a secret, and secrets in all its options for them."""


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_option_is_tried_below(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = arguments_of(name, monkeypatch)["argument_spec"]
    hidden = {key for key, option in spec.items() if option.get("no_log")}
    assert hidden <= GIVEN.get(name, {}).keys()


@pytest.mark.parametrize("name", GIVEN)
def test_neither_the_host_s_log_nor_the_result_shows_a_secret(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, made_of = arguments_of(name, monkeypatch), class_of(name) or basic.AnsibleModule
    logged: list[str] = []
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.syslog, "syslog", lambda *words: logged.append(" ".join(map(str, words))))
    shown = io.StringIO()
    with patch_module_args({**GIVEN[name], **CALLED}), contextlib.redirect_stdout(shown):
        module = made_of(**arguments)
        with pytest.raises(SystemExit):
            module.exit_json(changed=False)
    assert bool(logged) is (made_of is basic.AnsibleModule)
    for text in (*logged, shown.getvalue(), str(json.loads(shown.getvalue()))):
        assert not [part for part in ("$HOME", "\u4e2d", "second-line", "4e2d") if part in text]


@pytest.mark.parametrize("name", GIVEN)
def test_neither_does_a_refusal_of_the_arguments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, made_of = arguments_of(name, monkeypatch), class_of(name) or basic.AnsibleModule
    if made_of is basic.AnsibleModule and not INJECTS:
        pytest.skip(
            "before ansible-core 2.21 its result has the arguments as they came; Ansible shows them with -vvv only"
        )
    given = GIVEN[name] | dict.fromkeys(("files", "users", "etcd", "config", "members"), "not of the type")
    shown = io.StringIO()
    monkeypatch.setattr(basic, "has_journal", False)
    monkeypatch.setattr(basic.syslog, "syslog", lambda *words: shown.write(" ".join(map(str, words))))
    called = {**given, **(CALLED if made_of is UnloggedModule else {}), "unknown": 1}
    with patch_module_args(called), contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        made_of(**arguments)
    assert not [part for part in ("$HOME", "\u4e2d", "second-line", "4e2d") if part in shown.getvalue()]
