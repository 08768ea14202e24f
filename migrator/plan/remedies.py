"""What every code means to an administrator, and what to do next: the one table behind `errors`, `status` and the reports.

A code is a short stable word of ours (`quota_full`), a code of Exchange or Graph (`ErrorItemNotFound`), or `http_NNN`.
Meanings of service codes: learn.microsoft.com/exchange/client-developer/web-service-reference/responsecode and
learn.microsoft.com/graph/errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrator.model import SkipReason
from migrator.record import record


@record
class Remedy:
    """title: what happened, a few words. todo: the next step, whole sentences. again: the same command may cure it."""

    title: str
    todo: str
    again: bool = False


_AGAIN = "Run the same command again; what is done stays done."

SKIPS: Mapping[SkipReason, Remedy] = {
    SkipReason.TOO_LARGE: Remedy(
        "larger than the target takes",
        "Raise the message size limit of the target mailbox (Set-Mailbox -MaxReceiveSize, at most 150 MB) and run with "
        "--retry-failed, or hand the item over as a file.",
    ),
    SkipReason.CORRUPT_AT_SOURCE: Remedy(
        "the source server itself cannot read it",
        "Open it in Outlook on the old server. If that works, save it there and run again; else a repair of the source "
        "mailbox (New-MailboxRepairRequest) may bring it back.",
    ),
    SkipReason.VANISHED: Remedy(
        "deleted or moved by its owner during the run", "Nothing. A moved item is found in its new folder."
    ),
    SkipReason.FILTERED_DATE: Remedy(
        "outside --since and --until", "Nothing. A run without these limits takes it."
    ),
    SkipReason.FILTERED_FOLDER: Remedy(
        "in a folder that was left out",
        "Nothing, unless it was not meant: look at --folder, --exclude-folder and the project file.",
    ),
    SkipReason.UNSUPPORTED_KIND: Remedy(
        "of a kind that this target does not take", "See `migrator check` for what the target takes."
    ),
    SkipReason.SEARCH_FOLDER: Remedy(
        "in a search folder, a view of items that lie in other folders",
        "Nothing: the items are copied from there.",
    ),
    SkipReason.DUPLICATE: Remedy("the same item was copied already", "Nothing: that was asked for."),
}

CODES: Mapping[str, Remedy] = {
    # one item
    "in_doubt": Remedy(
        "sent, and no answer came", "The next run looks in the target before it sends again. " + _AGAIN, True
    ),
    "answer_lost": Remedy(
        "the connection broke before the answer came",
        "The next run looks in the target before it sends again. " + _AGAIN,
        True,
    ),
    "not_sent": Remedy("not sent: the run stopped before", _AGAIN, True),
    "transient": Remedy("passing trouble outlasted the patience", _AGAIN, True),
    "throttled": Remedy(
        "the server asked to slow down for too long",
        "Run again at a quieter hour, or with fewer mailboxes at once (--mailboxes).",
        True,
    ),
    # mail servers (IMAP)
    "refused": Remedy(
        "the server refused the connection or the message",
        "See whether the server is up and the port right; for a message, the server's words are beside it.",
        True,
    ),
    "too_many_connections": Remedy(
        "the server allows no more connections",
        "Lower `concurrent` in the limits of this endpoint, or --mailboxes, and run again.",
        True,
    ),
    "closed": Remedy("the server closed the connection", _AGAIN, True),
    "connection": Remedy(
        "the server cannot be reached", "Check url, firewall and whether the server is up. " + _AGAIN, True
    ),
    "dns": Remedy("the server's name is not known", "Check url and this machine's name resolution.", True),
    "no_tls": Remedy(
        "the server offers no encryption",
        "Use its TLS port (imaps://host:993); passwords do not travel in the clear.",
    ),
    "pin_mismatch": Remedy(
        "another certificate than the pinned one",
        "Ask the host whether the certificate was renewed; if so, pin the new fingerprint. If not, do not sign in.",
    ),
    "unavailable": Remedy("the server is busy or in maintenance", _AGAIN, True),
    "drops_connection": Remedy(
        "the server drops the connection over this item",
        "Ask the host to repair the mailbox, or save the item with a mail program. Then run with --retry-failed.",
    ),
    "undeliverable": Remedy(
        "the server cannot deliver this message",
        "Ask the host to repair the mailbox. Then run with --retry-failed.",
    ),
    "flat": Remedy("no folders below folders on this server", "Nothing: names are joined instead."),
    "no_qresync": Remedy("no change marks on this server", "Nothing: later passes take a little longer."),
    "no_uidplus": Remedy("the server does not name what it stores", "Nothing: each batch is looked up."),
    "no_right": Remedy(
        "no right to this folder", "Give the account the right to it, or leave the folder out."
    ),
    "conflict": Remedy(
        "the item was changed in the target meanwhile",
        "The target's owner has changed it: their version stays. Remove it there to have the source's again.",
    ),
    "mass_delete": Remedy(
        "a large part of the mailbox is gone from the source",
        "Nothing was deleted in the target. Check the source; if it is meant, run with --force mass_delete.",
    ),
    "folder_refused": Remedy(
        "the target will not have this folder",
        "Give it another name with [folders] rename in the project file.",
    ),
    "folder_full": Remedy(
        "the target folder holds as many items as it may",
        "A folder takes 1,000,000 items: send part of it elsewhere with [folders] rename or by dates.",
    ),
    "rebuilt": Remedy(
        "rebuilt from what is in the target", "Run `migrator run`: it copies what is missing.", True
    ),
    "folder_gone": Remedy("the folder vanished during the run", _AGAIN, True),
    "folder_exists": Remedy("a folder of this name is there and cannot be used", _AGAIN, True),
    "archive_folder": Remedy(
        "the folder lies in an archive mailbox",
        "Archive mailboxes are not written yet: choose another folder.",
    ),
    "protected": Remedy(
        "the item is protected and may not be read out", "Its owner has to copy it, or lift the protection."
    ),
    "permission": Remedy(
        "no right to this folder or item",
        "Give the account full access (or impersonation) at the source and run again.",
    ),
    "stream_truncated": Remedy(
        "the source sent half an item",
        "Run with --retry-failed. If it stays, the item is damaged at the source: open it there in Outlook.",
    ),
    "stream_unknown": Remedy(
        "an item in a form that is not understood",
        "Run with --retry-failed; if it stays, report it with its class.",
    ),
    "stream_forbidden": Remedy(
        "an item in a form that may not be written", "Report it with its class; others are not touched."
    ),
    "garbled_answer": Remedy(
        "an answer that makes no sense", "Is a proxy or a filter between? " + _AGAIN, True
    ),
    "item_error": Remedy(
        "the item was refused", "Look at the message beside it; run with --retry-failed after a cure."
    ),
    "too_large": Remedy(
        "larger than the target takes",
        "Raise its message size limit (Set-Mailbox -MaxReceiveSize) and run with --retry-failed.",
    ),
    "no_canary": Remedy(
        "the target was never asked whether it takes such items",
        "Run `migrator check`, which asks with an item of its own; or run with --force no_canary.",
    ),
    "too_large_for_json": Remedy(
        "too large for the path that its kind takes",
        "Without item streams a text has 4 MB at most and an attachment 150 MB: copy it by hand, or see `migrator check` for "
        "why streams are refused.",
    ),
    "incomplete_item": Remedy(
        "an item whose attachments are not all there, and that could not be removed again",
        "Delete it in the target by hand, then run with --retry-failed.",
    ),
    "kind_unsupported": Remedy(
        "the path into this target has no such items", "Look at `migrator check`: it says what is taken."
    ),
    "no_start": Remedy(
        "an appointment without a beginning", "Give it one at the source, then run with --retry-failed."
    ),
    "item_unknown": Remedy("no such item", "Check the row and the id."),
    "item_ambiguous": Remedy("several items have this Message-ID", "Name one with --id."),
    "item_unreadable": Remedy("the item cannot be read", _AGAIN, True),
    "canary_refused": Remedy(
        "the target does not take items of this kind and origin",
        "Look at `migrator check`: it says what was refused.",
    ),
    "ErrorItemNotFound": Remedy(
        "the item is no longer there", "Nothing, if its owner deleted it. " + _AGAIN, True
    ),
    "ErrorCorruptData": Remedy(
        "the server cannot read the item",
        "Open it in Outlook on that server; run with --retry-failed after a cure.",
    ),
    "ErrorInvalidRequest": Remedy(
        "the target refused the item's content",
        "Run with --retry-failed; if it stays, hand the item over as a file.",
    ),
    "ErrorMessageSizeExceeded": Remedy(
        "larger than the server takes", "Raise the message size limit there and run with --retry-failed."
    ),
    "ErrorServerBusy": Remedy(
        "the server was busy",
        "Run again at a quieter hour, or with fewer mailboxes at once (--mailboxes).",
        True,
    ),
    "ApplicationThrottled": Remedy(
        "the service asked to slow down for too long",
        "Run again at a quieter hour, or with fewer mailboxes at once (--mailboxes).",
        True,
    ),
    "format": Remedy(
        "the source could not give it in a form that the target takes",
        "The item's own stream was refused or is not to be had there. Run with --retry-failed; if it stays, copy it by hand.",
    ),
    "bad_content": Remedy(
        "the target found the item's content unreadable",
        "Open it in Outlook at the source; run with --retry-failed after a cure.",
    ),
    "empty_content": Remedy(
        "the source gave no content", "Open it in Outlook at the source; run with --retry-failed."
    ),
    "truncated": Remedy(
        "only half of the item was exported",
        "Run with --retry-failed; if it stays, it is damaged at the source.",
    ),
    "truncated_data": Remedy(
        "the source sent half an item", "Run with --retry-failed; if it stays, it is damaged at the source."
    ),
    "broken_stream": Remedy(
        "the source sent a damaged item", "Run with --retry-failed; if it stays, it is damaged at the source."
    ),
    "broken_answer": Remedy("the source's answer broke off", _AGAIN, True),
    "no_mime": Remedy(
        "the source cannot turn it into MIME",
        "Open it in Outlook at the source; copy it by hand if it matters.",
    ),
    "export_mismatch": Remedy("the source answered for other items than asked", _AGAIN, True),
    "no_item_id": Remedy(
        "imported, but the target did not say under which id", "The next run looks for it. " + _AGAIN, True
    ),
    "missing": Remedy("not in the target", "Run with --retry-failed."),
    "vanished": Remedy("no longer there", "Nothing, if its owner deleted it. " + _AGAIN, True),
    "request_too_large": Remedy(
        "larger than the server takes in one request", "Lower batch_octets; raise the server's limit."
    ),
    "checkpoint_lost": Remedy(
        "the server forgot where listing stood", "The folder is listed anew. " + _AGAIN, True
    ),
    "checkpoint_foreign": Remedy(
        "the ledger is of another kind of source", "Did the endpoint's kind change? Use a new ledger then."
    ),
    "blob_limit": Remedy(
        "a part of the item is too large to be read", "Report it with its class; others are not touched."
    ),
    "format_limit": Remedy(
        "a part of the item is too large to be converted", "Report it with its class; others are not touched."
    ),
    "unexpected": Remedy(
        "a fault of this program", "Report it with migrator.log (no secrets in it). " + _AGAIN, True
    ),
    "stopped": Remedy("the run was stopped before its turn came", _AGAIN, True),
    "items_failed": Remedy(
        "some items failed", "`migrator errors` says why; run again, or with --retry-failed.", True
    ),
    "timeout": Remedy("the server did not answer in time", _AGAIN, True),
    "connection_closed": Remedy("the connection broke", _AGAIN, True),
    "dry_run": Remedy("nothing is written in a dry run", "Run without --dry-run."),
    # one mailbox
    "quota_short": Remedy(
        "not enough room in the target mailbox",
        "Give it a larger plan or an archive (Set-Mailbox -ProhibitSendReceiveQuota up to the plan's most), or leave old items "
        "out with --since.",
    ),
    "oversize": Remedy(
        "items above what the target receives",
        "Raise its limit before the run: Set-Mailbox -MaxReceiveSize 150MB -MaxSendSize 150MB. What is larger than 150 MB "
        "has to be handed over as a file.",
    ),
    "no_licence": Remedy(
        "no licence with Exchange Online",
        "Assign one to the user: admin centre, Users, Active users, Licenses and apps. A shared mailbox needs none up to 50 GB.",
    ),
    "plan_changed": Remedy(
        "the source is not what the plan says",
        "Look at the differences. Make a new plan with `migrator plan`, or run without --strict.",
    ),
    "plan_missing": Remedy("there is no such plan", "Run `migrator plan`, which writes it."),
    "plan_invalid": Remedy("the plan cannot be read", "Make a new one with `migrator plan`."),
    "plan_unreadable": Remedy("the plan cannot be read", "Check the file and the rights to it."),
    "plan_version": Remedy("the plan is of another version", "Make a new one with `migrator plan`."),
    "plan_secret": Remedy(
        "the plan holds a secret", "Make a new one with `migrator plan`, and change that secret."
    ),
    "plan_pass": Remedy("the plan is for another pass", "Make one with `migrator plan --pass NAME`."),
    "plan_empty": Remedy("nothing of the plan is left to run", "Make a new one with `migrator plan`."),
    "plan_unwritable": Remedy(
        "the plan cannot be written", "Check the folder's rights and room, or name --out."
    ),
    "quota_full": Remedy(
        "the target mailbox is full",
        "Give it a larger plan or an archive, or leave old items out with --since; then run again.",
    ),
    "mailbox_unknown": Remedy(
        "there is no such mailbox",
        "Check the address in the manifest, and that the mailbox exists and is not hidden or removed.",
    ),
    "mailbox_not_found": Remedy(
        "there is no such mailbox",
        "Check the address in the manifest, and that the mailbox exists and is not hidden or removed.",
    ),
    "mailbox_not_ready": Remedy(
        "the target mailbox is not ready",
        "Assign an Exchange Online licence to the user. It takes up to 24 hours after that, mostly half an hour.",
    ),
    "identity_changed": Remedy(
        "behind this address is another mailbox than before",
        "Was it removed and made anew? Then start with a new ledger, or run with --force identity_changed.",
    ),
    "empty_source": Remedy(
        "the source is empty, and was not before",
        "Look at the source mailbox: a wrong address or a reset mailbox looks like this. --force empty_source goes on.",
    ),
    "no_folders": Remedy(
        "the mailbox shows no folder at all", "Check the rights of the account at this mailbox."
    ),
    "lease_lost": Remedy(
        "another process took this mailbox over", "Leave it to the other run: `migrator status` names it."
    ),
    "in_use": Remedy(
        "another process works on this mailbox", "Wait for it, or stop it; `migrator status` names it."
    ),
    "source_down": Remedy(
        "the server does not answer",
        "Check name, network and firewall from this machine; then run the same command again.",
        True,
    ),
    "job_error": Remedy("the mailbox stopped", _AGAIN, True),
    "interrupted": Remedy("the run was stopped", _AGAIN, True),
    "ews_disabled": Remedy(
        "EWS is shut for this mailbox or organisation",
        "Set-CASMailbox -EwsEnabled $true, and look at EwsApplicationAccessPolicy at the source.",
    ),
    "no_impersonation": Remedy(
        "the account may not act for this mailbox",
        'Give it the role ApplicationImpersonation at the source, or full access and access = "delegate".',
    ),
    "ErrorImpersonateUserDenied": Remedy(
        "the account may not act for this mailbox",
        'Give it the role ApplicationImpersonation at the source, or full access and access = "delegate".',
    ),
    "ErrorNonExistentMailbox": Remedy("there is no such mailbox", "Check the address in the manifest."),
    "ErrorAccessDenied": Remedy(
        "access was denied", "Check the account's or the app's rights to this mailbox."
    ),
    "ErrorQuotaExceeded": Remedy(
        "the mailbox is full", "Enlarge it or leave old items out with --since; then run again."
    ),
    "access_denied": Remedy(
        "no right to this mailbox", "Give the account full access or impersonation at the source."
    ),
    "ews_shut": Remedy(
        "EWS is shut for this mailbox or program",
        "Set-CASMailbox -EwsEnabled $true, and look at EwsApplicationAccessPolicy there.",
    ),
    "no_mailbox": Remedy(
        "there is no such mailbox", "Check the address in the manifest; it must be the primary one."
    ),
    "not_primary_address": Remedy(
        "not the mailbox's primary address", "Put its primary SMTP address into the manifest."
    ),
    "principal_name": Remedy(
        "the address is not the mailbox's primary one", "Put its primary SMTP address into the manifest."
    ),
    "mailbox_disabled": Remedy(
        "the mailbox is switched off", "Enable it, or take the row out of the manifest."
    ),
    "password_expired": Remedy(
        "the password has run out",
        "Set a new one at the server, and put it where the reference points (variable, keyring or file).",
    ),
    "secret_expired": Remedy(
        "the client secret has run out",
        "Make a new one (Entra admin centre, App registrations, Certificates & secrets) and put it where the reference points.",
    ),
    "no_login": Remedy("no user name is given", "Fill username of the endpoint, or source_login of the row."),
    "no_secret": Remedy("no password is given", "Fill secret of the endpoint, or source_secret of the row."),
    "no_url": Remedy("the server was not found by itself", "Fill url of the endpoint."),
    "no_target": Remedy("this kind of endpoint cannot be written to", "Name another target endpoint."),
    "no_root": Remedy("the mailbox shows no folders", "Check the account's rights at this mailbox."),
    "no_folder": Remedy("a folder is not in the ledger", "Report it: this should not happen."),
    "no_sync_state": Remedy("the server lists without telling where it stands", _AGAIN, True),
    "empty_answer": Remedy("the server answered nothing", _AGAIN, True),
    "no_progress": Remedy("the server lists the same again and again", _AGAIN, True),
    "no_common_format": Remedy(
        "source and target share no form for items",
        "The source has no ExportItems: it needs Exchange 2010 SP1 or later.",
    ),
    "import_refused": Remedy(
        "the target does not take imported items", "Look at `migrator check`: it says what was refused."
    ),
    "import_session": Remedy("the target opened no import session", _AGAIN, True),
    "owned_elsewhere": Remedy(
        "another process copies this mailbox", "Let it finish, or stop it; `migrator status` names it."
    ),
    "blocked": Remedy(
        "something stands in the way", "Look at the message beside it, and at `migrator check`."
    ),
    "not_run": Remedy("nothing of this mailbox was copied yet", "Run `migrator run` first."),
    "sign_in_lapsed": Remedy(
        "the sign-in is no longer honoured", "Check the account; then run the same command again.", True
    ),
    "sign_in_method": Remedy(
        "the server does not take this way of signing in", "Set auth of the endpoint to one that it names."
    ),
    "sign_in_garbled": Remedy(
        "the sign-in service answers nonsense", "Is a proxy or filter between? Check authority.", True
    ),
    "endpoint_settings": Remedy(
        "the endpoint's settings cannot work", "Mend the endpoint in the project file."
    ),
    "option": Remedy(
        "an option of the endpoint is wrong", "Mend options of the endpoint in the project file."
    ),
    "wrong_url": Remedy(
        "the URL is not that of EWS", "Mend url of the endpoint: https://host/EWS/Exchange.asmx."
    ),
    "error_page": Remedy(
        "the server shows an error page", "Check url of the endpoint in a browser on this machine."
    ),
    "autodiscover": Remedy("autodiscover found no server", "Fill url of the endpoint."),
    "autodiscover_host": Remedy(
        "autodiscover names a host that is not trusted", "If it is right, fill url of the endpoint."
    ),
    "foreign_link": Remedy("the service names a link to elsewhere", "Report it; nothing was sent there."),
    "unknown_endpoint": Remedy("no such endpoint", "Mend the name in the manifest or the project file."),
    "secret_reference": Remedy(
        "a secret's reference cannot be used", "Write env:NAME, keyring:SERVICE/USER or file:PATH."
    ),
    "ledger_read_only": Remedy("the ledger is only being read", "Report it: this should not happen."),
    # everything
    "token_refused": Remedy(
        "the sign-in is not accepted", "Check tenant, client id and secret; has the secret run out?"
    ),
    "sign_in_busy": Remedy("the sign-in service is busy", _AGAIN, True),
    "sign_in_unreachable": Remedy(
        "the sign-in service does not answer", "Check network and proxy. " + _AGAIN, True
    ),
    "sign_in_settings": Remedy(
        "the sign-in settings are incomplete", "Mend the endpoint in the project file."
    ),
    "sign_in_refused": Remedy(
        "user name or password is wrong", "Mend the secret behind the endpoint's reference."
    ),
    "wrong_password": Remedy(
        "user name or password is wrong", "Mend the secret behind the endpoint's reference."
    ),
    "certificate_expired": Remedy(
        "the certificate has run out",
        "Make a new one and add it to the app: Entra admin centre, App registrations, Certificates & secrets.",
    ),
    "certificate_unreadable": Remedy(
        "the certificate cannot be read",
        "Let certificate of the endpoint point to a PEM with its key, or to a PFX.",
    ),
    "consent_missing": Remedy(
        "the app lacks a permission",
        "Grant MailboxItem.ImportExport.All and MailboxFolder.ReadWrite.All, with admin consent: Entra admin centre, App registrations, API permissions.",
    ),
    "api_missing": Remedy(
        "this service does not have what is needed", "Check the endpoint's URL and the tenant's cloud."
    ),
    "secret_missing": Remedy(
        "a secret is not where it should be", "Set the variable or file that the message names."
    ),
    "secret_store": Remedy("the secret store does not answer", "Unlock it, or use env: or file: references."),
    "tls": Remedy(
        "the server's certificate is not trusted",
        "Put its authority's certificate into ca_file of the endpoint.",
    ),
    "ca_file": Remedy("the certificate authority's file cannot be read", "Mend ca_file of the endpoint."),
    "url": Remedy("a URL that cannot be used", "Mend the endpoint's url in the project file."),
    "import_host": Remedy(
        "an import URL of a host that is not Microsoft's",
        "If it is yours, name it in import_hosts of the endpoint.",
    ),
    "redirected": Remedy(
        "the server sends elsewhere", "Put the address that it names into the endpoint's url."
    ),
    "unknown_kind": Remedy("no such kind of endpoint", "Mend kind of the endpoint in the project file."),
    "ledger_newer": Remedy(
        "the ledger is of a newer version",
        "Update this program (pip install -U migrator), or use the copy that wrote the ledger.",
    ),
    "ledger_older": Remedy(
        "the ledger is of an older version", "Run `migrator run` once: it updates the ledger."
    ),
    "ledger_busy": Remedy(
        "another process holds the ledger", "Wait for it or stop it; then run again.", True
    ),
    "ledger_unwritable": Remedy("the ledger cannot be written", "Check the rights to its folder."),
    "ledger_corrupt": Remedy("the ledger is damaged", "Restore it from a copy; check the disk."),
    "ledger_failed": Remedy("the ledger could not be written", "Check the disk. " + _AGAIN, True),
    "ledger_missing": Remedy("there is no ledger yet", "Run `migrator run` first."),
    "ledger_closed": Remedy("the ledger was closed during work", _AGAIN, True),
    "disk_full": Remedy(
        "the disk is full", "Make room where the ledger lies, then run the same command again.", True
    ),
    "unsettled": Remedy(
        "the ledger refused an order of writing", "Report this: it should not happen. Nothing was lost."
    ),
    "run_error": Remedy("the run had to stop", _AGAIN, True),
    "error": Remedy("an error", "Look at the message beside it."),
    "user_error": Remedy(
        "something that was given is wrong",
        "Mend what the message names; `migrator COMMAND --help` has an example.",
    ),
    "ews_error": Remedy(
        "the source server refused it",
        "Look at the server's words in the message; then run with --retry-failed.",
    ),
    "unwritable": Remedy("a file cannot be written", "Check the folder's rights and the room on its disk."),
    "manifest_unreadable": Remedy("the manifest cannot be read", "Check the file's name, rights and form."),
    "project_unreadable": Remedy("the project file cannot be read", "Check the file's name and rights."),
    "template_invalid": Remedy(
        "the page's template is wrong", "Mend the template at the place that the message names."
    ),
    "wording_unknown": Remedy(
        "the wording has unknown words", "Mend the file at the place that the message names."
    ),
    "proof_unreadable": Remedy(
        "the signed report cannot be read", "Give the folder that `migrator report --sign` wrote."
    ),
}

_HTTP: Mapping[str, Remedy] = {
    "http_400": Remedy(
        "the server refused the request",
        "Run with --retry-failed; if it stays, look at the message beside it.",
    ),
    "http_401": Remedy("the sign-in was not accepted", "Check the account and its secret."),
    "http_403": Remedy(
        "the server forbids it", "Check the rights of the account or app, and whether EWS is switched on."
    ),
    "http_404": Remedy("the server does not know it", "Check the address and the endpoint's url."),
    "http_413": Remedy("larger than the server takes", "Lower batch_octets, or raise the server's limit."),
    "http_429": Remedy(
        "the server asked to slow down for too long",
        "Run again at a quieter hour, or with fewer mailboxes at once (--mailboxes).",
        True,
    ),
}
_UNKNOWN = Remedy("not known here", "Look at the message beside it; run with --retry-failed after a cure.")
_SERVER = Remedy("trouble at the server", _AGAIN, True)


def remedy_of(code: str) -> Remedy:
    """What a code means; never fails, unknown ones get an answer that is true of all."""
    if code in CODES:
        return CODES[code]
    if code.startswith("http_5"):
        return _SERVER
    if code.startswith("source_"):
        return CODES["source_down"]
    if code.startswith(("stream_", "format_")):
        return CODES["stream_unknown"]
    return _HTTP.get(code, _UNKNOWN)


def skip_of(reason: SkipReason | str) -> Remedy:
    """Why items of this reason were left out."""
    try:
        return SKIPS[SkipReason(reason)]
    except ValueError:
        return Remedy(str(reason), "Look at `migrator errors`.")
