# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload notices another file of the authorities, as well as another certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from patroni_start.authorities import with_authorities


class RestApiServer:
    """What Patroni's own class does: it compares, and keeps, the number that it was given."""

    def __init__(self, options: dict[str, str]) -> None:
        self.__ssl_options = options
        self.number: Any = 7
        self.kept = self.get_certificate_serial_number()

    @with_authorities
    def get_certificate_serial_number(self) -> Any:
        return self.number

    def reload(self) -> bool:
        """Whether the files are read again."""
        found, former = self.get_certificate_serial_number(), self.kept
        self.kept = found
        return found != former


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text("one")
    return path


def test_another_authority(authorities: Path) -> None:
    server = RestApiServer({"certfile": "host.crt", "cafile": str(authorities)})
    assert not server.reload()
    authorities.write_text("one and another")
    assert [server.reload(), server.reload()] == [True, False]


def test_another_certificate(authorities: Path) -> None:
    server = RestApiServer({"certfile": "host.crt", "cafile": str(authorities)})
    server.number = 8
    assert [server.reload(), server.reload()] == [True, False]


@pytest.mark.parametrize("options", [{}, {"cafile": ""}, {"cafile": "/no/such/file"}])
def test_without_authorities_the_certificate_alone_counts(options: dict[str, str]) -> None:
    server = RestApiServer({"certfile": "host.crt", **options})
    assert server.kept == 7
    assert not server.reload()


def test_an_unreadable_certificate_stays_one(authorities: Path) -> None:
    server = RestApiServer({"certfile": "host.crt", "cafile": str(authorities)})
    server.number = None
    assert server.get_certificate_serial_number() is None
