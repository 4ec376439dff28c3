# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a database host: tries a login, and prints accepted, refused, or another error.

    login_probe.py SERVICE USER PASSWORD ADDRESS

SERVICE is etcd, rest (Patroni's interface), or NAME:PORT of a database, with the name replication for replication.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
from http.client import HTTPSConnection

TLS = "/etc/holdfast/tls"


def request(where: tuple[str, int], method: str, path: str, body: object, login: str = "") -> tuple[int, str]:
    """Return status and body of an answer."""
    tls = ssl.create_default_context(cafile=f"{TLS}/ca.crt")
    tls.load_cert_chain(f"{TLS}/client.crt", f"{TLS}/host.key")
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()} if login else {}
    connection = HTTPSConnection(*where, context=tls, timeout=10)
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def of_etcd(user: str, password: str, address: str) -> str:
    """Log in to etcd."""
    status, text = request((address, 2379), "POST", "/v3/auth/authenticate", {"name": user, "password": password})
    if status == 200:
        return "accepted"
    return "refused" if "authentication failed" in text else text


def of_rest(user: str, password: str, address: str) -> str:
    """Have Patroni change nothing, which it refuses after the login."""
    status, text = request((address, 8008), "PATCH", "/config", {}, f"{user}:{password}")
    return {400: "accepted", 401: "refused"}.get(status, text)


def of_database(service: str, user: str, password: str, address: str) -> str:
    """Log in to PostgreSQL or PgBouncer."""
    import psycopg2

    name, _colon, port = service.rpartition(":")
    more = {"replication": "true"} if name == "replication" else {"dbname": name}
    try:
        psycopg2.connect(host=address, port=port, user=user, password=password, sslmode="require", **more).close()
    except psycopg2.Error as error:
        return "refused" if "authentication failed" in str(error) else str(error)
    return "accepted"


if __name__ == "__main__":
    service, *login = sys.argv[1:]
    known = {"etcd": of_etcd, "rest": of_rest}
    print(known[service](*login) if service in known else of_database(service, *login))
