"""Invented people, companies and the mails they write. Nobody here exists; all domains are reserved for examples."""

from __future__ import annotations

import random
from dataclasses import dataclass

# (given, family, locale): chosen for scripts, accents and lengths, not after anyone.
PEOPLE: tuple[tuple[str, str, str], ...] = (
    ("Alma", "Whitcombe", "en"),
    ("Bertrand", "Lévêquois", "fr"),
    ("Clementine", "Ashgrove", "en"),
    ("Dietlinde", "Größmann", "de"),
    ("Emeka", "Obiorah-Lund", "en"),
    ("Fumiko", "Tachihara", "ja"),
    ("Gustav", "Übelhör", "de"),
    ("Hedvig", "Sjöstrandh", "en"),
    ("Ignatius", "O'Brannagh", "en"),
    ("Jadwiga", "Wrześniowska", "en"),
    ("Kasimir", "Thalbrück", "de"),
    ("Leocadia", "Fernhollow", "en"),
    ("Maëlle", "Courtebois", "fr"),
    ("Nikodemus", "Ravensholt", "en"),
    ("Oluchi", "Marchbanks", "en"),
    ("Philippine", "d'Orsigny", "fr"),
    ("Quirin", "Haselwander", "de"),
    ("Rosalind", "Pemberley-Stout", "en"),
    ("Seiji", "Kuromatsu", "ja"),
    ("Theodosia", "Blackwater", "en"),
    ("Ulrike", "Zähringhaus", "de"),
    ("Valerian", "Stanhoe", "en"),
    ("Wilhelmina", "Corbrook", "en"),
    ("Xaver", "Dürnstetter", "de"),
    ("Yukino", "Harukawa", "ja"),
    ("Zacharias", "Millthorpe", "en"),
    ("Ángela", "Riobravo", "en"),
    ("Þórdís", "Hvalfjörð", "en"),
    ("Benedikta", "Lindenquist", "de"),
    ("Corentin", "Vauquelle", "fr"),
    ("Delphine", "Montfaucois", "fr"),
    ("Ekkehard", "Moosgruber", "de"),
)

COMPANIES: tuple[tuple[str, str], ...] = (
    ("Harbour Lane Logistics", "harbour-lane.example"),
    ("Tannhof Maschinenbau GmbH", "tannhof.example"),
    ("Atelier Brumeval", "brumeval.example"),
    ("Kitayama Seimitsu K.K.", "kitayama.example"),
    ("Oxley & Fenn Solicitors", "oxleyfenn.example"),
    ("Meridian Paper Mills", "meridianpaper.example"),
    ("Saltmarsh Analytics", "saltmarsh.example"),
    ("Norrsken Instruments AB", "norrsken.example"),
)

JOBS = (
    "Head of Procurement",
    "Field Engineer",
    "Payroll Clerk",
    "Qualitätsbeauftragte",
    "Responsable des achats",
    "Sales Manager, Northern Region",
    "Test Bench Technician",
    "Office Manager",
)

CITIES = (
    ("Kirkby Underhill", "NG3 9XX", "United Kingdom", "14 Weaver's Row"),
    ("Tannhofen", "98765", "Deutschland", "Am Mühlgraben 7"),
    ("Brumeval-sur-Loue", "25999", "France", "3 bis, rue des Tanneurs"),
    ("Kitayama", "999-0042", "日本", "本町2-4-6"),
)

CATEGORIES = ("Budget", "Follow up", "Kunde Süd", "Très urgent", "重要", "Red Category", "Trade fair")


@dataclass(frozen=True, slots=True)
class Theme:
    """One kind of mail thread. Braces are filled by `fill`."""

    locale: str
    subject: str
    paragraphs: tuple[str, ...]


