"""Every check of the code in one command: format, lint, types, imports, generated records, compatibility of schemas.

`bestex check` in a checkout; tests are run by pytest. All checks run, side by side, whatever fails; what a failed one said is shown in
full. The rules of imports are contracts in pyproject.toml.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.codec import BY_NAME, schema_text
from schemas.compatibility import backward

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "schemas" / "golden"
_SECONDS = 600
_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found. `said` is its output, empty when there is nothing to say."""

    name: str
    passed: bool
    said: str
    seconds: float


def compatibility(folder: Path = GOLDEN) -> str:
    """What stops today's records from reading those of a golden file, one line each; empty if nothing does."""
    files = sorted(folder.glob("*.json"))
    if not files:
        return f"no golden records in {folder}: nothing to compare with"
    problems = []
    for path in files:
        old: dict[str, Any] = json.loads(path.read_text())["schema"]
        cls = BY_NAME.get(f"{old['namespace']}.{old['name']}")
        if cls is None:
            problems.append(f"{path.name}: {old['name']} is gone, and with it what reads its records")
        else:
            problems += [f"{path.name}: {problem}" for problem in backward(old, json.loads(schema_text(cls)))]
    return "\n".join(problems)


def _tool(*arguments: str) -> Callable[[], str]:
    """A check that is a Python program: what it says when it fails, else nothing."""

    def run() -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode == 0:
            return ""
        return (done.stdout + done.stderr).strip() or f"ended with {done.returncode}"

    return run


CHECKS: dict[str, Callable[[], str]] = {
    "format": _tool("-m", "ruff", "format", "--check", "."),
    "lint": _tool("-m", "ruff", "check", "--output-format", "concise", "."),
    "types": _tool("-m", "mypy"),
    "imports": _tool("-c", _LINT_IMPORTS, "--no-logo"),
    "records": _tool("-m", "schemas.generate", "--check"),
    "compatibility": compatibility,
}


def run(names: Sequence[str] = tuple(CHECKS)) -> list[Result]:
    """Run these checks, two at a time, and return what they found in their order."""
    with ThreadPoolExecutor(2, thread_name_prefix="check") as pool:
        return list(pool.map(_run, names))


def _run(name: str) -> Result:
    begin = time.monotonic()
    try:
        said = CHECKS[name]()
    except (OSError, subprocess.TimeoutExpired) as error:  # a check that cannot run has not passed
        said = str(error)
    return Result(name, not said, said, time.monotonic() - begin)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks and print what they found; 0 if all passed."""
    parser = argparse.ArgumentParser(prog="bestex check", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in CHECKS]:
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    if not (ROOT / "pyproject.toml").exists():
        print(f"error: {ROOT} is no checkout: there is nothing to check", file=sys.stderr)
        return 2
    results = run(chosen.names or tuple(CHECKS))
    _show(results, Console(stderr=chosen.json, highlight=False))
    failed = [result.name for result in results if not result.passed]
    if chosen.json:
        print(
            json.dumps(
                {
                    "checks": {r.name: "passed" if r.passed else "failed" for r in results},
                    "failed": failed,
                    "seconds": round(max(r.seconds for r in results), 1),
                }
            )
        )
    return 1 if failed else 0


def _show(results: Sequence[Result], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("check", "", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    for result in results:
        mark = "[green]passed[/]" if result.passed else "[red]failed[/]"
        table.add_row(result.name, mark, f"{result.seconds:.1f}")
    for result in results:
        if not result.passed:
            console.rule(result.name)
            console.print(result.said, markup=False, soft_wrap=True)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
