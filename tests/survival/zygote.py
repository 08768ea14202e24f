"""Runs the real command in real processes that are killed at a chosen call. Started by the tests as a process.

One line of JSON in, one out. Everything heavy is imported once here, where no thread runs; every command is then a fork
that costs milliseconds, so that a kill at every single call of a job fits into a test run.

    {"argv": ["run", …], "env": {…}, "kill_at": 17 or null}  →  {"signal": 9 or 0, "exit": 0, "calls": 42}
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

COUNTED = "MIGRATOR_TEST_CALLS"


def main() -> None:
    _warm()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_one_life(order)), flush=True)


def _warm() -> None:
    import exchangelib  # noqa: F401
    import msal  # noqa: F401

    import migrator.adapters.ews
    import migrator.adapters.graph
    import migrator.assembly
    import migrator.cli.app
    import migrator.cli.console
    import migrator.ledger
    import migrator.plan.manifest
    import migrator.report.summary  # noqa: F401


def _one_life(order: dict[str, Any]) -> dict[str, Any]:
    counted = Path(order["env"][COUNTED])
    counted.write_text("0")
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = _live(order, counted)
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 70
        except BaseException:  # noqa: BLE001 - a fork must never return into the loop above
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1,
        "calls": int(counted.read_text() or 0),
    }


def _live(order: dict[str, Any], counted: Path) -> int:
    os.environ.update(order["env"])
    log = os.open(f"{counted}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _count_calls(order["kill_at"], counted)
    from migrator.cli.app import app

    app(order["argv"], standalone_mode=True)
    return 0


def _count_calls(kill_at: int | None, counted: Path) -> None:
    """A call is a transaction of the ledger or a request on the wire. The process dies right after the n-th."""
    from migrator.adapters.transport import Transport
    from migrator.ledger.writer import Writer

    numbers = itertools.count(1)
    lock = threading.Lock()

    def after(verb: Any) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            result = verb(*arguments, **named)
            with lock:
                number = next(numbers)
                if number == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                counted.write_text(str(number))
            return result

        return counting

    Transport.request = after(Transport.request)  # type: ignore[method-assign]
    Writer._try = after(Writer._try)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
