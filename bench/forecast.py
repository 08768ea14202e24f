"""How far forecasts are off: 20 random batches, each forecast first and then run to its end.

    python -m bench.forecast               the queue with the product's governor and the lab's throttle on a simulated
                                           clock, the published limits, hours of migration in seconds (`bench.queue`)
    python -m bench.forecast --wire        the real engine, adapters and sockets against the lab with throttling on, on a
                                           clock that runs faster (`bench.town`); budgets scaled down to what the batch holds
    python -m bench.forecast --size        600 mailboxes of 4 GB: how long the forecast itself takes

The forecast sees what it would see in life: sizes as listed, the limits, and a probe of a few calls that read. To reach: the
true end below p90 in at least 18 of 20, and p50 within 15 % of it in the median.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.queue import BATCH_ITEMS, Batch, Box, World
from bench.simulation import START
from migrator.events import JobFinished, RunStarted
from migrator.forecast.changes import changes
from migrator.forecast.loads import FolderLoad, MailboxLoad, plain
from migrator.forecast.outlook import Terms, forecast, quantile
from migrator.forecast.speeds import Sounding, Speeds, measured
from migrator.lab.knobs import GraphLimits
from migrator.model import Job, Mailbox
from migrator.settings import Limits, RunSettings

PROBE_LARGE = 4


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds from the start. boxes: (p50, p90, true) of each mailbox."""

    number: int
    p50: float
    p90: float
    true: float
    binds: str
    took_s: float
    boxes: tuple[tuple[float, float, float], ...] = ()
    refused: float = 0.0

    @property
    def off(self) -> float:
        """p50 against the truth: 0.1 is 10 % too late."""
        return self.p50 / self.true - 1

    @property
    def below_p90(self) -> bool:
        return self.true <= self.p90


@dataclass(frozen=True, slots=True)
class Case:
    """A random batch: how it truly is, and what its listing tells."""

    world: World
    boxes: tuple[tuple[tuple[int, ...], ...], ...]  # mailbox → folder → octets of content
    loads: tuple[MailboxLoad, ...]
    at_once: int
    max_rate: float
    quiet: tuple[str, ...]
    stream: float


def random_case(seed: int, *, scale: float = 1.0) -> Case:
    """scale: of the number of items."""
    dice = random.Random(seed)
    call = dice.lognormvariate(math.log(0.25), 0.7)
    world = World(
        source_call_s=dice.lognormvariate(math.log(0.3), 0.8),
        source_item_s=dice.uniform(0.002, 0.06),
        source_octets_s=dice.lognormvariate(math.log(6e6), 0.6),
        target_call_s=call,
        store_call_s=call * dice.uniform(1.1, 1.9),
        target_octets_s=dice.lognormvariate(math.log(5e6), 0.5),
        jitter=dice.uniform(0.1, 0.5),
        stalls_per_hour=dice.choice((0.0, 0.2, 1.0)),
        stall_s=dice.uniform(20, 120),
        lost_share=dice.choice((0.0, 0.002, 0.01)),
    )
    stream = dice.uniform(1.28, 1.40)  # octets of base64 per octet listed
    kind = dice.choice((4_000, 20_000, 60_000, 200_000))  # what these people send each other
    boxes, loads = [], []
    for number in range(dice.randint(4, 24)):
        items = max(30, int(scale * dice.lognormvariate(math.log(1200), 0.9)))
        median = dice.lognormvariate(math.log(kind), 0.8)
        folders, parts = [], []
        for _ in range(dice.randint(1, 12)):
            count = max(1, int(items * dice.random() / 5))
            typical = median * dice.lognormvariate(0.0, 0.7)
            listed = [
                max(1500, min(20 << 20, int(dice.lognormvariate(math.log(typical), 1.2))))
                for _ in range(count)
            ]
            folders.append(tuple(int(size * stream * dice.uniform(0.97, 1.03)) + 600 for size in listed))
            parts.append(FolderLoad((f"folder {len(parts)}",), count, sum(listed)))
        boxes.append(tuple(folders))
        loads.append(MailboxLoad(f"job-{number}", f"box{number}", number + 2, "old", "new", tuple(parts)))
    quiet = dice.choice(((), (), ("Mon-Sun 00:00-01:00",), ("Mon-Sun 22:30-23:00", "Mon-Sun 23:30-24:00")))
    rate = dice.choice((0.0, 0.0, dice.uniform(1.0e6, 4e6)))
    return Case(world, tuple(boxes), tuple(loads), dice.randint(2, 8), rate, quiet, stream)


