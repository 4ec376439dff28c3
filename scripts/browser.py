# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the Chromium for the tests of the drill's report, unless there is one."""

from __future__ import annotations

import shutil

from lab.engine import LabError, install_debian_packages
from lab.progress import say

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Ensure that a browser is installed."""
    if any(map(shutil.which, BROWSERS)):
        return
    try:
        install_debian_packages("chromium")
    except LabError as error:
        say(f"{error}; the tests of the report's page will be skipped")


if __name__ == "__main__":
    main()
