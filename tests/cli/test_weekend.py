"""examples/weekend/weekend.sh against the lab: every exit code of `run` leads where it should."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.report.proof import keys
from migrator.report.proof.reading import check_file
from tests.cli.rehearsal import Rehearsal

SCRIPT = Path(__file__).parents[2] / "examples" / "weekend" / "weekend.sh"
BASH = shutil.which("bash")
pytestmark = [
    pytest.mark.skipif(BASH is None or os.name != "posix", reason="a bash script"),
    pytest.mark.skipif(not SCRIPT.exists(), reason="installed without its examples"),
]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path / "acme", mailboxes=2, items=4)
    yield rehearsal
    rehearsal.close()


def weekend(play: Rehearsal, command: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """command: what stands in for `migrator`; it gets the same words."""
    wrapper = play.folder.parent / "migrator"
    wrapper.write_text(f'#!{BASH}\n{command}\nexec "{sys.executable}" -m migrator "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    assert BASH is not None
    return subprocess.run(
        [BASH, str(SCRIPT), str(play.folder)],
        env=os.environ | {"MIGRATOR": str(wrapper), "PAUSE_S": "0", "DEADLINE": "Mon 06:00"} | more,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def steps(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[2] for line in done.stdout.splitlines() if line.startswith("== ")]


def test_a_weekend_from_check_to_signed_report(play: Rehearsal) -> None:
    pem, word = keys.make()
    done = weekend(play, SIGN="env:REPORT_KEY", REPORT_KEY=pem)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps(done) == ["check", "plan", "forecast", "run", "verify", "report"]
    verdict = check_file(play.folder / "report" / "proof.jsonl.gz", keys.public_octets(word))
    assert verdict.ok and verdict.head is not None and verdict.head["closes"]
    assert pem.splitlines()[1] not in done.stdout + done.stderr
    # The next start finds nothing to do and says the same.
    again = weekend(play)
    assert again.returncode == 0, again.stdout + again.stderr


# What stands in for a run, and where it leads: (exit codes of the runs, the script's, its steps after the forecast).
@pytest.mark.parametrize(
    ("codes", "wanted", "after"),
    [
        ((4, 5, 0), 0, ["run", "run", "run", "verify", "report"]),
        ((3, 0), 0, ["run", "run", "verify", "report"]),
        ((3, 3), 3, ["run", "run", "verify", "report"]),
        ((4, 4, 4), 4, ["run", "run", "run", "verify", "report"]),
        ((6,), 6, ["run", "report"]),
        ((2,), 2, ["run", "report"]),
        ((130,), 130, ["run", "report"]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_every_exit_code_has_its_answer(
    tmp_path: Path, codes: tuple[int, ...], wanted: int, after: list[str]
) -> None:
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
    log = tmp_path / "log"
    stand_in = f'''#!{BASH}
echo "$1" >> "{log}"
[ "$1" = run ] || exit 0
code=$(head -n 1 "{tmp_path}/codes"); sed -i.old 1d "{tmp_path}/codes"
exit "$code"
'''
    (tmp_path / "migrator").write_text(stand_in)
    (tmp_path / "migrator").chmod(0o755)
    assert BASH is not None
    done = subprocess.run(
        [BASH, str(SCRIPT), str(tmp_path)],
        env=os.environ | {"MIGRATOR": str(tmp_path / "migrator"), "PAUSE_S": "0", "TRIES": "3"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == wanted
    assert steps(done) == ["check", "plan", "forecast", *after]


def test_a_deadline_that_is_gone_is_a_mistake(play: Rehearsal) -> None:
    done = weekend(play, DEADLINE="2000-01-01 00:00")
    assert done.returncode == 2 and "stop_at" in done.stderr.replace("-", "_"), done.stderr


def test_both_scripts_use_the_same_commands() -> None:
    def used(text: str, call: str) -> list[str]:
        return [line.split(call, 1)[1].split()[0] for line in text.splitlines() if call in line]

    bash = used(SCRIPT.read_text("utf-8"), '"$migrator" ')
    power = used(SCRIPT.with_suffix(".ps1").read_text("utf-8"), "& $Migrator ")
    assert sorted(set(bash)) == sorted(set(power))


def test_shellcheck_has_nothing_to_say() -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([tool, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
