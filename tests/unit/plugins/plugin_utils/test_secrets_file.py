# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file as sut

GOOD = "x" * 16


def counter():
    numbers = itertools.count()
    return lambda: f"generated-value-{next(numbers):04}"


def test_an_empty_file_gets_every_secret_and_role():
    plan = sut.complete({}, ["web", "app", "app"], counter())
    assert tuple(plan.document["ha_secrets"]) == sut.SECRETS
    assert list(plan.document["ha_role_passwords"]) == ["app", "web"]
    assert len(plan.added) == len(sut.SECRETS) + 2
    assert len(set(plan.document["ha_secrets"].values())) == len(sut.SECRETS)


def test_completing_twice_adds_nothing():
    first = sut.complete({}, ["app"])
    second = sut.complete(sut.parse(sut.render(first.document)), ["app"])
    assert second.added == ()
    assert second.document == first.document


def test_what_is_there_stays():
    document = {"other": [1], "ha_secrets": {"etcd_root": GOOD, "mine": GOOD}, "ha_role_passwords": {"old": GOOD}}
    plan = sut.complete(document, ["app"], counter())
    assert plan.document["other"] == [1]
    assert plan.document["ha_secrets"]["etcd_root"] == GOOD
    assert plan.document["ha_secrets"]["mine"] == GOOD
    assert plan.document["ha_role_passwords"]["old"] == GOOD
    assert "ha_secrets.etcd_root" not in plan.added


def test_values_encrypted_in_place_survive():
    text = "ha_secrets:\n  etcd_root: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n"
    plan = sut.complete(sut.parse(text), [], counter())
    again = sut.parse(sut.render(plan.document))
    assert isinstance(again["ha_secrets"]["etcd_root"], sut.VaultedText)
    assert again["ha_secrets"]["etcd_root"] == "$ANSIBLE_VAULT;1.1;AES256\n6162\n"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"ha_secrets": {"etcd_root": "hunter2"}}, "ha_secrets.etcd_root has 7 characters, 16 is the least"),
        ({"ha_secrets": {"etcd_root": ""}}, "ha_secrets.etcd_root has 0 characters"),
        ({"ha_secrets": {"etcd_root": None}}, "ha_secrets.etcd_root must be a text"),
        ({"ha_secrets": {"etcd_root": 1234567890123456}}, "ha_secrets.etcd_root must be a text, quote it"),
        ({"ha_secrets": ["etcd_root"]}, "ha_secrets must be a mapping"),
        ({"ha_role_passwords": {"app": "app"}}, "ha_role_passwords.app has 3 characters"),
    ],
)
def test_bad_values_are_named_but_never_shown(document, message):
    with pytest.raises(sut.SecretsError) as caught:
        sut.complete(document, [])
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("- a\n", "must be a mapping"), ("a: [\n", "not valid YAML (line")])
def test_files_that_are_no_variables_are_refused(text, message):
    with pytest.raises(sut.SecretsError, match=message.replace("(", r"\(")):
        sut.parse(text)


def test_a_plan_does_not_print_its_values():
    plan = sut.complete({}, [], lambda: "do-not-print-this-value")
    assert "do-not-print-this-value" not in repr(plan)


def test_generated_secrets_need_no_quoting():
    value = sut.new_secret()
    assert len(value) == sut.LENGTH
    assert value.isalnum()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("clusters: {a: {roles: [{name: app}, {name: web}]}, b: {roles: [{name: app}]}}", {"app", "web"}),
        ("clusters: {a: {roles: [app, 3], databases: []}, b: null}", set()),
        ("plugin: holdfast.ha.topology", set()),
        ("[]", set()),
    ],
)
def test_roles_of_a_topology(text, names):
    assert sut.topology_roles(yaml.safe_load(text)) == names
