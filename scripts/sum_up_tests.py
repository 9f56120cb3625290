#!/usr/bin/env python3
"""Print one line that sums up JUnit reports; a report that is missing counts as a failure: its run was stopped before.

The status is 1 where something failed.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def main() -> int:
    """Sum up the reports named as arguments."""
    reports = [Path(name) for name in sys.argv[1:]]
    there = [report for report in reports if report.is_file()]
    suites = [suite for report in there for suite in ET.parse(report).getroot().iter("testsuite")]  # noqa: S314 - ours
    tests, failures, errors, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    passed = tests - failed - skipped
    failed += len(reports) - len(there)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


sys.exit(main())
