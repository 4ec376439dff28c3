# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_rotation as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import SecretsError, VaultedText, parse

OLD = "o" * 16
FILE = f"""# ours; ask the team before a change
ha_secrets:   # see the wiki
    etcd_root: {OLD}   # the first
    etcd_patroni: '{OLD}'
    # of the balancers
    haproxy_stats: >-
      {OLD}

    patroni_rest: "{OLD}"

# of people
ha_role_passwords: {{app: '{OLD}', web: {OLD}}}  # in one line
# the end
other: 1
"""
IN_PLACE = "etcd_root: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n"
VAULTED = f"ha_secrets:\n  {IN_PLACE}  # next\n  patroni_rest: {OLD}"


def counter():
    numbers = itertools.count()
    return lambda: f"new-{next(numbers):012}"


def encrypt(neighbour, value):
    return VaultedText(f"$ANSIBLE_VAULT;{neighbour.split(';')[1]};AES256\n{value.encode().hex()}\n")


def begun(text, *names):
    return sut.begin(text, names, counter(), encrypt)


NAMES = ("ha_secrets.etcd_root", "ha_secrets.etcd_patroni", "ha_secrets.haproxy_stats", "ha_secrets.patroni_rest")
ROLES = ("ha_role_passwords.app", "ha_role_passwords.web")


@pytest.mark.parametrize("name", [*NAMES, *ROLES])
def test_one_value_changes_and_the_former_one_is_kept(name):
    variable, _dot, key = name.partition(".")
    before, change = parse(FILE), begun(FILE, name)
    after = parse(change.text)
    assert change.changed == (name,)
    assert after.pop(f"{variable}_previous") == {key: OLD}
    assert after[variable].pop(key) == "new-000000000000"
    before[variable].pop(key)
    assert after == before


def test_all_at_once_keep_comments_and_order():
    change = begun(FILE, *NAMES, *ROLES)
    lines = change.text.splitlines()
    kept = [line for line in FILE.splitlines() if line.lstrip().startswith("#") or "other" in line]
    assert [line for line in lines if line in kept] == kept
    assert "    etcd_root: new-000000000000   # the first" in lines
    assert "ha_role_passwords: {app: new-000000000004, web: new-000000000005}  # in one line" in lines
    assert list(parse(change.text)["ha_secrets"]) == list(parse(FILE)["ha_secrets"])


def test_a_rotation_that_has_begun_goes_on_with_its_value():
    first = begun(FILE, NAMES[0])
    again = begun(first.text, *NAMES[:2])
    assert (again.changed, again.unchanged) == ((NAMES[1],), (NAMES[0],))
    assert parse(again.text)["ha_secrets"]["etcd_root"] == parse(first.text)["ha_secrets"]["etcd_root"]
    assert parse(again.text)["ha_secrets_previous"] == dict.fromkeys(("etcd_root", "etcd_patroni"), OLD)


def test_the_end_leaves_the_file_as_it_was_but_for_the_values():
    change = begun(FILE, *NAMES, *ROLES)
    some = sut.end(change.text, [NAMES[0], ROLES[1], "ha_secrets.pgbouncer"])
    assert some.changed == (NAMES[0], ROLES[1])
    assert set(parse(some.text)["ha_secrets_previous"]) == {"etcd_patroni", "haproxy_stats", "patroni_rest"}
    assert parse(some.text)["ha_role_passwords_previous"] == {"app": OLD}
    whole = sut.end(change.text, [*NAMES, *ROLES])
    former = f"{FILE}ha_secrets_previous:"
    assert whole.text.splitlines() == change.text[: len(change.text)].split("ha_secrets_previous:")[0].splitlines()
    assert former.startswith(FILE)
    assert sut.end(whole.text, NAMES) == sut.Change(whole.text, unchanged=NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "ha_secrets_previous: {etcd_root: oooooooooooooooo}\n# of people\nother: 1\n",
        "ha_secrets_previous:\n  etcd_root: oooooooooooooooo\n\n# of people\nother: 1\n",
        f"ha_secrets_previous:\n  # the old one\n  {IN_PLACE}# of people\nother: 1\n",
    ],
)
def test_comments_after_the_former_values_stay(text):
    after = sut.end(text, ["ha_secrets.etcd_root"]).text
    assert after.lstrip("\n") == "# of people\nother: 1\n"


def test_values_encrypted_in_place_stay_encrypted():
    after = parse(begun(VAULTED, "ha_secrets.etcd_root").text)
    assert isinstance(after["ha_secrets"]["etcd_root"], VaultedText)
    assert after["ha_secrets"]["etcd_root"] == encrypt("x;1.1;y", "new-000000000000")
    assert after["ha_secrets_previous"]["etcd_root"] == parse(VAULTED)["ha_secrets"]["etcd_root"]
    assert isinstance(after["ha_secrets_previous"]["etcd_root"], VaultedText)
    assert after["ha_secrets"]["patroni_rest"] == OLD


@pytest.mark.parametrize("old", ["{{ it }} is no template", "{% neither %} is this", "#: 'quoted' \\ \"x\" é ---"])
def test_a_former_value_is_no_template(old):
    quoted = old.replace("'", "''")
    text = begun(f"ha_secrets:\n  etcd_root: !unsafe '{quoted}'\n", "ha_secrets.etcd_root").text
    after = parse(text)["ha_secrets_previous"]["etcd_root"]
    assert (after, type(after)) == (old, str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ha_secrets: {}\n", "ha_secrets.etcd_root is not in this file: .*ha_secrets_previous.etcd_root"),
        ('ha_secrets: {etcd_root: "{{ mine }}"}\n', "ha_secrets.etcd_root is a reference"),
        ("base: &a {etcd_root: oooooooooooooooo}\nha_secrets: *a\n", "alias"),
        ("x: &a oooooooooooooooo\nha_secrets: {etcd_root: *a}\n", "can't be changed as it is written"),
        ("ha_secrets: {etcd_root: short}\n", "has 5 characters"),
    ],
)
def test_what_can_t_be_changed_here_is_refused(text, expected):
    with pytest.raises(SecretsError, match=expected) as caught:
        begun(text, "ha_secrets.etcd_root")
    assert OLD not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'ha_secrets: {patroni_rest: SuperSecret12345678, etcd_root: !vault "$ANSIBLE_VAULT;1.1;AES256\\n6162"}\n',
        "ha_secrets:\n  etcd_root: &x SuperSecret12345678\n  other: *x\n",
        "ha_secrets:\n  etcd_root: SuperSecret12345678\n  patroni_rest: *nothing\n",
    ],
    ids=["a vaulted value in a flow", "an anchor", "an alias of nothing"],
)
def test_what_can_t_be_written_is_refused_without_the_lines(text):
    with pytest.raises(SecretsError) as refused:
        begun(text, NAMES[0])
    assert "SuperSecret" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("former", ["", "ha_secrets_previous: \"{{ lookup('x') }}\"\n", "ha_secrets_previous:\n"])
def test_a_former_value_that_is_elsewhere_is_left(former):
    change = sut.end(FILE + former, NAMES[:1])
    assert (change.text, change.changed, change.unchanged) == (FILE + former, (), NAMES[:1])
