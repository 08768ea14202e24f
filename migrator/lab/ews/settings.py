"""Settings of a mailbox that are only read here: out of office, rules, delegates, user configuration.

They are kept in LabMailbox.settings: "oof" (state, external audience, replies), "rules" (list of name, priority,
enabled, supported), "configurations" ({(folder role, name): {"xml": bytes, "dictionary": {str: str | int | bool}}}).

Facts: MS-OXWSOOF, MS-OXWSRULES, MS-OXWSDLGM, MS-OXWSUSRCFG; a configuration that is not there is ErrorItemNotFound.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from lxml import etree

from migrator.lab.ews import identity
from migrator.lab.ews.envelope import M, Refused, T, bare_answer, element, success, text
from migrator.lab.ews.session import Session, from_store, not_found
from migrator.lab.store import LabMailbox, StoreError


def _opened(session: Session, address: str | None) -> LabMailbox:
    if address:
        return identity.named_mailbox(session.world, session.who, address.strip())
    return identity.default_mailbox(session.who)


def _refusal(session: Session, refused: Refused) -> bytes:
    session.codes.append(refused.code)
    return (
        element("m:MessageText", refused.text)
        + element("m:ResponseCode", refused.code)
        + element("m:DescriptiveLinkKey", "0")
    )


_NO_ERROR = b"<m:ResponseCode>NoError</m:ResponseCode>"


def get_oof(session: Session, request: etree._Element) -> list[bytes]:
    """The whole answer: this operation has no ResponseMessages."""
    try:
        box = _opened(session, request.findtext(f"{T}Mailbox/{T}Address"))
    except Refused as refused:
        body = b'<m:ResponseMessage ResponseClass="Error">%b</m:ResponseMessage>' % _refusal(session, refused)
        return bare_answer(session.profile, "GetUserOofSettingsResponse", b"", body)
    kept: dict[str, Any] = box.settings.get("oof", {})
    audience = kept.get("external_audience", "All")
    settings = element("t:OofState", kept.get("state", "Disabled")) + element("t:ExternalAudience", audience)
    start, end = kept.get("start", "2000-01-01T00:00:00Z"), kept.get("end", "2000-01-02T00:00:00Z")
    settings += element("t:Duration", element("t:StartTime", start) + element("t:EndTime", end))
    for name in ("InternalReply", "ExternalReply"):
        settings += element(f"t:{name}", element("t:Message", kept.get(name, "")))
    body = b'<m:ResponseMessage ResponseClass="Success">%b</m:ResponseMessage>' % _NO_ERROR
    body += element("t:OofSettings", settings) + element("m:AllowExternalOof", audience)
    return bare_answer(session.profile, "GetUserOofSettingsResponse", b"", body)


def get_inbox_rules(session: Session, request: etree._Element) -> list[bytes]:
    """The whole answer: the response message is the body."""
    try:
        box = _opened(session, request.findtext(f"{M}MailboxSmtpAddress"))
    except Refused as refused:
        return bare_answer(
            session.profile, "GetInboxRulesResponse", b' ResponseClass="Error"', _refusal(session, refused)
        )
    rules = []
    for spot, rule in enumerate(box.settings.get("rules", []), 1):
        inner = element("t:RuleId", b64encode(f"rule {spot}".encode()).decode())
        inner += element("t:DisplayName", rule["name"]) + element(
            "t:Priority", str(rule.get("priority", spot))
        )
        inner += element("t:IsEnabled", "true" if rule.get("enabled", True) else "false")
        if not rule.get("supported", True):
            inner += element("t:IsNotSupported", "true")
        rules.append(element("t:Rule", inner))
    body = _NO_ERROR + element(
        "m:OutlookRuleBlobExists", "true" if box.settings.get("outlook_rules") else "false"
    )
    if rules:
        body += element("m:InboxRules", b"".join(rules))
    return bare_answer(session.profile, "GetInboxRulesResponse", b' ResponseClass="Success"', body)


def get_delegate(session: Session, request: etree._Element) -> list[bytes]:
    """The whole answer."""
    try:
        box = _opened(session, request.findtext(f"{M}Mailbox/{T}EmailAddress"))
    except Refused as refused:
        return bare_answer(
            session.profile, "GetDelegateResponse", b' ResponseClass="Error"', _refusal(session, refused)
        )
    messages = []
    for address in box.settings.get("delegates", []):
        user = element(
            "t:UserId", element("t:PrimarySmtpAddress", address) + element("t:DisplayName", address)
        )
        inner = _NO_ERROR + element(
            "m:DelegateUser",
            user
            + element("t:ReceiveCopiesOfMeetingMessages", "false")
            + element("t:ViewPrivateItems", "false"),
        )
        messages.append(
            b'<m:DelegateUserResponseMessageType ResponseClass="Success">%b</m:DelegateUserResponseMessageType>'
            % inner
        )
    body = _NO_ERROR
    if messages:
        body += element("m:ResponseMessages", b"".join(messages))
    body += element("m:DeliverMeetingRequests", "NoForward")
    return bare_answer(session.profile, "GetDelegateResponse", b' ResponseClass="Success"', body)


def get_user_configuration(session: Session, request: etree._Element) -> list[bytes]:
    asked = request.find(f"{M}UserConfigurationName")
    assert asked is not None

    def one(_: None) -> bytes:
        try:
            folder = session.folder(asked[0])
        except StoreError as problem:
            raise from_store(problem) from None
        name = asked.get("Name", "")
        found = folder.mailbox.settings.get("configurations", {}).get((folder.role, name))
        if found is None:
            raise not_found()
        inner = b'<t:UserConfigurationName Name="%b">%b</t:UserConfigurationName>' % (
            text(name),
            session.folder_id(folder),
        )
        entries = [
            element(
                "t:DictionaryEntry",
                element("t:DictionaryKey", element("t:Type", "String") + element("t:Value", key))
                + element(
                    "t:DictionaryValue", element("t:Type", _type(value)) + element("t:Value", _shown(value))
                ),
            )
            for key, value in found.get("dictionary", {}).items()
        ]
        if entries:
            inner += element("t:Dictionary", b"".join(entries))
        if found.get("xml"):
            inner += element("t:XmlData", b64encode(found["xml"]))
        return success("GetUserConfiguration", element("m:UserConfiguration", inner))

    return session.each("GetUserConfiguration", (None,), one)


def _type(value: object) -> str:
    return "Boolean" if isinstance(value, bool) else "Integer32" if isinstance(value, int) else "String"


def _shown(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
