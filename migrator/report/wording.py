"""The words of the customer page: a strings file in TOML, and what is missing from it in English.

A translation is a file of its own; whoever makes it needs no program. Values are filled in by name and nothing else: a
strings file cannot reach into the program, and what it says is escaped like all other text.
"""

from __future__ import annotations

import gettext
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any

from migrator.errors import UserError

ENGLISH = Path(__file__).parent / "templates" / "customer.toml"
_BRACES = re.compile(r"\{([a-z_]+)\}")


class Wording:
    """Looks words up by key ("state.ready"). `missing` are the keys that the file left to English."""

    def __init__(self, text: str = "", name: str = "") -> None:
        """text: a strings file, "" for English. Raises UserError with all that is wrong with it."""
        english = _flat(tomllib.loads(ENGLISH.read_text("utf-8")))
        given: dict[str, Any] = {}
        if text:
            try:
                given = _flat(tomllib.loads(text))
            except tomllib.TOMLDecodeError as error:
                raise _refused(name, [f"not valid TOML: {error}"]) from None
            problems = list(_faults(given, english))
            if problems:
                raise _refused(name, problems)
        self.missing = tuple(sorted(english.keys() - given.keys())) if text else ()
        self._words = english | given
        rules = self._words["language.plural"]
        self._english = english
        self._given = given
        self._plural = _plural(rules, name)

    @cached_property
    def _english_plural(self) -> Callable[[int], int]:
        return gettext.c2py(self._english["language.plural"])

    def __call__(self, key: str, n: int | None = None, **values: object) -> str:
        """The words of a key with its braces filled in. n picks the form of a list, and fills {n}.

        Raises UserError for a key that no file has (a template of the user's own may ask for one).
        """
        found = self._words.get(key)
        if isinstance(found, list) and n is not None:
            # A sentence that stayed English is counted as in English.
            rule = self._plural if key in self._given or not self._given else self._english_plural
            found = found[min(rule(abs(n)), len(found) - 1)]
        if not isinstance(found, str):
            raise UserError(
                f"the customer page has no words called {key!r}",
                code="wording_unknown",
                remedy="`migrator report --customer --template-export DIR` writes a file with all keys",
            )
        known = {name: self.number(one) if isinstance(one, int) else str(one) for name, one in values.items()}
        if n is not None:
            known["n"] = self.number(n)
        return _BRACES.sub(lambda match: known.get(match[1], match[0]), found)

    def each(self, key: str, **values: object) -> list[str]:
        """A list of sentences."""
        found = self._words.get(key)
        if not isinstance(found, list):
            raise UserError(f"the customer page has no list called {key!r}", code="wording_unknown")
        known = {name: str(one) for name, one in values.items()}
        return [_BRACES.sub(lambda match: known.get(match[1], match[0]), one) for one in found]

    def number(self, count: int) -> str:
        return f"{count:,}".replace(",", self._words["language.thousands"])

    def moment(self, epoch: float, zone: tzinfo = UTC, form: str = "moment") -> str:
        """form: "moment" or "short"."""
        at = datetime.fromtimestamp(epoch, zone)
        return self(
            f"date.{form}",
            weekday=self._words["date.weekdays"][at.weekday()],
            day=str(at.day),
            month=self._words["date.months"][at.month - 1],
            month_number=f"{at.month:02d}",
            year=str(at.year),
            hour=f"{at.hour:02d}",
            minute=f"{at.minute:02d}",
        )


def load_wording(folder: Path, language: str) -> Wording:
    """The wording of a language: folder/LANGUAGE.toml, else English. Raises UserError when another one has no file."""
    file = folder / f"{language}.toml"
    try:
        return Wording(file.read_bytes().decode("utf-8-sig"), str(file))
    except FileNotFoundError:
        if language == "en":
            return Wording()
        raise UserError(
            f"there are no words for language {language!r}: {file} does not exist",
            code="wording_missing",
            remedy=f"copy customer/en.toml of `migrator report --customer --template-export DIR` there, and translate it; "
            f"docs/customer-page.md has an example ({language} needs not be complete)",
        ) from None
    except UnicodeDecodeError as error:
        raise _refused(str(file), [f"not UTF-8 (byte {error.start + 1})"]) from None
    except OSError as error:
        raise _refused(str(file), [f"cannot be read: {error.strerror}"]) from None


def _plural(rule: str, name: str) -> Callable[[int], int]:
    try:
        made = gettext.c2py(rule)
        if any(not 0 <= made(n) < 10 for n in range(201)):
            raise ValueError("a form below 0 or above 9")
    except (ValueError, RecursionError, ZeroDivisionError) as error:
        raise _refused(name, [f"language.plural: {error}"]) from None
    return made


def _flat(raw: Mapping[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} → {"a.b": 1}; what is no table stays under its own name, to be complained of."""
    found: dict[str, Any] = {}
    for section, table in raw.items():
        if isinstance(table, dict):
            found |= {f"{section}.{key}": value for key, value in table.items()}
        else:
            found[section] = table
    return found


def _faults(given: Mapping[str, Any], english: Mapping[str, Any]) -> list[str]:
    found = []
    for key, value in given.items():
        model = english.get(key)
        if model is None:
            found.append(f"{key}: there is no such key")
        elif isinstance(model, str) and not isinstance(value, str):
            found.append(f"{key}: text in quotes is wanted")
        elif isinstance(model, list):
            if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
                found.append(f"{key}: a list of texts in quotes is wanted")
            elif key in ("date.months", "date.weekdays") and len(value) != len(model):
                found.append(f"{key}: {len(model)} names are wanted, here are {len(value)}")
    return found


def _refused(name: str, problems: list[str]) -> UserError:
    return UserError(
        f"the words in {name or 'the strings file'} cannot be used",
        problems=problems,
        code="wording_invalid",
        remedy="mend the file, or take it away: the page is English then",
    )