def soundings(case: Case, seed: int) -> list[Sounding]:
    """What a probe of this world would time: three small calls of each side, exports of three mailboxes."""
    dice, world = random.Random(seed), case.world

    def vary(seconds: float) -> float:
        return seconds * (1 + world.jitter * (2 * dice.random() - 1))

    found = [Sounding("source_call", vary(world.source_call_s)) for _ in range(3)]
    found += [Sounding("target_call", vary(world.target_call_s)) for _ in range(3)]
    for box in case.boxes[:3]:
        sizes = sorted(size for folder in box for size in folder[:200])
        for part in (sizes[:1], sizes[:BATCH_ITEMS], sizes[-PROBE_LARGE:]):
            content = sum(part)
            took = vary(world.source_call_s) + vary(world.source_item_s) * len(part)
            listed = int((content - 600 * len(part)) / case.stream)
            found.append(
                Sounding("export", took + content / world.source_octets_s, 1, len(part), content, listed)
            )
    return found


def one_batch(seed: int, *, scale: float = 1.0) -> Result:
    """Forecast a random batch, then run it."""
    from migrator.plan.hours import hours_of

    case = random_case(seed, scale=scale)
    settings = RunSettings(
        mailboxes=case.at_once, max_rate_octets_s=case.max_rate, quiet_hours=case.quiet, time_zone="UTC"
    )
    speeds = measured(Speeds(), soundings(case, seed))
    terms = Terms(START, settings, {"old": Limits(), "new": Limits()}, {("old", "new"): speeds})
    begun = time.perf_counter()
    found = forecast(case.loads, terms)
    took = time.perf_counter() - begun
    hours = hours_of(
        not_before="",
        stop_at="",
        quiet_hours=case.quiet,
        time_zone="UTC",
        now=datetime.fromtimestamp(START, UTC),
    )
    batch = Batch(
        case.world,
        Limits(),
        GraphLimits(),
        max_rate=case.max_rate,
        closed=(lambda at: hours.closed(at)[0]) if case.quiet else None,
        seed=seed,
    )
    boxes = [Box(f"box{n}", iter(()), folders=folders) for n, folders in enumerate(case.boxes)]
    if len(boxes) > case.at_once:
        order = sorted(range(len(boxes)), key=lambda n: -case.loads[n].octets)
    else:
        order = list(range(len(boxes)))
    true = batch.run_all([boxes[n] for n in order], case.at_once)
    return Result(
        seed,
        (found.p50 or math.inf) - START,
        (found.p90 or math.inf) - START,
        true,
        found.binds,
        took,
        tuple(
            ((one.p50 or math.inf) - START, (one.p90 or math.inf) - START, box.ended - START)
            for one, box in zip(found.mailboxes, boxes, strict=True)
        ),
        sum(box.tally.refused for box in boxes) / max(1, sum(box.tally.requests for box in boxes)),
    )


def told(results: Sequence[Result]) -> str:
    inside = sum(one.below_p90 for one in results)
    median = statistics.median(abs(one.off) for one in results)
    boxes = [box for one in results for box in one.boxes]
    text = (
        f"{len(results)} batches: true end below p90 in {inside} (to reach {math.ceil(0.9 * len(results))}), "
        f"p50 off by {median:.1%} in the median (to reach 15 %), worst {max(abs(one.off) for one in results):.1%}"
    )
    if boxes:
        text += (
            f"; of {len(boxes)} mailboxes {sum(t <= p90 for _, p90, t in boxes) / len(boxes):.0%} below their p90, "
            f"p50 off by {quantile([abs(p50 / t - 1) for p50, _, t in boxes], 0.5):.1%}"
        )
    return text


def simulated(batches: int, first: int, scale: float) -> list[Result]:
    results = []
    for seed in range(first, first + batches):
        begun = time.perf_counter()
        one = one_batch(seed, scale=scale)
        results.append(one)
        print(_line(one, begun), flush=True)
    return results


def _line(one: Result, begun: float) -> str:
    return (
        f"batch {one.number}: p50 {one.p50 / 60:.1f} min, p90 {one.p90 / 60:.1f}, true {one.true / 60:.1f} "
        f"({one.off:+.1%}{'' if one.below_p90 else ', ABOVE p90'}); {one.binds}; 429 {one.refused:.2%}; "
        f"{time.perf_counter() - begun:.1f} s"
    )


