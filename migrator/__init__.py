"""migrator: bulk mailbox migration from hosted Exchange to Microsoft 365.

    cli/            what a person types and sees; takes no decision
    assembly/       the one room that knows concrete classes: opens adapters, stacks wrappers, hands them to the engine
    engine/         how a mailbox travels; knows interfaces, never a protocol
    adapters/       one room per system: ews/ graph/ memory.py; registry.py imports them when asked for
    wrappers/       behaviour put round any Source or Target: retry, throttle, trace, dry run
    plan/           manifest (CSV → rows), project file, planner (rows → jobs), folder mapping, filters
    ledger/         the fate of every item and the commit order
    formats/        between the item tree and the world; fingerprints; canary items
    mapi/           the item as Exchange keeps it: properties, tree, FastTransfer bytes, comparison
    auth/           where credentials and tokens come from
    forecast/       when it will be finished: the queue simulated, before and during a run
    report/         ledger → summary (text, CSV, JSON, HTML); proof/: the signed report
    notify/         events → e-mail and webhooks, beside a run
    lab/            a simulated hosted Exchange and Microsoft 365 on loopback: demo, rehearsal, tests
    interfaces.py   Source, Target and their traits        events.py    frozen records that the engine emits
    model.py        ItemRef, Item, Page, Checkpoint, …      settings.py  frozen settings    errors.py  the taxonomy
    record.py       @record: a frozen dataclass that costs little to declare

Imports run down only (tests/test_house.py checks it):

    cli → assembly → { engine adapters wrappers report forecast notify } → { plan ledger formats auth interfaces events } → mapi
        → { model errors settings record }
    cli → lab → { formats mapi }
"""

__version__ = "0.1.0"
