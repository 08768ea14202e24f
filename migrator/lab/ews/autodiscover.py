"""Autodiscover: GetUserSettings over SOAP, and the older XML form (POX).

Facts this module rests on (MS-OXWSADISC, MS-OXDSCLI; answer recorded from Exchange Online;
learn.microsoft.com/…/autodiscover-for-exchange):
- SOAP: an unknown user is ErrorCode InvalidUser in its UserResponse; RedirectAddress and RedirectUrl carry RedirectTarget
- POX: protocols EXCH (inside), EXPR (outside) with EwsUrl; an unknown address is Error 500
- an unauthenticated GET over http is answered with a redirect to https
"""

from __future__ import annotations

from email.utils import formatdate

from lxml import etree

from migrator.lab.ews.envelope import NS_S, has_doctype, parser, text
from migrator.lab.ews.versions import Profile
from migrator.lab.store import LabMailbox, MailboxNotFound
from migrator.lab.world import World

NS_A = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
_ACTION = f"{NS_A}/Autodiscover/GetUserSettingsResponse"
REDIRECTS = "autodiscover.redirects"
"""Key in World.notes: {address in lower case: ("RedirectAddress" or "RedirectUrl", target)}."""


def _settings(world: World, box: LabMailbox, profile: Profile) -> dict[str, str]:
    url = world.urls.ews
    return {
        "UserDisplayName": box.display_name,
        "UserDN": box.legacy_dn,
        "UserDeploymentId": box.tenant,
        "MailboxDN": box.legacy_dn,
        "AutoDiscoverSMTPAddress": box.address,
        "InternalEwsUrl": url,
        "ExternalEwsUrl": url,
        "ExternalEwsVersion": ".".join(
            f"{part:02d}" if spot else str(part) for spot, part in enumerate(profile.build)
        ),
        "EwsSupportedSchemas": "Exchange2007, Exchange2007_SP1, Exchange2010, Exchange2010_SP1, Exchange2010_SP2, "
        "Exchange2013, Exchange2013_SP1, Exchange2015"
        if profile.build >= (15, 1)
        else "Exchange2007, Exchange2007_SP1, Exchange2010, Exchange2010_SP1, Exchange2010_SP2",
        "CasVersion": ".".join(map(str, profile.build)),
        "GroupingInformation": "Default-First-Site-Name",
        "ActiveDirectoryServer": "dc.lab.test",
    }


def _mailbox(world: World, address: str) -> LabMailbox | None:
    try:
        return world.exchange.mailbox(address)
    except MailboxNotFound:
        return None


def soap(world: World, profile: Profile, body: bytes) -> tuple[int, bytes]:
    """(status, answer) for a GetUserSettings request."""
    try:
        root = etree.fromstring(body, parser())
    except (etree.XMLSyntaxError, ValueError):
        return 500, _fault("The request is not well-formed XML.")
    request = root.find(f"{{{NS_S}}}Body/{{{NS_A}}}GetUserSettingsRequestMessage/{{{NS_A}}}Request")
    if has_doctype(root) or request is None:
        return 500, _fault("The lab answers GetUserSettings only.")
    addresses = [
        (one.text or "").strip()
        for one in request.findall(f"{{{NS_A}}}Users/{{{NS_A}}}User/{{{NS_A}}}Mailbox")
    ]
    wanted = [
        (one.text or "").strip() for one in request.findall(f"{{{NS_A}}}RequestedSettings/{{{NS_A}}}Setting")
    ]
    users = b"".join(_user(world, profile, address, wanted) for address in addresses)
    return 200, _soap_envelope(profile, users)


def _user(world: World, profile: Profile, address: str, wanted: list[str]) -> bytes:
    redirect = world.notes.get(REDIRECTS, {}).get(address.lower())
    if redirect is not None:
        kind, target = redirect
        return (
            b"<UserResponse><ErrorCode>%b</ErrorCode><ErrorMessage>Redirection.</ErrorMessage>"
            b"<RedirectTarget>%b</RedirectTarget><UserSettingErrors/><UserSettings/></UserResponse>"
            % (text(kind), text(target))
        )
    box = _mailbox(world, address)
    if box is None:
        return (
            b"<UserResponse><ErrorCode>InvalidUser</ErrorCode><ErrorMessage>Invalid user: '%b'</ErrorMessage>"
            b'<RedirectTarget i:nil="true"/><UserSettingErrors/><UserSettings/></UserResponse>'
            % text(address)
        )
    known = _settings(world, box, profile)
    found, missing = [], []
    for name in wanted:
        if name == "AlternateMailboxes":
            found.append(
                b'<UserSetting i:type="AlternateMailboxCollectionSetting"><Name>AlternateMailboxes</Name>'
                b"<AlternateMailboxes/></UserSetting>"
            )
        elif name in known:
            found.append(
                b'<UserSetting i:type="StringSetting"><Name>%b</Name><Value>%b</Value></UserSetting>'
                % (text(name), text(known[name]))
            )
        else:
            missing.append(
                b"<UserSettingError><ErrorCode>SettingIsNotAvailable</ErrorCode><ErrorMessage>The setting is not "
                b"available.</ErrorMessage><SettingName>%b</SettingName></UserSettingError>" % text(name)
            )
    errors = (
        b"<UserSettingErrors>%b</UserSettingErrors>" % b"".join(missing)
        if missing
        else b"<UserSettingErrors/>"
    )
    return (
        b"<UserResponse><ErrorCode>NoError</ErrorCode><ErrorMessage>No error.</ErrorMessage>"
        b'<RedirectTarget i:nil="true"/>%b<UserSettings>%b</UserSettings></UserResponse>'
        % (errors, b"".join(found))
    )


