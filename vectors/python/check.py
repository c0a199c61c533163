#!/usr/bin/env python3
"""Checks all test vectors with a verifier that was written from the documentation alone."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True

if sys.version_info < (3, 10):
    print("Python 3.10 or later is needed", file=sys.stderr)
    sys.exit(3)

PACKAGES = ("blake3", "cryptography")
HERE = Path(__file__).absolute().parent
# Everything else beside the folders of verifiers has to be a file of vectors that is known here.
NOT_VECTORS = ("README.md",)


def missing_packages() -> list[str]:
    return [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a name stands twice would hide a value."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice in one object")
    return members


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__
        + " Prints one line for each file, with each failed case below it. Exits with 0 if all agree, with 1 if"
        " something differs, is unknown or is missing, and with 3 if a package is missing.",
    )
    parser.add_argument(
        "--vectors",
        type=Path,
        default=HERE.parent,
        metavar="FOLDER",
        help="where the JSON files are (left out: the folder above this program's)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="leave out the checks that are not vectors: examples of the pages, cut and flipped encodings",
    )
    return parser.parse_args()


def check_folder(folder: Path, quick: bool) -> bool:
    # Only now: these need the packages.
    import cases
    import more
    from report import Fields, Report

    reports = []
    documents: dict[str, Any] = {}

    def finish(report: Report) -> None:
        reports.append(report)
        print(report, flush=True)

    names = {path.name for path in folder.iterdir() if not path.is_dir()} - set(NOT_VECTORS)
    for name in sorted(names | set(cases.CHECKS)):
        report = Report(name)
        if name not in names:
            report.fail(name, "is not there")
        elif name not in cases.CHECKS:
            report.fail(name, "nothing here checks this file")
        else:
            try:
                text = (folder / name).read_text(encoding="utf-8")
                documents[name] = json.loads(text, object_pairs_hook=without_repetition)
                fields = Fields(documents[name])
                cases.CHECKS[name](fields, report)
                fields.end()
            except Exception as error:  # the file as a whole, not one of its cases
                report.fail(name, f"{type(error).__name__}: {error}")
        finish(report)
    if not quick:
        for name, check in more.CHECKS.items():
            report = Report(name)
            try:
                check(documents, report)
            except Exception as error:
                report.fail(name, f"{type(error).__name__}: {error}")
            finish(report)
    total = sum(report.cases for report in reports)
    failed = sum(len(report.failures) for report in reports)
    print(f"{total} cases, " + ("all agree" if failed == 0 else f"{failed} FAILED"))
    return failed == 0


def main() -> int:
    options = arguments()
    missing = missing_packages()
    if missing:
        print(f"missing: {', '.join(missing)}. Install with: pip install {' '.join(missing)}", file=sys.stderr)
        return 3
    if not options.vectors.is_dir():
        print(f"{options.vectors} is no folder", file=sys.stderr)
        return 1
    begun = time.monotonic()
    agrees = check_folder(options.vectors, options.quick)
    print(f"{time.monotonic() - begun:.1f} s", file=sys.stderr)
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
