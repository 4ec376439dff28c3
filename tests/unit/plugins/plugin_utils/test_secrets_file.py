# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file as sut

GOOD = "x" * 16
NAMES = [secret.name for secret in sut.SECRETS]


def counter():
    numbers = itertools.count()
    return lambda: f"generated-value-{next(numbers):04}"


def completed(text, roles, generate=sut.new_secret):
    return sut.extended(text, sut.complete(sut.parse(text), roles, generate))


def test_an_empty_file_gets_every_secret_and_role():
    document = sut.parse(completed("", ["web", "app", "app"], counter()))
    assert list(document["ha_secrets"]) == NAMES
    assert list(document["ha_role_passwords"]) == ["app", "web"]
    assert len(set(document["ha_secrets"].values())) == len(sut.SECRETS)
    assert completed("", []).startswith(sut.HEADER)


def test_completing_twice_adds_nothing():
    first = completed("", ["app"])
    assert completed(first, ["app"]) == first


COMMENTED = """# ours; ask the team before a change
other: [1]
ha_secrets:   # see the wiki
    mine: \"xxxxxxxxxxxxxxxx\"   # not of the collection

    # the first of all
    etcd_root: xxxxxxxxxxxxxxxx

# of people
ha_role_passwords: {old: 'xxxxxxxxxxxxxxxx'}  # in one line
# the end""".replace("\\", "")


def test_comments_order_and_what_is_there_stay():
    text = completed(COMMENTED, ["app"], counter())
    document = sut.parse(text)
    assert document["other"] == [1]
    assert list(document["ha_secrets"])[:3] == ["mine", "etcd_root", "etcd_patroni"]
    assert set(document["ha_secrets"]) == {*NAMES, "mine"}
    assert list(document["ha_role_passwords"]) == ["old", "app"]
    lines = text.splitlines()
    assert [line for line in lines if line in COMMENTED.splitlines()] == [
        line for line in COMMENTED.splitlines() if "in one line" not in line
    ]
    assert lines[lines.index("    etcd_root: xxxxxxxxxxxxxxxx") + 1].startswith("    etcd_patroni: ")


@pytest.mark.parametrize(
    "text",
    [
        "ha_secrets:\nha_role_passwords: ~\n",
        "ha_secrets: {}\nha_role_passwords: {}",
        "ha_secrets:  # none yet\nother: 1\n",
        "---\n# nothing\n",
        'ha_role_passwords:\n  "a: b": xxxxxxxxxxxxxxxx',
        "ha_secrets:\n  etcd_root: >-\n    xxxxxxxxxxxxxxxx\n    yyy\n\n\nother: 1\n",
        "ha_secrets:\r\n  etcd_root: xxxxxxxxxxxxxxxx\r\n",
    ],
)
def test_whatever_the_file_is_like_it_is_completed(text):
    before, after = sut.parse(text), sut.parse(completed(text, ["app", "on"], counter()))
    assert {*after["ha_secrets"]} == {*NAMES, *(before.get("ha_secrets") or {})}
    assert {"app", "on"} <= {*after["ha_role_passwords"]}
    assert {**after, **{key: value for key, value in before.items() if value}}.keys() == after.keys()


@pytest.mark.parametrize(
    "text",
    [
        "base: &a {etcd_root: xxxxxxxxxxxxxxxx}\nha_secrets: *a\n",
        "{ha_secrets: {}}\n",
        "ha_secrets: {etcd_root: xxxxxxxxxxxxxxxx,}\n",
        "ha_secrets: {}\n...\n",
    ],
)
def test_what_can_t_be_added_to_is_refused(text):
    with pytest.raises(sut.SecretsError, match=r"can't be added|alias|not valid YAML"):
        completed(text, ["app"])


def test_values_encrypted_in_place_survive():
    text = "ha_secrets:\n  etcd_root: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n"
    again = sut.parse(completed(text, [], counter()))
    assert isinstance(again["ha_secrets"]["etcd_root"], sut.VaultedText)
    assert again["ha_secrets"]["etcd_root"] == "$ANSIBLE_VAULT;1.1;AES256\n6162\n"


@pytest.mark.parametrize("value", ["x{{ y }}zzzzzzzzzzzz", "abcdefgh{%ijklmnopq", "abcdefgh{#ijklmnopq"])
def test_a_text_that_ansible_would_render_is_refused_unless_it_is_marked(value):
    with pytest.raises(sut.SecretsError, match=r"ha_secrets.etcd_root has \{\{") as caught:
        sut.complete(sut.parse(f'ha_secrets: {{etcd_root: "{value}"}}'), [])
    assert value not in str(caught.value)
    marked = f'ha_secrets: {{etcd_root: !unsafe "{value}"}}'
    assert sut.parse(completed(marked, []))["ha_secrets"]["etcd_root"] == value


def test_a_reference_to_another_variable_is_taken():
    assert "etcd_patroni" in sut.parse(completed('ha_secrets: {etcd_root: "{{ vault_x }}"}', []))["ha_secrets"]


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
    assert "ha_secrets.etcd_root" in plan.added
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
