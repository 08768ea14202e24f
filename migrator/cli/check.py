"""To come with the engine."""


def command() -> int:
    """Soon."""
    return 0