def wired_batch(seed: int, speed: float) -> Result:
    """One batch over sockets: the lab counts its windows, the product's engine and adapters do the work.

    The budgets of lab and governor are scaled down together (to what this batch fills a few times), and the servers answer
    slowly: so that hours of the lab's time need minutes of this machine's, and its own speed does not decide.
    """
    from bench.town import Town
    from migrator import assembly
    from migrator.cli.sounding import sound_out
    from migrator.lab.options import Seeding
    from migrator.settings import RunSettings as Settings

    dice = random.Random(seed)
    octets = int(dice.lognormvariate(math.log(24_000), 0.9))
    items = dice.randint(60, 160)
    seeding = Seeding(
        seed=seed, mailboxes=dice.randint(3, 5), items=dice.randint(10, 30), bulk=items, bulk_octets=octets,
        bulk_folders=dice.randint(1, 4), hard_names=False,
    )  # fmt: skip
    requests = dice.choice((0, items))
    upload = dice.choice((0, items * octets // 2))
    limits = Limits(
        requests=max(100, requests) if requests else 10_000, upload_octets=max(4 << 20, upload) if upload else 150 << 20,
        timeout_s=600.0, give_up_s=1e6,
    )  # fmt: skip
    knobs = {
        "graph_throttling": "own",
        "graph_limits": {"requests": limits.requests, "upload_octets": limits.upload_octets},
        "latency_s": dice.uniform(0.5, 1.5),
        "bandwidth_octets_s": dice.lognormvariate(math.log(400_000), 0.6),
    }
    at_once = dice.randint(2, 4)
    with Town(seeding, speed=speed, knobs=knobs, limits=limits, keep_streams=False) as town:
        surveys = assembly.survey(
            town.project, town.jobs, Settings(force=frozenset({"no_canary"})), lambda event: None,
            clock=town.clock, secrets=town.secrets,
        )  # fmt: skip
        from migrator.engine.planned import planned
        from migrator.forecast.loads import load_of

        loads = [load_of(planned(one), datetime.fromtimestamp(town.clock.now(), UTC)) for one in surveys]
        heard = sound_out(town.project, town.jobs, lambda event: None, clock=town.clock, secrets=town.secrets)
        # What the probe asked counts in the windows of the servers, as in life; wait until it does not.
        town.clock.sleep(600)
        speeds = {pair: measured(_of_clock(Speeds(), speed), found) for pair, found in heard.items()}
        ends = {name: one.limits for name, one in town.project.endpoints.items()}
        begun = time.perf_counter()
        start = town.clock.now()
        found = forecast(loads, Terms(start, Settings(mailboxes=at_once), ends, speeds))
        took = time.perf_counter() - begun
        code = town.run(mailboxes=at_once)
        assert code == 0, code
        finished = {event.job: event.at for event in town.events if isinstance(event, JobFinished)}
        began = next(event.at for event in town.events if isinstance(event, RunStarted))
        late = began - start
        throttled = sum(1 for entry in town.world.journal.entries if entry.status == 429)
        return Result(
            seed, (found.p50 or math.inf) - start, (found.p90 or math.inf) - start, max(finished.values()) - began,
            found.binds, took,
            tuple(
                ((one.p50 or math.inf) - start, (one.p90 or math.inf) - start, finished[one.job] - began)
                for one in found.mailboxes
            ),
            throttled / len(town.world.journal.entries),
        ) if late < 600 else wired_batch(seed, speed)  # fmt: skip


def _of_clock(speeds: Speeds, speed: float) -> Speeds:
    """On a clock that runs faster this machine is slower, by as much."""
    return speeds.faster(machine=0.5 / speed)


def wired(batches: int, first: int, speed: float) -> list[Result]:
    results = []
    for seed in range(first, first + batches):
        begun = time.perf_counter()
        one = wired_batch(seed, speed)
        results.append(one)
        print(_line(one, begun), flush=True)
    return results


def size(mailboxes: int, octets: int) -> None:
    jobs = [
        Job(f"job-{n}", n + 2, Mailbox("old", f"u{n}"), Mailbox("new", f"u{n}")) for n in range(mailboxes)
    ]
    loads = [plain(job, octets=octets) for job in jobs]
    for at_once in (8, 32, 64):
        terms = Terms(
            START,
            RunSettings(mailboxes=at_once),
            {"old": Limits(), "new": Limits()},
            deadline=START + 2 * 86_400,
        )
        begun = time.perf_counter()
        found = forecast(loads, terms)
        middle = time.perf_counter()
        helping = changes(loads, terms, found)
        ended = time.perf_counter()
        print(
            f"{mailboxes} mailboxes, {at_once} at once: p50 after {((found.p50 or 0) - START) / 3600:.0f} h, "
            f"{found.rounds} rounds in {middle - begun:.2f} s, {len(helping)} changes in {ended - middle:.2f} s (to reach 5 s)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wire", action="store_true")
    parser.add_argument("--size", action="store_true")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="seed of the first batch")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of items")
    parser.add_argument("--speed", type=float, default=30.0, help="of the clock, with --wire")
    arguments = parser.parse_args()
    if arguments.size:
        size(600, 4_000_000_000)
    elif arguments.wire:
        print(told(wired(arguments.batches, arguments.first, arguments.speed)))
    else:
        print(told(simulated(arguments.batches, arguments.first, arguments.scale)))


if __name__ == "__main__":
    main()
