"""Balances of the venue's accounts. Rules: exact ints of 1e-8; neither free nor locked is ever negative; money only moves.

What leaves an account goes to another account, to the venue's fees, or to the outside (the counterparties behind the displayed book), so
that for each asset deposits = balances + fees + outside. The outside may owe.
"""

from __future__ import annotations

from collections import defaultdict


class InsufficientFunds(Exception):
    """The account has less than the movement asks for."""


class Ledger:
    """`free` and `locked` per (account, asset); `fees` and `outside` per asset; `touched` is what changed since it was last cleared."""

    __slots__ = ("deposits", "fees", "free", "locked", "outside", "touched")

    def __init__(self) -> None:
        self.free: dict[tuple[str, str], int] = defaultdict(int)
        self.locked: dict[tuple[str, str], int] = defaultdict(int)
        self.deposits: dict[str, int] = defaultdict(int)
        self.fees: dict[str, int] = defaultdict(int)
        self.outside: dict[str, int] = defaultdict(int)
        self.touched: set[tuple[str, str]] = set()

    def deposit(self, account: str, asset: str, amount: int) -> None:
        if amount < 0:
            raise ValueError("a deposit is not negative")
        self.deposits[asset] += amount
        self.free[account, asset] += amount
        self.touched.add((account, asset))

    def withdraw(self, account: str, asset: str, amount: int) -> None:
        """Take out what is free. Raises `InsufficientFunds`, and then nothing moved."""
        if amount < 0:
            raise ValueError("a withdrawal is not negative")
        if self.free.get((account, asset), 0) < amount:
            raise InsufficientFunds(asset)
        self.deposits[asset] -= amount
        self.free[account, asset] -= amount
        self.touched.add((account, asset))

    def lock(self, account: str, asset: str, amount: int) -> None:
        """Set `amount` aside for an order. Raises `InsufficientFunds`, and then nothing moved."""
        if self.free.get((account, asset), 0) < amount:
            raise InsufficientFunds(asset)
        self.free[account, asset] -= amount
        self.locked[account, asset] += amount
        self.touched.add((account, asset))

    def release(self, account: str, asset: str, amount: int) -> None:
        """Give back what an order does not need any more."""
        if self.locked[account, asset] < amount:
            raise InsufficientFunds(asset)
        self.locked[account, asset] -= amount
        self.free[account, asset] += amount
        self.touched.add((account, asset))

    def pay(self, account: str | None, asset: str, amount: int, fee: int = 0) -> None:
        """Money leaves for a trade: from what is locked, or from the outside (None). `fee` goes to the venue beside it."""
        if account is None:
            self.outside[asset] -= amount
            return
        if self.locked[account, asset] < amount + fee:
            raise InsufficientFunds(asset)
        self.locked[account, asset] -= amount + fee
        self.fees[asset] += fee
        self.touched.add((account, asset))

    def receive(self, account: str | None, asset: str, amount: int, fee: int) -> None:
        """Money of a trade arrives, less the venue's fee."""
        if account is None:
            self.outside[asset] += amount
            return
        self.free[account, asset] += amount - fee
        self.fees[asset] += fee
        self.touched.add((account, asset))

    def of(self, account: str) -> dict[str, tuple[int, int]]:
        """Asset -> (free, locked) of an account."""
        assets = [asset for owner, asset in self.free if owner == account]
        return {a: (self.free[account, a], self.locked.get((account, a), 0)) for a in assets}

    def conserved(self) -> bool:
        """Whether every asset's deposits are all accounted for."""
        held: dict[str, int] = defaultdict(int)
        for balances in (self.free, self.locked):
            for (_, asset), amount in balances.items():
                held[asset] += amount
        return all(
            self.deposits[a] == held[a] + self.fees[a] + self.outside[a]
            for a in {*held, *self.deposits, *self.fees, *self.outside}
        )
