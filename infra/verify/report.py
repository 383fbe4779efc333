"""What `bestex verify` shows to people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.verify.run import Report

WORDS = {
    "commands_answered_once": "every command answered exactly once",
    "transitions_legal": "every order moved as the state table allows",
    "client_order_ids_unique": "a client order id names one order at a time",
    "sequences_without_gap": "no gap in any account's or order's events",
    "hash_chain": "hash chain unbroken: nothing changed afterwards",
    "state_equals_log": "the agent's state is where the log leads",
    "money_conserved": "money conserved to the last unit",
    "fills_equal_parents": "fills add up to their orders",
    "positions_equal_fills": "positions are what the fills add up to",
    "nothing_left_behind": "every request was routed, every child reported on",
    "portfolio_rebuilt": "balances, positions and open orders rebuilt from the log alone",
    "clickhouse_equals_log": "ClickHouse equals the log",
    "read_model_equals_log": "read model equals the log",
    "notifier_equals_log": "notices equal the log",
    "children_accepted_once": "each child accepted by its venue at most once",
    "venue_ledgers_equal_fills": "venues' own trades equal our fills",
}


def invariants_table(report: Report) -> Table:
    """One line an invariant, with a tick or the number of violations."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, count in report.counts.items():
        mark = Text("✔", "bold green") if count == 0 else Text(f"✘ {count}", "bold red")
        table.add_row(mark, WORDS.get(name, name))
    return table


def offenders(report: Report, most: int = 5) -> RenderableType:
    """The first violations of each invariant, in words."""
    lines = [Text(f"{name}: {text}", "red") for name, texts in report.found.items() for text in texts[:most]]
    return Group(*lines)


def render(report: Report) -> RenderableType:
    """Everything."""
    size = ", ".join(
        f"{count:,} {topic}" for topic, count in sorted(report.records.items()) if not topic.endswith(".dlq")
    )
    note = "" if report.quiet else "  (the system did not come to rest: what was under way may show as missing)"
    return Group(invariants_table(report), offenders(report), Text(f"{size}; {report.seconds:.1f} s{note}", "dim"))
