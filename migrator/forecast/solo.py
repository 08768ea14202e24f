"""One mailbox alone: how long it takes, and what decides that.

A mailbox is a reader (one thread, one batch after the other) that runs ahead of up to four uploaders. So it is as slow as
the slowest of four things, each in closed form over the items n and the octets c that go up:

    source            n·item + batches·call + c/rate, one after the other
    round trips       (n·call + c/rate) / connections
    byte window       W octets in any T seconds: k full windows and a rest, k·T + rest/(its own pace)
    request window    the same over requests

The windows slide, and a call counts until T after its end, so a window that is used without pause comes round after T and a
call's length. In front of all that: sign-in, folder lists, and for the first folder what every folder needs.

Where folders differ (many small items here, few large ones there) each is bound by its own: the sum of the slowest is more
than the slowest of the sums. `uneven` keeps that ratio, less what the reader's run ahead evens out.
"""

from __future__ import annotations

from math import ceil

from migrator.forecast.loads import MailboxLoad
from migrator.forecast.speeds import Speeds
from migrator.record import record
from migrator.settings import Limits, RunSettings

SOURCE, TRIPS, BYTES, REQUESTS = "source", "round_trips", "byte_window", "request_window"
ENVELOPE = 200
"""Octets round an item's base64 in an import request: folder id and mode (learn.microsoft.com/graph/import-exchange-mailbox-item)."""
OPENING_SOURCE, OPENING_TARGET = 2, 6
"""Calls before the first folder: sign-in, probe, folder list, import session."""
AHEAD_ITEMS = 400
"""The reader runs ahead by so many items at most: over folders that are smaller, what differs is evened out."""
PRESENT_PAGE = 400
"""Items that a listing of a target folder tells in one request."""


@record
class Work:
    """What a mailbox comes to, before any speed. octets: as listed."""

    items: int
    octets: int
    batches: float
    source_calls: float  # besides exports
    target_calls: float  # of the reader: one after the other, while it reads
    opening_source: float
    opening_target: float
    requests: float  # of the target, imports included
    connections: int
    uneven: float


@record
class Solo:
    """fixed_s: before the first item leaves. moving_s: from then on. Together with what is used of things that are shared."""

    fixed_s: float
    moving_s: float
    binds: str
    content: float  # octets that go up
    reading_s: float  # of source calls
    storing_s: float  # of target calls, all connections added


def work_of(load: MailboxLoad, settings: RunSettings, limits: Limits, speeds: Speeds) -> Work:
    """limits: of the target's endpoint."""
    connections = max(1, min(settings.uploaders, limits.concurrent or settings.uploaders))
    made = 0
    mark = 0.0 if load.begun else speeds.mark_calls
    items = octets = filled = 0
    batches = pages = slowest = reader = trips = 0.0
    for one in load.folders:
        ensure = 0.0 if load.begun or one.role is not None else speeds.ensure_calls
        made += ensure > 0
        if not one.items:
            pages += 1
            continue
        filled += 1
        items += one.items
        octets += one.octets
        pages += ceil(one.items / speeds.page_items)
        fit = min(
            settings.batch_items or 20, max(1.0, settings.batch_octets * one.items / max(1, one.octets))
        )
        some = max(1.0, one.items / fit)
        batches += some
        content = one.octets * speeds.expansion + one.items * speeds.item_octets
        reads = (
            some * speeds.source_call_s + one.items * speeds.source_item_s + content / speeds.source_octets_s
        )
        stores = (one.items * speeds.store_call_s + content / speeds.target_octets_s) / connections
        reader += reads
        trips += stores
        slowest += max(
            reads,
            stores,
            _mean_s(content + one.items * ENVELOPE, limits.upload_octets, limits.upload_window_s),
            _mean_s(one.items, limits.requests, limits.requests_window_s),
        )
    wire = octets * speeds.expansion + items * (speeds.item_octets + ENVELOPE)
    whole = max(
        reader,
        trips,
        _mean_s(wire, limits.upload_octets, limits.upload_window_s),
        _mean_s(items, limits.requests, limits.requests_window_s),
    )
    apart = items / (items + filled * AHEAD_ITEMS) if items else 0.0
    first = (speeds.ensure_calls if made else 0.0) + mark if filled else 0.0
    calls = made * speeds.ensure_calls + filled * mark + load.present / PRESENT_PAGE
    return Work(
        items=items,
        octets=octets,
        batches=batches,
        source_calls=max(0.0, (pages - 1) * speeds.page_calls),
        target_calls=max(0.0, calls - first),
        opening_source=OPENING_SOURCE + speeds.page_calls,
        opening_target=OPENING_TARGET + first,
        # The governor counts a call for a folder with a role, which is there, although nothing is sent for it.
        requests=items + calls + OPENING_TARGET + (0 if load.begun else len(load.folders) - made),
        connections=connections,
        uneven=1 + (slowest / whole - 1) * apart if whole > 0 else 1.0,
    )


def _mean_s(amount: float, most: float, window_s: float) -> float:
    return amount * window_s / most if most else 0.0


def alone(
    work: Work,
    speeds: Speeds,
    limits: Limits,
    *,
    size: float = 1.0,
    source: float = 1.0,
    target: float = 1.0,
    requests: float = 1.0,
) -> Solo:
    """size, source, target, requests: factors by which octets, times and calls differ from what was expected: the throw
    of the dice."""
    items = work.items
    call, store = speeds.source_call_s * source, speeds.store_call_s * target
    trip = speeds.target_call_s * target
    content = size * work.octets * speeds.expansion + items * speeds.item_octets
    fixed = work.opening_source * call + work.opening_target * trip
    if not items:
        rest = work.source_calls * call + work.target_calls * trip
        return Solo(fixed + rest, 0.0, SOURCE, 0.0, rest, 0.0)
    reading = (
        work.batches * call
        + items * speeds.source_item_s * source
        + content * source / speeds.source_octets_s
    )
    storing = items * store + content * target / speeds.target_octets_s
    one_store = storing / items
    trips = storing / work.connections
    reader = reading + work.source_calls * call + work.target_calls * trip
    # The reader's calls to the target wait for a slot that the uploaders hold, the more so the busier they are.
    reader += work.target_calls * one_store * min(1.0, trips / reader)
    free = max(reader, trips)
    wire = content + items * ENVELOPE
    octets_s = _windowed(wire, limits.upload_octets, limits.upload_window_s, free, one_store)
    requests_s = _windowed(
        work.requests * requests, limits.requests, limits.requests_window_s, free, one_store
    )
    moving = max(free, octets_s, requests_s)
    if moving == octets_s and octets_s > free:
        binds = BYTES
    elif moving == requests_s and requests_s > free:
        binds = REQUESTS
    else:
        binds = SOURCE if reader >= trips else TRIPS
    # The first batch is read before anything is stored, and the last item is stored after all is read.
    tail = reading / work.batches * min(1.0, trips / moving) + one_store
    return Solo(fixed, moving * work.uneven + tail, binds, content, reading, storing)


def _windowed(amount: float, most: float, window_s: float, free_s: float, call_s: float) -> float:
    """Seconds for so much through a window that grants `most` in any window_s, at a pace of amount / free_s without it."""
    if not most or amount <= most:
        return free_s if most else 0.0
    pace_s = free_s / amount
    full = ceil(amount / most) - 1
    round_s = max(window_s + call_s, most * pace_s)
    return full * round_s + (amount - full * most) * pace_s
