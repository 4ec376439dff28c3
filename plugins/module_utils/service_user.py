# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in a service user's directories as that user: a link planted there can't reach beyond the user's rights."""

from __future__ import annotations

import json
import os
import pwd
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

RAISED = "raised"


class ServiceUserError(Exception):
    """The work could not be done as the user, or ended without a result; the message is for the user."""


def as_user(user: str, work: Callable[[], Any], errors: Sequence[type[Exception]] = ()) -> Any:
    """Return the result of *work*, which must fit into JSON, from a process that permanently runs as the user.

    An exception of one of the *errors* is raised here again, with its message only; any other one, and a user that does
    not exist, raises ServiceUserError. A caller other than root works as itself.
    """
    if os.geteuid() != 0:
        return work()
    try:
        entry = pwd.getpwnam(user)
    except KeyError as error:
        raise ServiceUserError(f"this host has no system user {user}; install the service's package first") from error
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _work(entry, work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return _result(answer, code, errors)


def _work(entry: pwd.struct_passwd, work: Callable[[], Any], writing: int) -> NoReturn:
    """Work in the new process, and end it."""
    code = 1
    try:
        become(entry)
        answer = _answer(work)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        code = 0
    except SystemExit as end:  # as by AnsibleModule.fail_json, which has printed the module's result
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - there is no caller above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def become(entry: pwd.struct_passwd) -> None:
    """Make this process of root's permanently run as the user."""
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=entry.pw_name, LOGNAME=entry.pw_name)
    os.chdir("/")


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"result": work()}
    except Exception as error:  # noqa: BLE001 - it is raised by who asked
        trace = traceback.format_exc()
        return {RAISED: [kind.__name__ for kind in type(error).__mro__], "message": str(error), "trace": trace}


def _result(answer: bytes, code: int, errors: Sequence[type[Exception]]) -> Any:
    """Return or raise the process' answer. It comes from the user, so it is treated as data only."""
    if code > 0:
        raise SystemExit(code)
    if code or not answer:
        raise ServiceUserError(f"the process that worked for the user ended by signal {-code}")
    document = json.loads(answer)
    if RAISED not in document:
        return document["result"]
    kind = next((each for each in errors if each.__name__ in document[RAISED]), None)
    raise kind(document["message"]) if kind else ServiceUserError(document["trace"])
