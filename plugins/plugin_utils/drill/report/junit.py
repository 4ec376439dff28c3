# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill as JUnit XML: one test case per injection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.run import Run
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Prediction
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import sentence

if TYPE_CHECKING:
    from junitparser import TestCase


def as_junit(run: Run) -> str:
    """Return the XML document."""
    from junitparser import JUnitXml, TestSuite  # noqa: PLC0415 - only needed to write a report

    suite = TestSuite(f"drill of {run.cluster}")
    suite.timestamp = run.begun.isoformat(timespec="seconds")
    for name, value in {**run.versions, **run.settings, **run.load}.items():
        suite.add_property(str(name), str(value))
    suite.add_testcases(
        [
            *(injection_case(*result[:2], run.outlook.predictions.get(result[0].fault)) for result in run.results),
            *unjudged_cases(run),
            *skipped_cases(run),
            *failed_cases(run),
        ]
    )
    document = JUnitXml("holdfast.ha drill")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call]
    suite.time = round(run.seconds, 3)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]
    return text.decode()


def injection_case(ledger: Ledger, verdict: Verdict, prediction: Prediction | None) -> TestCase:
    """Return the test case of one injection, with a failure for each broken rule."""
    from junitparser import Failure, TestCase  # noqa: PLC0415

    case = TestCase(f"{ledger.fault} {ledger.repetition}", f"drill.{ledger.fault}", round(verdict.rto, 3))
    case.result = [Failure(breach.text, breach.rule) for breach in verdict.breaches]
    lines = [ledger.proof, f"without an acknowledged write: {verdict.rto:.3f} s"]
    lines += [f"predicted: {sentence(prediction)}"] if prediction else []
    case.system_out = "\n".join(lines)
    return case


def unjudged_cases(run: Run) -> list[TestCase]:
    """Return the test cases, as errors, of the injections without a verdict."""
    from junitparser import Error, TestCase  # noqa: PLC0415

    cases = []
    for injection in run.unjudged:
        case = TestCase(f"{injection.fault} {injection.repetition}", f"drill.{injection.fault}", 0)
        case.result = [Error(injection.reason)]
        cases.append(case)
    return cases


def skipped_cases(run: Run) -> list[TestCase]:
    """Return the test cases of the faults that were not injected."""
    from junitparser import Skipped, TestCase  # noqa: PLC0415

    cases = []
    for fault, reason in run.skipped.items():
        case = TestCase(fault, f"drill.{fault}", 0)
        case.result = [Skipped(reason)]
        cases.append(case)
    return cases


def failed_cases(run: Run) -> list[TestCase]:
    """Return a test case, as an error, for a drill that failed itself."""
    from junitparser import Error, TestCase  # noqa: PLC0415

    if not run.failure:
        return []
    case = TestCase("the drill came to its end and left nothing behind", "drill", 0)
    case.result = [Error(run.failure)]
    return [case]
