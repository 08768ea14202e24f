"""The summary as one self-contained HTML page: no script, nothing fetched, every value escaped."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from migrator.plan.paths import title
from migrator.report.fidelity import losses_words
from migrator.report.safe import safe_text
from migrator.report.summary import Summary
from migrator.report.text import balance_words, unfinished_words
from migrator.report.words import moment, number, octets, plural, span

_TEMPLATES = Path(__file__).parent / "templates"


def to_html(summary: Summary) -> str:
    """A page for a browser; prints well. Follows the reader's choice of light or dark."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(octets=octets, moment=moment, number=number, span=span, safe_text=safe_text)
    # Values pass `safe_text` as well as autoescape: direction overrides mislead in a browser too.
    environment.finalize = lambda value: safe_text(value) if type(value) is str else value
    return environment.get_template("report.html").render(
        s=summary,
        balance=balance_words(summary.totals),
        unfinished=unfinished_words(summary),
        plural=plural,
        path_title=title,
        lost=losses_words,
    )
