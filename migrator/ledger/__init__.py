"""The durable record: what became of every item, and in which order that is written down."""

from migrator.ledger.ledger import HEARTBEAT_S, LEASE_S, Ledger
from migrator.ledger.records import (
    BalanceRow,
    Entry,
    Fidelity,
    FolderRow,
    Incident,
    JobBalance,
    JobRow,
    Lease,
    RunRow,
    Sample,
    Verdict,
)
from migrator.ledger.writer import Ticket

__all__ = [
    "HEARTBEAT_S",
    "LEASE_S",
    "BalanceRow",
    "Entry",
    "Fidelity",
    "FolderRow",
    "Incident",
    "JobBalance",
    "JobRow",
    "Lease",
    "Ledger",
    "RunRow",
    "Sample",
    "Ticket",
    "Verdict",
]
