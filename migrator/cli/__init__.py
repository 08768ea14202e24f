"""The command line: parse, call the assembly room, choose the exit code."""


def main() -> None:
    """Entry point of the `migrator` command."""
    from migrator.cli.app import run

    run()
