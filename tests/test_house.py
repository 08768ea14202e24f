"""How the house stands: lint, types, the direction of imports, what `import migrator` may cost, what must not be said."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "migrator"

# Room → the rooms that it may import from. What is not named here may import nothing of the house.
BOTTOM = {"model", "errors", "settings", "record", "meter", "lull", "several", "__init__"}
SEAMS = BOTTOM | {"interfaces", "events"}
SHELF = SEAMS | {"plan", "ledger", "formats", "auth", "mapi"}
MAY_IMPORT: dict[str, set[str]] = {
    "model": BOTTOM,
    "errors": BOTTOM,
    "settings": BOTTOM,
    "meter": BOTTOM,
    "lull": BOTTOM,
    "record": BOTTOM,
    "several": BOTTOM,
    "events": BOTTOM,
    "interfaces": BOTTOM | {"events"},
    "mapi": BOTTOM | {"mapi"},
    "formats": SEAMS | {"formats", "mapi"},
    "auth": SEAMS | {"auth"},
    "plan": SEAMS | {"plan"},
    "ledger": SEAMS | {"ledger"},
    "engine": SHELF | {"engine"},
    "wrappers": SEAMS | {"wrappers"},
    "adapters": SEAMS | {"adapters", "formats", "auth", "mapi"},
    "report": SHELF | {"report"},
    "forecast": SEAMS | {"plan", "forecast"},
    "notify": SHELF | {"report", "notify"},
    "assembly": SHELF | {"engine", "adapters", "wrappers", "report", "forecast", "assembly"},
    "lab": BOTTOM | {"lab", "formats", "mapi"},
    "cli": SHELF
    | {"assembly", "engine", "adapters", "wrappers", "report", "forecast", "notify", "lab", "cli"},
    "__main__": {"cli"},
    "__init__": set(),
}
ADAPTER_ROOMS = {"ews", "graph", "imap", "memory"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.lineno, node.module))
            if node.module == "migrator":
                found += [(node.lineno, f"migrator.{name.name}") for name in node.names]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
    return [(line, name) for line, name in found if name.startswith("migrator.")]


def test_imports_run_one_way() -> None:
    wrong = []
    for path in modules():
        room = room_of(path)
        for line, name in imports_of(path):
            other = name.split(".")[1]
            if other == "__version__":
                continue
            if other not in MAY_IMPORT[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_adapters_do_not_know_each_other() -> None:
    wrong = []
    for path in modules():
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != "adapters" or len(parts) < 2:
            continue
        own = parts[1].removesuffix(".py")
        for line, name in imports_of(path):
            words = name.split(".")
            if words[1] == "adapters" and len(words) > 2 and words[2] in ADAPTER_ROOMS - {own}:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_only_the_pool_and_few_named_places_make_threads() -> None:
    allowed = {
        "engine/pool.py",  # the engine's threads
        "ledger/writer.py",  # one writer per ledger file
        "notify/notifier.py",  # a mail server that hangs must not hold up a run: one thread, which nobody waits for long
    }
    wrong = []
    for path in modules():
        name = path.relative_to(PACKAGE).as_posix()
        if name in allowed or name.startswith(("lab/", "cli/")):
            continue
        if re.search(r"\bThread(PoolExecutor)?\(", path.read_text("utf-8")):
            wrong.append(name)
    assert not wrong, wrong


def test_the_project_speaks_of_itself_alone() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("no git checkout here")
    forbidden = re.compile(r"/work/|/opt/venv|pypi\.org/simple|\.library|farm-studio", re.IGNORECASE)
    wrong = []
    for name in tracked:
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {match.group()}" for match in forbidden.finditer(text)]
    assert not wrong, wrong


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "migrator", "tests"],
        ["ruff", "format", "--check", "migrator", "tests"],
        ["mypy"],
    ],
    ids=["lint", "format", "types"],
)
def test_tools_are_content(command: list[str]) -> None:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("installed without its sources")
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_help_loads_quickly() -> None:
    code = (
        "import sys; import migrator.cli.app; "
        "heavy = {'exchangelib', 'sqlalchemy', 'alembic', 'msal', 'lxml', 'pydantic_settings', 'jinja2',"
        " 'uvicorn', 'imapclient', 'requests', 'urllib3', 'cryptography'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


HEAVY = (
    "exchangelib",
    "sqlalchemy",
    "alembic",
    "msal",
    "lxml",
    "jinja2",
    "uvicorn",
    "requests",
    "cryptography",
    "tenacity",
    "migrator.adapters.ews",
    "migrator.adapters.graph",
    "migrator.engine.verify",
    "migrator.mapi.compare",
)


@pytest.mark.parametrize("command", ["run", "status", "errors", "plan"])
def test_a_command_loads_what_it_needs(command: str, tmp_path: Path) -> None:
    """From one IMAP server to another: nothing of Exchange, of Microsoft 365, of XML, of migrations is needed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        port = closed.getsockname()[1]
        table = f'kind = "imap"\nurl = "imap://127.0.0.1:{port}"\nusername = "any"\nsecret = "env:IMAP_PASSWORD"\n'
        (tmp_path / "migration.toml").write_text(
            f'[endpoints.old]\n{table}[endpoints.new]\n{table}[defaults]\nsource = "old"\ntarget = "new"\n',
            encoding="utf-8",
        )
        (tmp_path / "mailboxes.csv").write_text(
            "source,target\na@old.example,a@new.example\n", encoding="utf-8"
        )
        program = (
            "import sys\nfrom migrator.cli.app import app\n"
            "try:\n    app(sys.argv[2:], standalone_mode=True)\nexcept SystemExit:\n    pass\n"
            "print('loaded:', sorted(set(sys.argv[1].split(',')) & set(sys.modules)))"
        )
        for words in (["run"], [command]):  # the second time there is a ledger
            done = subprocess.run(
                [sys.executable, "-c", program, ",".join(HEAVY), *words, "-p", str(tmp_path)],
                env={**os.environ, "IMAP_PASSWORD": "x"},
                capture_output=True,
                text=True,
                check=True,
            )
            assert "Traceback" not in done.stdout + done.stderr
            assert done.stdout.splitlines()[-1] == "loaded: []", (words, done.stdout, done.stderr)
