"""The rules of imports hold, and the one command that checks everything tells when something fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra import checks


def test_imports_point_one_way_and_decisions_are_pure() -> None:
    (result,) = checks.run(["imports"])
    assert result.passed, result.said


def test_records_are_generated_and_read_all_that_was_written() -> None:
    for result in checks.run(["records", "compatibility"]):
        assert result.passed, result.said


def test_a_change_that_old_records_do_not_survive_is_told(tmp_path: Path) -> None:
    (golden,) = checks.GOLDEN.glob("CancelOrder.1.json")
    raw = json.loads(golden.read_text())
    kept = [field for field in raw["schema"]["fields"] if field["name"] != "account_id"]
    (tmp_path / "CancelOrder.1.json").write_text(json.dumps({**raw, "schema": {**raw["schema"], "fields": kept}}))
    (tmp_path / "Gone.1.json").write_text(json.dumps({**raw, "schema": {**raw["schema"], "name": "Gone"}}))
    assert checks.compatibility(tmp_path).splitlines() == [
        "CancelOrder.1.json: account_id: new and without a default",
        "Gone.1.json: Gone is gone, and with it what reads its records",
    ]
    assert checks.compatibility(tmp_path / "empty")


def test_what_fails_is_shown_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(checks.CHECKS, "lint", checks._tool("-c", "raise SystemExit('line [7] is bad')"))
    monkeypatch.setitem(checks.CHECKS, "format", checks._tool("-c", "pass"))
    assert checks.main(["--json", "format", "lint"]) == 1
    shown = capsys.readouterr()
    assert "line [7] is bad" in shown.err
    last = json.loads(shown.out.splitlines()[-1])
    assert last["checks"] == {"format": "passed", "lint": "failed"} and last["failed"] == ["lint"]
    assert checks.main(["format"]) == 0
    with pytest.raises(SystemExit):
        checks.main(["nonsense"])
