"""Names of properties: canonical constants (MS-OXPROPS), property sets, and the dictionary for reports.

The constants below are what code speaks; `dictionary.tsv` beside this module holds the wider list as data (name, id or
set and LID, type, kind, volatile, source) and is read on first use. A test holds the two against each other.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from migrator.mapi.item import Named


def _tail(number: int) -> UUID:
    return UUID(f"{number:08x}-0000-0000-c000-000000000046")


# Property sets, MS-OXPROPS 1.3.2.
PS_MAPI: Final = _tail(0x00020328)
PS_PUBLIC_STRINGS: Final = _tail(0x00020329)
PS_INTERNET_HEADERS: Final = _tail(0x00020386)
PSETID_APPOINTMENT: Final = _tail(0x00062002)
PSETID_TASK: Final = _tail(0x00062003)
PSETID_ADDRESS: Final = _tail(0x00062004)
PSETID_COMMON: Final = _tail(0x00062008)
PSETID_LOG: Final = _tail(0x0006200A)
PSETID_NOTE: Final = _tail(0x0006200E)
PSETID_REPORT: Final = _tail(0x00062013)
PSETID_REMOTE: Final = _tail(0x00062014)
PSETID_SHARING: Final = _tail(0x00062040)
PSETID_POST_RSS: Final = _tail(0x00062041)
PSETID_MEETING: Final = UUID("6ed8da90-450b-101b-98da-00aa003f1305")
PSETID_UNIFIED_MESSAGING: Final = UUID("4442858e-a9e3-4e80-b900-317a210cc15b")
PSETID_AIR_SYNC: Final = UUID("71035549-0739-4dcb-9163-00f0580dbbdf")
PSETID_CALENDAR_ASSISTANT: Final = UUID("11000e07-b51b-40d6-af21-caa85edab1d0")
PSETID_XML_EXTRACTED_ENTITIES: Final = UUID("23239608-685d-4732-9c55-4c95cb4e8e33")
PSETID_ATTACHMENT: Final = UUID("96357f7f-59e1-47d0-99a7-46515c183b54")

PROPERTY_SETS: Final[dict[UUID, str]] = {
    PS_MAPI: "PS_MAPI",
    PS_PUBLIC_STRINGS: "PS_PUBLIC_STRINGS",
    PS_INTERNET_HEADERS: "PS_INTERNET_HEADERS",
    PSETID_APPOINTMENT: "PSETID_Appointment",
    PSETID_TASK: "PSETID_Task",
    PSETID_ADDRESS: "PSETID_Address",
    PSETID_COMMON: "PSETID_Common",
    PSETID_LOG: "PSETID_Log",
    PSETID_NOTE: "PSETID_Note",
    PSETID_REPORT: "PSETID_Report",
    PSETID_REMOTE: "PSETID_Remote",
    PSETID_SHARING: "PSETID_Sharing",
    PSETID_POST_RSS: "PSETID_PostRss",
    PSETID_MEETING: "PSETID_Meeting",
    PSETID_UNIFIED_MESSAGING: "PSETID_UnifiedMessaging",
    PSETID_AIR_SYNC: "PSETID_AirSync",
    PSETID_CALENDAR_ASSISTANT: "PSETID_CalendarAssistant",
    PSETID_XML_EXTRACTED_ENTITIES: "PSETID_XmlExtractedEntities",
    PSETID_ATTACHMENT: "PSETID_Attachment",
}

# Identity and class.
PidTagMessageClass: Final = 0x001A
PidTagInternetMessageId: Final = 0x1035
PidTagSearchKey: Final = 0x300B
PidTagEntryId: Final = 0x0FFF
PidTagRecordKey: Final = 0x0FF9
PidTagObjectType: Final = 0x0FFE

# Subject and threading.
PidTagSubject: Final = 0x0037
PidTagSubjectPrefix: Final = 0x003D
PidTagNormalizedSubject: Final = 0x0E1D
PidTagConversationTopic: Final = 0x0070
PidTagConversationIndex: Final = 0x0071
PidTagConversationIndexTracking: Final = 0x3016
PidTagConversationId: Final = 0x3013
PidTagInternetReferences: Final = 0x1039
PidTagInReplyToId: Final = 0x1042

# Times.
PidTagMessageDeliveryTime: Final = 0x0E06
PidTagClientSubmitTime: Final = 0x0039
PidTagCreationTime: Final = 0x3007
PidTagLastModificationTime: Final = 0x3008

# Flags and handling.
PidTagMessageFlags: Final = 0x0E07
PidTagMessageSize: Final = 0x0E08
PidTagMessageStatus: Final = 0x0E17
PidTagHasAttachments: Final = 0x0E1B
PidTagRead: Final = 0x0E69
PidTagImportance: Final = 0x0017
PidTagSensitivity: Final = 0x0036
PidTagPriority: Final = 0x0026
PidTagOriginatorDeliveryReportRequested: Final = 0x0023
PidTagReadReceiptRequested: Final = 0x0029
PidTagIconIndex: Final = 0x1080
PidTagLastVerbExecuted: Final = 0x1081
PidTagLastVerbExecutionTime: Final = 0x1082
PidTagFlagStatus: Final = 0x1090
PidTagFlagCompleteTime: Final = 0x1091
PidTagFollowupIcon: Final = 0x1095
PidTagToDoItemFlags: Final = 0x0E2B
PidTagDeferredSendTime: Final = 0x3FEF
PidTagReplyTime: Final = 0x0030
PidTagExpiryTime: Final = 0x0015

# Bodies.
PidTagBody: Final = 0x1000
PidTagHtml: Final = 0x1013
PidTagRtfCompressed: Final = 0x1009
PidTagNativeBody: Final = 0x1016
PidTagRtfInSync: Final = 0x0E1F
PidTagInternetCodepage: Final = 0x3FDE
PidTagMessageCodepage: Final = 0x3FFD
PidTagMessageLocaleId: Final = 0x3FF1
PidTagMessageEditorFormat: Final = 0x5909
PidTagInternetMailOverrideFormat: Final = 0x5902
PidTagTransportMessageHeaders: Final = 0x007D

# Sender and those represented.
PidTagSenderName: Final = 0x0C1A
PidTagSenderAddressType: Final = 0x0C1E
PidTagSenderEmailAddress: Final = 0x0C1F
PidTagSenderEntryId: Final = 0x0C19
PidTagSenderSearchKey: Final = 0x0C1D
PidTagSenderSmtpAddress: Final = 0x5D01
PidTagSentRepresentingName: Final = 0x0042
PidTagSentRepresentingAddressType: Final = 0x0064
PidTagSentRepresentingEmailAddress: Final = 0x0065
PidTagSentRepresentingEntryId: Final = 0x0041
PidTagSentRepresentingSearchKey: Final = 0x003B
PidTagSentRepresentingSmtpAddress: Final = 0x5D02
PidTagReceivedByName: Final = 0x0040
PidTagReceivedByAddressType: Final = 0x0075
PidTagReceivedByEmailAddress: Final = 0x0076
PidTagReceivedByEntryId: Final = 0x003F
PidTagReceivedBySearchKey: Final = 0x0051
PidTagReceivedBySmtpAddress: Final = 0x5D07
PidTagReceivedRepresentingName: Final = 0x0044
PidTagReceivedRepresentingAddressType: Final = 0x0077
PidTagReceivedRepresentingEmailAddress: Final = 0x0078
PidTagReceivedRepresentingEntryId: Final = 0x0043
PidTagReceivedRepresentingSearchKey: Final = 0x0052
PidTagReceivedRepresentingSmtpAddress: Final = 0x5D08
PidTagReplyRecipientEntries: Final = 0x004F
PidTagReplyRecipientNames: Final = 0x0050
PidTagDisplayTo: Final = 0x0E04
PidTagDisplayCc: Final = 0x0E03
PidTagDisplayBcc: Final = 0x0E02

# Recipients.
PidTagRowid: Final = 0x3000
PidTagRecipientType: Final = 0x0C15
PidTagDisplayName: Final = 0x3001
PidTagAddressType: Final = 0x3002
PidTagEmailAddress: Final = 0x3003
PidTagSmtpAddress: Final = 0x39FE
PidTagDisplayType: Final = 0x3900
PidTagDisplayTypeEx: Final = 0x3905
PidTagRecipientDisplayName: Final = 0x5FF6
PidTagRecipientEntryId: Final = 0x5FF7
PidTagRecipientOrder: Final = 0x5FDF
PidTagRecipientFlags: Final = 0x5FFD
PidTagRecipientTrackStatus: Final = 0x5FFF
PidTagRecipientTrackStatusTime: Final = 0x5FFB
PidTagTransmittableDisplayName: Final = 0x3A20
PidTagSendRichInfo: Final = 0x3A40
PidTagResponsibility: Final = 0x0E0F

# Attachments.
PidTagAttachNumber: Final = 0x0E21
PidTagAttachSize: Final = 0x0E20
PidTagAttachMethod: Final = 0x3705
PidTagAttachDataBinary: Final = 0x3701
PidTagAttachLongFilename: Final = 0x3707
PidTagAttachFilename: Final = 0x3704
PidTagAttachExtension: Final = 0x3703
PidTagAttachEncoding: Final = 0x3702
PidTagAttachRendering: Final = 0x3709
PidTagAttachTag: Final = 0x370A
PidTagRenderingPosition: Final = 0x370B
PidTagAttachMimeTag: Final = 0x370E
PidTagAttachContentId: Final = 0x3712
PidTagAttachContentLocation: Final = 0x3713
PidTagAttachFlags: Final = 0x3714
PidTagAttachPayloadClass: Final = 0x371A
PidTagAttachmentHidden: Final = 0x7FFE
PidTagAttachmentFlags: Final = 0x7FFD
PidTagAttachmentLinkId: Final = 0x7FFA
PidTagExceptionStartTime: Final = 0x7FFB
PidTagExceptionEndTime: Final = 0x7FFC
PidTagExceptionReplaceTime: Final = 0x7FF9
PidTagAttachmentContactPhoto: Final = 0x7FFF

# Calendar, plain.
PidTagStartDate: Final = 0x0060
PidTagEndDate: Final = 0x0061
PidTagOwnerAppointmentId: Final = 0x0062
PidTagResponseRequested: Final = 0x0063

# Person.
PidTagGeneration: Final = 0x3A05
PidTagGivenName: Final = 0x3A06
PidTagBusinessTelephoneNumber: Final = 0x3A08
PidTagHomeTelephoneNumber: Final = 0x3A09
PidTagInitials: Final = 0x3A0A
PidTagSurname: Final = 0x3A11
PidTagPostalAddress: Final = 0x3A15
PidTagCompanyName: Final = 0x3A16
PidTagTitle: Final = 0x3A17
PidTagDepartmentName: Final = 0x3A18
PidTagOfficeLocation: Final = 0x3A19
PidTagPrimaryTelephoneNumber: Final = 0x3A1A
PidTagBusiness2TelephoneNumber: Final = 0x3A1B
PidTagMobileTelephoneNumber: Final = 0x3A1C
PidTagOtherTelephoneNumber: Final = 0x3A1F
PidTagPagerTelephoneNumber: Final = 0x3A21
PidTagPrimaryFaxNumber: Final = 0x3A23
PidTagBusinessFaxNumber: Final = 0x3A24
PidTagHomeFaxNumber: Final = 0x3A25
PidTagHome2TelephoneNumber: Final = 0x3A2F
PidTagAssistant: Final = 0x3A30
PidTagWeddingAnniversary: Final = 0x3A41
PidTagBirthday: Final = 0x3A42
PidTagMiddleName: Final = 0x3A44
PidTagDisplayNamePrefix: Final = 0x3A45
PidTagProfession: Final = 0x3A46
PidTagSpouseName: Final = 0x3A48
PidTagManagerName: Final = 0x3A4E
PidTagNickname: Final = 0x3A4F
PidTagPersonalHomePage: Final = 0x3A50
PidTagBusinessHomePage: Final = 0x3A51
PidTagHomeAddressCity: Final = 0x3A59
PidTagHomeAddressCountry: Final = 0x3A5A
PidTagHomeAddressPostalCode: Final = 0x3A5B
PidTagHomeAddressStateOrProvince: Final = 0x3A5C
PidTagHomeAddressStreet: Final = 0x3A5D
PidTagOtherAddressCity: Final = 0x3A5F
PidTagOtherAddressCountry: Final = 0x3A60
PidTagOtherAddressPostalCode: Final = 0x3A61
PidTagOtherAddressStateOrProvince: Final = 0x3A62
PidTagOtherAddressStreet: Final = 0x3A63

# Named: everything (PSETID_Common).
PidLidReminderDelta: Final = Named(PSETID_COMMON, 0x8501)
PidLidReminderTime: Final = Named(PSETID_COMMON, 0x8502)
PidLidReminderSet: Final = Named(PSETID_COMMON, 0x8503)
PidLidPrivate: Final = Named(PSETID_COMMON, 0x8506)
PidLidSideEffects: Final = Named(PSETID_COMMON, 0x8510)
PidLidSmartNoAttach: Final = Named(PSETID_COMMON, 0x8514)
PidLidCommonStart: Final = Named(PSETID_COMMON, 0x8516)
PidLidCommonEnd: Final = Named(PSETID_COMMON, 0x8517)
PidLidTaskMode: Final = Named(PSETID_COMMON, 0x8518)
PidLidTaskGlobalId: Final = Named(PSETID_COMMON, 0x8519)
PidLidAutoProcessState: Final = Named(PSETID_COMMON, 0x851A)
PidLidVerbStream: Final = Named(PSETID_COMMON, 0x8520)
PidLidVerbResponse: Final = Named(PSETID_COMMON, 0x8524)
PidLidFlagRequest: Final = Named(PSETID_COMMON, 0x8530)
PidLidMileage: Final = Named(PSETID_COMMON, 0x8534)
PidLidBilling: Final = Named(PSETID_COMMON, 0x8535)
PidLidCompanies: Final = Named(PSETID_COMMON, 0x8539)
PidLidContacts: Final = Named(PSETID_COMMON, 0x853A)
PidLidReminderSignalTime: Final = Named(PSETID_COMMON, 0x8560)
PidLidInternetAccountName: Final = Named(PSETID_COMMON, 0x8580)
PidLidInternetAccountStamp: Final = Named(PSETID_COMMON, 0x8581)
PidLidUseTnef: Final = Named(PSETID_COMMON, 0x8582)
PidLidContactLinkSearchKey: Final = Named(PSETID_COMMON, 0x8584)
PidLidContactLinkEntry: Final = Named(PSETID_COMMON, 0x8585)
PidLidContactLinkName: Final = Named(PSETID_COMMON, 0x8586)
PidLidToDoOrdinalDate: Final = Named(PSETID_COMMON, 0x85A0)
PidLidToDoSubOrdinal: Final = Named(PSETID_COMMON, 0x85A1)
PidLidToDoTitle: Final = Named(PSETID_COMMON, 0x85A4)
PidLidClassified: Final = Named(PSETID_COMMON, 0x85B5)
PidLidClassification: Final = Named(PSETID_COMMON, 0x85B6)
PidLidClassificationDescription: Final = Named(PSETID_COMMON, 0x85B7)
PidLidClassificationGuid: Final = Named(PSETID_COMMON, 0x85B8)
PidLidClassificationKeep: Final = Named(PSETID_COMMON, 0x85BA)
PidNameKeywords: Final = Named(PS_PUBLIC_STRINGS, name="Keywords")

# Named: appointments.
PidLidAppointmentSequence: Final = Named(PSETID_APPOINTMENT, 0x8201)
PidLidAppointmentSequenceTime: Final = Named(PSETID_APPOINTMENT, 0x8202)
PidLidChangeHighlight: Final = Named(PSETID_APPOINTMENT, 0x8204)
PidLidBusyStatus: Final = Named(PSETID_APPOINTMENT, 0x8205)
PidLidAppointmentAuxiliaryFlags: Final = Named(PSETID_APPOINTMENT, 0x8207)
PidLidLocation: Final = Named(PSETID_APPOINTMENT, 0x8208)
PidLidAppointmentStartWhole: Final = Named(PSETID_APPOINTMENT, 0x820D)
PidLidAppointmentEndWhole: Final = Named(PSETID_APPOINTMENT, 0x820E)
PidLidAppointmentDuration: Final = Named(PSETID_APPOINTMENT, 0x8213)
PidLidAppointmentColor: Final = Named(PSETID_APPOINTMENT, 0x8214)
PidLidAppointmentSubType: Final = Named(PSETID_APPOINTMENT, 0x8215)
PidLidAppointmentRecur: Final = Named(PSETID_APPOINTMENT, 0x8216)
PidLidAppointmentStateFlags: Final = Named(PSETID_APPOINTMENT, 0x8217)
PidLidResponseStatus: Final = Named(PSETID_APPOINTMENT, 0x8218)
PidLidAppointmentReplyTime: Final = Named(PSETID_APPOINTMENT, 0x8220)
PidLidRecurring: Final = Named(PSETID_APPOINTMENT, 0x8223)
PidLidIntendedBusyStatus: Final = Named(PSETID_APPOINTMENT, 0x8224)
PidLidExceptionReplaceTime: Final = Named(PSETID_APPOINTMENT, 0x8228)
PidLidFInvited: Final = Named(PSETID_APPOINTMENT, 0x8229)
PidLidRecurrenceType: Final = Named(PSETID_APPOINTMENT, 0x8231)
PidLidRecurrencePattern: Final = Named(PSETID_APPOINTMENT, 0x8232)
PidLidTimeZoneStruct: Final = Named(PSETID_APPOINTMENT, 0x8233)
PidLidTimeZoneDescription: Final = Named(PSETID_APPOINTMENT, 0x8234)
PidLidClipStart: Final = Named(PSETID_APPOINTMENT, 0x8235)
PidLidClipEnd: Final = Named(PSETID_APPOINTMENT, 0x8236)
PidLidAllAttendeesString: Final = Named(PSETID_APPOINTMENT, 0x8238)
PidLidToAttendeesString: Final = Named(PSETID_APPOINTMENT, 0x823B)
PidLidCcAttendeesString: Final = Named(PSETID_APPOINTMENT, 0x823C)
PidLidAppointmentProposedStartWhole: Final = Named(PSETID_APPOINTMENT, 0x8250)
PidLidAppointmentProposedEndWhole: Final = Named(PSETID_APPOINTMENT, 0x8251)
PidLidAppointmentCounterProposal: Final = Named(PSETID_APPOINTMENT, 0x8257)
PidLidAppointmentNotAllowPropose: Final = Named(PSETID_APPOINTMENT, 0x825A)
PidLidAppointmentTimeZoneDefinitionStartDisplay: Final = Named(PSETID_APPOINTMENT, 0x825E)
PidLidAppointmentTimeZoneDefinitionEndDisplay: Final = Named(PSETID_APPOINTMENT, 0x825F)
PidLidAppointmentTimeZoneDefinitionRecur: Final = Named(PSETID_APPOINTMENT, 0x8260)

# Named: meetings.
PidLidAttendeeCriticalChange: Final = Named(PSETID_MEETING, 0x0001)
PidLidWhere: Final = Named(PSETID_MEETING, 0x0002)
PidLidGlobalObjectId: Final = Named(PSETID_MEETING, 0x0003)
PidLidIsRecurring: Final = Named(PSETID_MEETING, 0x0005)
PidLidIsException: Final = Named(PSETID_MEETING, 0x000A)
PidLidOwnerCriticalChange: Final = Named(PSETID_MEETING, 0x001A)
PidLidCleanGlobalObjectId: Final = Named(PSETID_MEETING, 0x0023)
PidLidAppointmentMessageClass: Final = Named(PSETID_MEETING, 0x0024)
PidLidMeetingType: Final = Named(PSETID_MEETING, 0x0026)

# Named: contacts and distribution lists.
PidLidFileUnder: Final = Named(PSETID_ADDRESS, 0x8005)
PidLidFileUnderId: Final = Named(PSETID_ADDRESS, 0x8006)
PidLidHasPicture: Final = Named(PSETID_ADDRESS, 0x8015)
PidLidHomeAddress: Final = Named(PSETID_ADDRESS, 0x801A)
PidLidWorkAddress: Final = Named(PSETID_ADDRESS, 0x801B)
PidLidOtherAddress: Final = Named(PSETID_ADDRESS, 0x801C)
PidLidPostalAddressId: Final = Named(PSETID_ADDRESS, 0x8022)
PidLidAddressBookProviderEmailList: Final = Named(PSETID_ADDRESS, 0x8028)
PidLidAddressBookProviderArrayType: Final = Named(PSETID_ADDRESS, 0x8029)
PidLidHtml: Final = Named(PSETID_ADDRESS, 0x802B)
PidLidYomiFirstName: Final = Named(PSETID_ADDRESS, 0x802C)
PidLidYomiLastName: Final = Named(PSETID_ADDRESS, 0x802D)
PidLidYomiCompanyName: Final = Named(PSETID_ADDRESS, 0x802E)
PidLidWorkAddressStreet: Final = Named(PSETID_ADDRESS, 0x8045)
PidLidWorkAddressCity: Final = Named(PSETID_ADDRESS, 0x8046)
PidLidWorkAddressState: Final = Named(PSETID_ADDRESS, 0x8047)
PidLidWorkAddressPostalCode: Final = Named(PSETID_ADDRESS, 0x8048)
PidLidWorkAddressCountry: Final = Named(PSETID_ADDRESS, 0x8049)
PidLidWorkAddressPostOfficeBox: Final = Named(PSETID_ADDRESS, 0x804A)
PidLidDistributionListChecksum: Final = Named(PSETID_ADDRESS, 0x804C)
PidLidContactUserField1: Final = Named(PSETID_ADDRESS, 0x804F)
PidLidContactUserField2: Final = Named(PSETID_ADDRESS, 0x8050)
PidLidContactUserField3: Final = Named(PSETID_ADDRESS, 0x8051)
PidLidContactUserField4: Final = Named(PSETID_ADDRESS, 0x8052)
PidLidDistributionListName: Final = Named(PSETID_ADDRESS, 0x8053)
PidLidDistributionListOneOffMembers: Final = Named(PSETID_ADDRESS, 0x8054)
PidLidDistributionListMembers: Final = Named(PSETID_ADDRESS, 0x8055)
PidLidInstantMessagingAddress: Final = Named(PSETID_ADDRESS, 0x8062)
PidLidDistributionListStream: Final = Named(PSETID_ADDRESS, 0x8064)
PidLidEmail1DisplayName: Final = Named(PSETID_ADDRESS, 0x8080)
PidLidEmail1AddressType: Final = Named(PSETID_ADDRESS, 0x8082)
PidLidEmail1EmailAddress: Final = Named(PSETID_ADDRESS, 0x8083)
PidLidEmail1OriginalDisplayName: Final = Named(PSETID_ADDRESS, 0x8084)
PidLidEmail1OriginalEntryId: Final = Named(PSETID_ADDRESS, 0x8085)
PidLidEmail2DisplayName: Final = Named(PSETID_ADDRESS, 0x8090)
PidLidEmail2AddressType: Final = Named(PSETID_ADDRESS, 0x8092)
PidLidEmail2EmailAddress: Final = Named(PSETID_ADDRESS, 0x8093)
PidLidEmail2OriginalDisplayName: Final = Named(PSETID_ADDRESS, 0x8094)
PidLidEmail2OriginalEntryId: Final = Named(PSETID_ADDRESS, 0x8095)
PidLidEmail3DisplayName: Final = Named(PSETID_ADDRESS, 0x80A0)
PidLidEmail3AddressType: Final = Named(PSETID_ADDRESS, 0x80A2)
PidLidEmail3EmailAddress: Final = Named(PSETID_ADDRESS, 0x80A3)
PidLidEmail3OriginalDisplayName: Final = Named(PSETID_ADDRESS, 0x80A4)
PidLidEmail3OriginalEntryId: Final = Named(PSETID_ADDRESS, 0x80A5)
PidLidFax1AddressType: Final = Named(PSETID_ADDRESS, 0x80B2)
PidLidFax1EmailAddress: Final = Named(PSETID_ADDRESS, 0x80B3)
PidLidFax1OriginalDisplayName: Final = Named(PSETID_ADDRESS, 0x80B4)
PidLidFax1OriginalEntryId: Final = Named(PSETID_ADDRESS, 0x80B5)
PidLidBirthdayLocal: Final = Named(PSETID_ADDRESS, 0x80DE)
PidLidWeddingAnniversaryLocal: Final = Named(PSETID_ADDRESS, 0x80DF)

# Named: tasks.
PidLidTaskStatus: Final = Named(PSETID_TASK, 0x8101)
PidLidPercentComplete: Final = Named(PSETID_TASK, 0x8102)
PidLidTeamTask: Final = Named(PSETID_TASK, 0x8103)
PidLidTaskStartDate: Final = Named(PSETID_TASK, 0x8104)
PidLidTaskDueDate: Final = Named(PSETID_TASK, 0x8105)
PidLidTaskResetReminder: Final = Named(PSETID_TASK, 0x8107)
PidLidTaskAccepted: Final = Named(PSETID_TASK, 0x8108)
PidLidTaskDateCompleted: Final = Named(PSETID_TASK, 0x810F)
PidLidTaskActualEffort: Final = Named(PSETID_TASK, 0x8110)
PidLidTaskEstimatedEffort: Final = Named(PSETID_TASK, 0x8111)
PidLidTaskVersion: Final = Named(PSETID_TASK, 0x8112)
PidLidTaskState: Final = Named(PSETID_TASK, 0x8113)
PidLidTaskRecurrence: Final = Named(PSETID_TASK, 0x8116)
PidLidTaskComplete: Final = Named(PSETID_TASK, 0x811C)
PidLidTaskOwner: Final = Named(PSETID_TASK, 0x811F)
PidLidTaskMultipleRecipients: Final = Named(PSETID_TASK, 0x8120)
PidLidTaskAssigner: Final = Named(PSETID_TASK, 0x8121)
PidLidTaskLastUser: Final = Named(PSETID_TASK, 0x8122)
PidLidTaskOrdinal: Final = Named(PSETID_TASK, 0x8123)
PidLidTaskNoCompute: Final = Named(PSETID_TASK, 0x8124)
PidLidTaskFRecurring: Final = Named(PSETID_TASK, 0x8126)
PidLidTaskOwnership: Final = Named(PSETID_TASK, 0x8129)
PidLidTaskAcceptanceState: Final = Named(PSETID_TASK, 0x812A)

# Named: notes and journal.
PidLidNoteColor: Final = Named(PSETID_NOTE, 0x8B00)
PidLidNoteWidth: Final = Named(PSETID_NOTE, 0x8B02)
PidLidNoteHeight: Final = Named(PSETID_NOTE, 0x8B03)
PidLidNoteX: Final = Named(PSETID_NOTE, 0x8B04)
PidLidNoteY: Final = Named(PSETID_NOTE, 0x8B05)
PidLidLogType: Final = Named(PSETID_LOG, 0x8700)
PidLidLogStart: Final = Named(PSETID_LOG, 0x8706)
PidLidLogDuration: Final = Named(PSETID_LOG, 0x8707)
PidLidLogEnd: Final = Named(PSETID_LOG, 0x8708)
PidLidLogFlags: Final = Named(PSETID_LOG, 0x870C)
PidLidLogDocumentPrinted: Final = Named(PSETID_LOG, 0x870E)
PidLidLogDocumentSaved: Final = Named(PSETID_LOG, 0x870F)
PidLidLogDocumentRouted: Final = Named(PSETID_LOG, 0x8710)
PidLidLogDocumentPosted: Final = Named(PSETID_LOG, 0x8711)
PidLidLogTypeDesc: Final = Named(PSETID_LOG, 0x8712)
