"""Which Exchange the lab plays: build numbers, the schema versions it accepts, what it knows.

Facts this module rests on:
- RequestServerVersion names the schema that the request is validated against; without it the product's initial release
  is meant (learn.microsoft.com/…/web-service-reference/requestserverversion, editions for 2007 and 2010).
- ExportItems and UploadItems came with Exchange 2010 SP1 (…/web-service-reference/exportitems-operation).
- SyncFolderItems lists newest to oldest from Exchange 2010 SP2 on, oldest first before (MS-OXWSSYNC, product behaviour).
- Versions that the schema of build 15.2.2562.17 lists (types.xsd, ExchangeVersionType).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

SCHEMA_ORDER = (
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2009",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2012",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2015",
    "Exchange2016",
    "V2015_10_05",
    "V2016_01_06",
    "V2016_04_13",
    "V2016_07_13",
    "V2016_10_10",
    "V2017_01_07",
    "V2017_04_14",
    "V2017_07_11",
)
RANK = {name: rank for rank, name in enumerate(SCHEMA_ORDER)}
_INTERIM = ("Exchange2009", "Exchange2012", "Exchange2015")  # never released under these names

BUILDS = {
    "2007sp1": "8.3.485.0",
    "2010": "14.0.722.0",
    "2010sp1": "14.1.438.0",
    "2010sp2": "14.2.247.5",
    "2010sp3": "14.3.513.0",
    "2013": "15.0.1497.48",
    "2016": "15.1.2507.39",
    "2019": "15.2.1544.11",
    "se": "15.2.2562.17",
}
"""Values for the knob `ews_version`, by the name of the product."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One product to play."""

    build: tuple[int, int, int, int]
    highest: str  # the newest RequestServerVersion it takes
    default: str  # the schema meant when the request names none
    export: bool = True  # ExportItems and UploadItems exist
    newest_first: bool = True

    def accepts(self, version: str) -> bool:
        if version in _INTERIM and self.build[:2] < (15, 1):
            return False
        return version in RANK and RANK[version] <= RANK[self.highest]

    def knows(self, since: str) -> bool:
        """Whether something that came with schema `since` exists here."""
        return RANK[since] <= RANK[self.highest]


_PRODUCTS = (
    ((8, 0), Profile((0, 0, 0, 0), "Exchange2007", "Exchange2007", export=False, newest_first=False)),
    ((8, 1), Profile((0, 0, 0, 0), "Exchange2007_SP1", "Exchange2007", export=False, newest_first=False)),
    ((14, 0), Profile((0, 0, 0, 0), "Exchange2010", "Exchange2010", export=False, newest_first=False)),
    ((14, 1), Profile((0, 0, 0, 0), "Exchange2010_SP1", "Exchange2010", newest_first=False)),
    ((14, 2), Profile((0, 0, 0, 0), "Exchange2010_SP2", "Exchange2010")),
    ((15, 0), Profile((0, 0, 0, 0), "Exchange2013", "Exchange2013")),
    ((15, 0, 847), Profile((0, 0, 0, 0), "Exchange2013_SP1", "Exchange2013")),
    ((15, 1), Profile((0, 0, 0, 0), "V2017_07_11", "Exchange2016")),
)


@lru_cache(maxsize=64)
def profile(version: str, export: bool = True) -> Profile:
    """The product of a build such as "15.1.2507.39", or of a name from BUILDS. export=False takes ExportItems away.

    Raises ValueError for what is neither.
    """
    text = BUILDS.get(version.lower(), version)
    try:
        parts = tuple(int(part) for part in text.split("."))
    except ValueError:
        parts = ()
    if not 2 <= len(parts) <= 4:
        raise ValueError(
            f"{version!r} is neither a build such as 15.1.2507.39 nor one of {', '.join(BUILDS)}"
        )
    major, minor, *rest = (*parts, 0, 0)
    build = (major, minor, rest[0], rest[1])
    fitting = [found for lowest, found in _PRODUCTS if build >= lowest]
    if not fitting:
        raise ValueError(f"no Exchange with EWS has build {version}")
    found = fitting[-1]
    return replace(found, build=build, export=found.export and export)


OPERATION_SINCE = {
    "ConvertId": "Exchange2007_SP1",
    "ExportItems": "Exchange2010_SP1",
    "UploadItems": "Exchange2010_SP1",
    "EmptyFolder": "Exchange2010_SP1",
    "GetInboxRules": "Exchange2010_SP1",
    "GetUserConfiguration": "Exchange2010",
}
