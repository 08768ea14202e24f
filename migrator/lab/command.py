"""`migrator lab`: serves until Ctrl-C and prints what a client needs. `python -m migrator.lab` is the same, for child processes."""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import threading
import tomllib
from pathlib import Path
from typing import IO, Any

from migrator.lab.options import LabOptions

STOPPED_BY_CTRL_C = 0


def build(options: LabOptions) -> Any:
    """A `Lab`, seeded, not yet started, that tells its accounts. Raises ValueError for knobs, faults or seeds that are wrong."""
    from migrator.lab.faults import Faults
    from migrator.lab.knobs import Knobs
    from migrator.lab.seed import populate
    from migrator.lab.server import Lab
    from migrator.lab.world import World

    folder = Path(options.folder) if options.folder else None
    world = World(
        knobs=Knobs().swap(options.knobs),
        faults=Faults(options.faults),
        seed=options.seeding.seed,
        organisation="Brightwater",
    )
    world.m365.keep_streams = options.keep_streams
    lab = Lab(
        world,
        halves=options.halves,
        tls=options.tls,
        host=options.host,
        ports=options.ports,
        folder=folder,
    )
    lab.tell(**populate(world, options.seeding, options.halves, folder))
    if options.state and Path(options.state).exists():
        from migrator.lab.persist import load

        load(world, Path(options.state))
    return lab


def read_table(path: Path, name: str) -> Any:
    """A TOML or JSON file; its member `name` where it has one (so one file may hold knobs and faults). Raises ValueError."""
    try:
        text = path.read_text("utf-8")
        data = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return data.get(name, data) if isinstance(data, dict) else data


def serve(
    options: LabOptions,
    *,
    as_json: bool = False,
    out: IO[str] | None = None,
    until_eof: IO[str] | None = None,
) -> int:
    """Serve in the foreground until Ctrl-C, `POST /_lab/stop`, or the end of `until_eof`. Returns the exit code.

    0 after a normal end, 2 when an option is wrong (told on stderr), 5 when a port cannot be had.
    """
    stream = out or sys.stdout
    try:
        lab = build(options)
    except (ValueError, TypeError) as error:
        print(f"migrator lab: {error}", file=sys.stderr)
        return 2
    try:
        lab.start()
    except OSError as error:
        print(f"migrator lab: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 5
    # What was seeded lives as long as the process: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    done = lab.stopped
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, lambda *_: done.set())
    if until_eof is not None:
        threading.Thread(target=_watch, args=(until_eof, done), daemon=True).start()
    try:
        print(json.dumps(lab.info()) if as_json else describe(lab.info()), file=stream, flush=True)
        # A bare wait() cannot be interrupted by Ctrl-C on Windows.
        while not done.wait(0.25 if sys.platform == "win32" else 3600.0):
            pass
        if options.state:
            from migrator.lab.persist import save

            lab.do(lambda world: save(world, Path(options.state)))
    finally:
        lab.stop()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return STOPPED_BY_CTRL_C


def _watch(pipe: IO[str], done: threading.Event) -> None:
    try:
        while pipe.read(4096):
            pass
    finally:
        done.set()


def describe(info: dict[str, Any]) -> str:
    """`Lab.info` for a person."""
    urls = info["urls"]
    lines = ["The lab is running. Everything it holds is invented; it serves this machine only.", ""]
    if urls["ews"]:
        exchange = info.get("exchange", {})
        service = exchange.get("service_account", {})
        lines += [
            "Hosted Exchange (source)",
            f"  EWS            {urls['ews']}",
            f"  Autodiscover   {urls['autodiscover']}",
            f"  service login  {service.get('login', '')}  password {service.get('password', '')}  (may impersonate)",
        ]
        boxes = exchange.get("mailboxes", [])
        lines += [
            f"  mailbox        {box['address']}  password {box['password']}  {box['items']} items, {box['octets']:,} octets"
            for box in boxes[:12]
        ]
        if len(boxes) > 12:
            lines.append(f"                 and {len(boxes) - 12} more (--json lists them all)")
        lines.append("")
    if urls["graph"]:
        cloud = info.get("m365", {})
        lines += [
            "Microsoft 365 (target)",
            f"  sign-in        {urls['login']}   (authority {urls['login']}/{cloud.get('tenant_id', '')})",
            f"  Graph          {urls['graph']}/v1.0",
            f"  import host    {urls['import']}",
            f"  tenant         {cloud.get('tenant_id', '')}  ({cloud.get('tenant_domain', '')})",
            f"  app            {cloud.get('client_id', '')}  secret {cloud.get('client_secret', '')}",
        ]
        if cloud.get("certificate_file"):
            lines.append(f"  certificate    {cloud['certificate_file']}")
        lines.append("")
    lines.append(f"Control          {urls['control']}/_lab/  token {info['control_token']}")
    if info["ca_file"]:
        lines.append(f"CA certificate   {info['ca_file']}")
    lines += ["", "Ctrl-C ends it."]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """For `python -m migrator.lab`. --child: options come as one line of JSON on stdin, whose end stops the lab."""
    parser = argparse.ArgumentParser(prog="python -m migrator.lab", description=__doc__)
    parser.add_argument("--child", action="store_true", help="read options from stdin, end with it")
    parser.add_argument("--options", type=Path, help="options as a JSON file")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    given = parser.parse_args(arguments)
    try:
        if given.child:
            options = LabOptions.from_json(sys.stdin.readline())
        elif given.options:
            options = LabOptions.from_json(given.options.read_text("utf-8"))
        else:
            options = LabOptions()
    except (ValueError, TypeError, OSError) as error:
        print(f"migrator lab: {error}", file=sys.stderr)
        return 2
    return serve(options, as_json=given.json or given.child, until_eof=sys.stdin if given.child else None)
