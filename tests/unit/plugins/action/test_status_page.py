# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status page, as a play writes it."""

from __future__ import annotations

import pytest

from tests.unit.plugins.action.test_playbooks import inventory_of, run
from tests.unit.plugins.plugin_utils.status_page import labs


def status(folder, reports, *more):
    """Judge a cluster from its reports; return the exit code and the output."""
    variables = {
        host: {
            "ansible_connection": "local",
            "ha": report["ha"],
            "status__host": {"probes": report["probes"]} if report["probes"] else {"msg": report["unreachable"]},
        }
        for host, report in reports.items()
    }
    task = {"holdfast.ha.cluster_status": {"page": "{{ page }}", "format": "none"}, "run_once": True}
    return run(inventory_of(folder, variables), {"hosts": "holdfast", "tasks": [task]}, *more)


@pytest.mark.parametrize(("reports", "verdict"), [(labs.healthy, "healthy"), (labs.troubled, "10 problems")])
def test_the_page_is_written_whatever_the_verdict(tmp_path, reports, verdict):
    page = tmp_path / "pages" / "status.html"
    code, output = status(tmp_path, reports(), "-e", f"page={page}")
    assert (code == 0) == (verdict == "healthy"), output
    assert f"<title>lab: {verdict}</title>" in page.read_text()
    assert [path.name for path in page.parent.iterdir()] == ["status.html"]


def test_check_mode_writes_nothing(tmp_path):
    code, output = status(tmp_path, labs.healthy(), "-e", f"page={tmp_path}/status.html", "--check")
    assert code == 0, output
    assert not (tmp_path / "status.html").exists()


def test_a_folder_is_refused(tmp_path):
    code, output = status(tmp_path, labs.healthy(), "-e", f"page={tmp_path}")
    assert code != 0
    assert f"page: '{tmp_path}' is a directory, no file; name a file that can be written" in " ".join(output.split())