THEMES: tuple[Theme, ...] = (
    Theme(
        "en",
        "Quotation {n} for the flow meters",
        (
            "thank you for the drawings. We have gone through them with the workshop and can offer {q} units at "
            "{m} each, delivered in week {w}.",
            "The seals are the only open point: your specification names FKM, the sample we got back was EPDM. Please "
            "let us know which one {c} will run in production.",
            "If the order reaches us by {d}, the price holds until the end of the quarter.",
        ),
    ),
    Theme(
        "en",
        "Minutes of the safety walk, hall {w}",
        (
            "attached are the minutes. Three points are still with us: the guard on press {q}, the blocked exit behind the "
            "paint store, and the missing sign at the gas cage.",
            "{p} will check the extinguishers before {d}. Everything else was in good order, thanks to the night shift.",
        ),
    ),
    Theme(
        "en",
        "Re-routing of shipment BW-{n}",
        (
            "the lock at the canal stays closed until {d}, so the container goes by road from the second terminal.",
            "{c} takes the extra cost of {m}; the bill of lading needs a new stamp though. Could {p} sign today?",
            "Tracking shows the pallets with the calibration weights on the same truck, {q} colli in total.",
        ),
    ),
    Theme(
        "en",
        "Payroll run for month {w}",
        (
            "the run is booked. {q} people got the shift bonus, two corrections from last month are in.",
            "Please do not forward this list. Questions come to me, not to the hotline.",
        ),
    ),
    Theme(
        "en",
        "Summer party: who brings what?",
        (
            "we have {q} names on the list and a grill for half of them 🙂. Salads are covered, bread is not.",
            "{p} knows someone with a tent. If it rains we move into the loading bay, as in the year of the hailstorm.",
            "Please answer by {d} so that we can tell the caterer.",
        ),
    ),
    Theme(
        "en",
        "Audit finding {n}: calibration records",
        (
            "the auditor asked for the records of the pressure bench between week {w} and today. Two sheets lack a signature.",
            "I have put scans in the folder of {c}. The original of sheet {q} must be in the green binder.",
        ),
    ),
    Theme(
        "de",
        "Angebot {n} – Prüfstand für Durchflussmesser",
        (
            "vielen Dank für Ihre Anfrage. Wie besprochen bieten wir Ihnen {q} Stück zum Preis von {m} an, Lieferung in "
            "KW {w}.",
            "Offen ist noch die Werkstofffrage: Laut Zeichnung Größe 40 aus 1.4404, {c} hatte zuletzt Messing erwähnt.",
            "Über eine Rückmeldung bis zum {d} würden wir uns freuen. Schöne Grüße aus der Fertigung!",
        ),
    ),
    Theme(
        "de",
        "Urlaubsübergabe KW {w}",
        (
            "ab {d} bin ich zwei Wochen weg. {p} übernimmt die Reklamationen, die Übergabeliste hängt an.",
            "Bitte an die Nachbestellung der Dichtungen denken, es sind nur noch {q} Stück da.",
        ),
    ),
    Theme(
        "fr",
        "Devis n° {n} : réfection de l'atelier",
        (
            "comme convenu, vous trouverez le devis révisé. Le montant s'élève à {m}, hors dépose de l'ancienne verrière.",
            "L'équipe de {c} peut commencer semaine {w}, à condition que l'échafaudage soit monté avant le {d}.",
            "Pourriez-vous rappeler à {p} que la clé du portail est toujours chez le gardien ?",
        ),
    ),
    Theme(
        "ja",
        "お見積書 {n} の件",
        (
            "お世話になっております。ご依頼の流量計 {q} 台につきまして、お見積書をお送りいたします。",
            "納期は第{w}週を予定しております。{c} 様のご検査日程をお知らせください。",
            "ご不明な点がございましたら、{d} までにご連絡ください。よろしくお願いいたします。",
        ),
    ),
    Theme(
        "en",
        "Your ticket #{n} was updated",
        (
            "the spare scanner for gate {w} is on its way. Until it arrives please use the hand-held from the office.",
            "Reference {n}, {q} items. This mailbox is not read; answer through the portal of {c}.",
        ),
    ),
    Theme(
        "en",
        "Board paper, version {w}",
        (
            "here is the version with {p}'s remarks. Page {q} has the new capital figure ({m}); the appendix is unchanged.",
            "I would rather not send this round again: remarks by {d}, then it is final.",
        ),
    ),
)

GREETINGS = {"en": "Dear {x},", "de": "Guten Tag {x},", "fr": "Bonjour {x},", "ja": "{x} 様"}
CLOSINGS = {"en": "Kind regards", "de": "Mit freundlichen Grüßen", "fr": "Bien cordialement", "ja": "敬具"}

MEETINGS = (
    ("Weekly bench review", "Room Aurora / Bridge 3"),
    ("Jour fixe Fertigung", "Besprechungsraum Süd"),
    ("Point chantier", "Atelier, 1er étage"),
    ("品質会議", "第二会議室"),
    ("Supplier call: Harbour Lane", "Phone"),
    ("Budget Q3 – first look 💶", "Room Kestrel"),
)

TASKS = (
    "Order spare seals",
    "Renew the lift certificate",
    "Reisekosten abrechnen",
    "Relancer le fournisseur",
    "Send the corrected drawing",
    "校正証明書を確認する",
)

NOTES = (
    "Locker code is on the back of the badge holder, not here.",
    "Ideas for the open day:\r\n- glass valve\r\n- slow-motion camera\r\n- cake",
    "Parkplatz 17 ist ab Montag frei",
    "Film: le dimanche, séance de 18 h",
)

CALLS = ("Called back about the delivery", "Long call on the warranty case", "Rückruf wegen Reklamation")


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    address: str
    given: str
    family: str
    company: str
    legacy_dn: str = ""  # of a colleague in the same organisation


def ascii_name(given: str, family: str) -> str:
    """The local part of an address, as an administrator would spell it."""
    table = str.maketrans(
        {
            "ä": "ae",
            "ö": "oe",
            "ü": "ue",
            "Ü": "Ue",
            "ß": "ss",
            "é": "e",
            "ê": "e",
            "ë": "e",
            "ð": "d",
            "Þ": "Th",
            "ó": "o",
            "í": "i",
            "ś": "s",
            "Á": "A",
            "ł": "l",
            "'": "",
            " ": "",
        }
    )
    text = f"{given}.{family}".translate(table).lower()
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in ".-"))


def fill(dice: random.Random, text: str, when: str, person: str) -> str:
    """A subject or paragraph with its braces filled."""
    company = dice.choice(COMPANIES)[0]
    return (
        text.replace("{n}", f"{dice.randrange(1000, 99999)}")
        .replace("{q}", str(dice.randrange(2, 240)))
        .replace("{m}", f"€ {dice.randrange(80, 98000):,}".replace(",", " "))
        .replace("{w}", str(dice.randrange(1, 53)))
        .replace("{c}", company)
        .replace("{d}", when)
        .replace("{p}", person)
    )