def _soap_envelope(profile: Profile, users: bytes) -> bytes:
    version = profile.highest if profile.highest.startswith("Exchange") else "Exchange2016"
    parts = zip(
        ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber"), profile.build, strict=True
    )
    build = b"".join(b"<h:%b>%d</h:%b>" % (name.encode(), number, name.encode()) for name, number in parts)
    return (
        b'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        b'xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header><a:Action s:mustUnderstand="1">%b</a:Action>'
        b'<h:ServerVersionInfo xmlns:h="%b" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">%b'
        b"<h:Version>%b</h:Version></h:ServerVersionInfo></s:Header><s:Body>"
        b'<GetUserSettingsResponseMessage xmlns="%b"><Response xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        b"<ErrorCode>NoError</ErrorCode><ErrorMessage/><UserResponses>%b</UserResponses></Response>"
        b"</GetUserSettingsResponseMessage></s:Body></s:Envelope>"
        % (_ACTION.encode(), NS_A.encode(), build, version.encode(), NS_A.encode(), users)
    )


def _fault(message: str) -> bytes:
    return (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>'
        b'<faultstring xml:lang="en-US">%b</faultstring></s:Fault></s:Body></s:Envelope>' % text(message)
    )


_OUTLOOK = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_REQUEST = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006}"


def pox(world: World, profile: Profile, body: bytes) -> tuple[int, bytes]:
    """(status, answer) for an Autodiscover XML request."""
    try:
        root = etree.fromstring(body, parser())
    except (etree.XMLSyntaxError, ValueError):
        return 200, _pox_error(world, "600", "Invalid Request")
    address = (root.findtext(f"{_REQUEST}Request/{_REQUEST}EMailAddress") or "").strip()
    if not address or has_doctype(root):
        return 200, _pox_error(world, "600", "Invalid Request")
    redirect = world.notes.get(REDIRECTS, {}).get(address.lower())
    if redirect is not None:
        kind, target = redirect
        action, tag = (
            ("redirectAddr", "RedirectAddr") if kind == "RedirectAddress" else ("redirectUrl", "RedirectUrl")
        )
        account = f"<Action>{action}</Action><{tag}>".encode() + text(target) + f"</{tag}>".encode()
        return 200, _pox_answer(b"", account)
    box = _mailbox(world, address)
    if box is None:
        return 200, _pox_error(world, "500", "The email address can't be found.")
    url = text(world.urls.ews)
    user = (
        b"<User><DisplayName>%b</DisplayName><LegacyDN>%b</LegacyDN><AutoDiscoverSMTPAddress>%b"
        b"</AutoDiscoverSMTPAddress><DeploymentId>%b</DeploymentId></User>"
        % (text(box.display_name), text(box.legacy_dn), text(box.address), text(box.tenant))
    )
    server = f"{box.guid}@{box.address.partition('@')[2]}".encode()
    protocols = b"".join(
        b"<Protocol><Type>%b</Type><Server>%b</Server><ASUrl>%b</ASUrl><EwsUrl>%b</EwsUrl></Protocol>"
        % (kind, server, url, url)
        for kind in (b"EXCH", b"EXPR")
    )
    return 200, _pox_answer(
        user,
        b"<AccountType>email</AccountType><Action>settings</Action><MicrosoftOnline>False</MicrosoftOnline>"
        + protocols,
    )


_POX = b'<?xml version="1.0" encoding="utf-8"?>\r\n<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">'


def _pox_answer(user: bytes, account: bytes) -> bytes:
    return b'%b<Response xmlns="%b">%b<Account>%b</Account></Response></Autodiscover>' % (
        _POX,
        _OUTLOOK.encode(),
        user,
        account,
    )


def _pox_error(world: World, code: str, message: str) -> bytes:
    return (
        b'%b<Response><Error Time="%b" Id="1"><ErrorCode>%b</ErrorCode><Message>%b</Message><DebugData/></Error></Response></Autodiscover>'
        % (
            _POX,
            formatdate(world.clock.now(), usegmt=True).split()[4].encode(),
            code.encode(),
            text(message),
        )
    )
