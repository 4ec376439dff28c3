# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import kernel_settings
from ansible_collections.holdfast.ha.plugins.module_utils.kernel_settings import Found, plan

RETRIES = "net.ipv4.tcp_retries2"
WANTED, OWN = {RETRIES: "5"}, {RETRIES: "15"}
KEPT = f"{kernel_settings.HEADER}{RETRIES} = 5\n"


@pytest.mark.parametrize(
    ("content", "live", "present", "after", "values"),
    [
        pytest.param(None, "15", True, KEPT, {RETRIES: "5"}, id="a bare host"),
        pytest.param(KEPT, "5", True, KEPT, {}, id="nothing to do"),
        pytest.param(KEPT, "15", True, KEPT, {RETRIES: "5"}, id="somebody changed the kernel"),
        pytest.param(None, "5", True, KEPT, {}, id="somebody removed the file"),
        pytest.param(KEPT, "5", False, None, {RETRIES: "15"}, id="opted out"),
        pytest.param(KEPT, "8", False, None, {}, id="opted out, but the value is somebody else's"),
        pytest.param(None, "8", False, None, {}, id="opted out before"),
        pytest.param(KEPT, "15", False, None, {}, id="interrupted while opting out"),
    ],
)
def test_what_is_done(content, live, present, after, values):
    made = plan(Found(content, {RETRIES: live}), WANTED if present else OWN, present=present)
    assert (made.content, made.values) == (after, values)
    assert made.needed == (bool(values) or content != after)


def test_a_file_is_read_as_systemd_reads_it():
    text = "# net.a = 1\n; net.b = 2\n\n-net.ipv4.tcp_rmem=4096\t87380   6291456\nnet.c = 3\n"
    assert kernel_settings.parse(text) == {"net.ipv4.tcp_rmem": "4096 87380 6291456", "net.c": "3"}


@pytest.fixture
def host(tmp_path):
    """Return the root of a host whose kernel retries 15 times, and where its file lies."""
    live = tmp_path / "proc/sys/net/ipv4/tcp_retries2"
    live.parent.mkdir(parents=True)
    live.write_text("15\n")
    return str(tmp_path), str(tmp_path / "60-holdfast.conf"), live


def converge(host, settings, present):
    root, path, _live = host
    made = plan(kernel_settings.look(settings, path, root), settings, present=present)
    kernel_settings.apply(made, path, root)
    return made.needed


def test_a_host_gets_the_settings_once_and_its_own_back(host):
    root, path, live = host
    assert converge(host, WANTED, True)
    assert kernel_settings.look([RETRIES], path, root) == Found(KEPT, WANTED)
    assert not converge(host, WANTED, True)
    assert converge(host, OWN, False)
    assert live.read_text() == "15"
    assert kernel_settings.look([RETRIES], path, root).content is None
    assert not converge(host, OWN, False)


def test_a_setting_that_the_kernel_lacks_has_no_value(host):
    root, path, _live = host
    assert kernel_settings.look([RETRIES, "net.ipv4.tcp_rto_max_ms"], path, root).live == OWN


def test_the_diff_shows_the_file_and_the_kernel():
    diff = plan(Found(None, OWN), WANTED, present=True).as_diff("/f")
    assert diff["before"] == f"# now\n{RETRIES} = 15\n"
    assert diff["after"] == f"{KEPT}# now\n{RETRIES} = 5\n"
