"""What a valid request looks like, for the operations the lab knows: names, order and values of Exchange's schema.

One type a line: namespace (`mt`: the element is in m, its children in t), name, optional base, content. Content is a pattern over child elements (`?`, `*`, `+`, `|`
and brackets); `Name:Type` where the type is not called like the element; an element without a line of its own is a
string. `@Name!` is a required attribute. A line with `=` is a list of values, or a simple type that `schema` knows.
Types that no migration client needs in detail are `any`: looked at by name only.

Facts: the schema that Exchange Server SE (15.2.2562.17) serves at /EWS/types.xsd and messages.xsd; MS-OXWSCORE,
MS-OXWSFOLD, MS-OXWSSYNC, MS-OXWSSRCH, MS-OXWSBTRF; versions from the pages of the EWS element reference.
"""

from __future__ import annotations

REQUESTS = """
m GetFolder: FolderShape FolderIds
m FindFolder @Traversal!:FolderTraversal: FolderShape (IndexedPageFolderView:IndexedPage|FractionalPageFolderView:FractionalPage)? Restriction? ParentFolderIds:FolderIds
m SyncFolderHierarchy: FolderShape SyncFolderId:TargetFolder? SyncState?
m SyncFolderItems: ItemShape SyncFolderId:TargetFolder SyncState? Ignore:MaybeItemIds? MaxChangesReturned SyncScope?
m FindItem @Traversal!:ItemTraversal: ItemShape (IndexedPageItemView:IndexedPage|FractionalPageItemView:FractionalPage|SeekToConditionPageItemView:any|CalendarView|ContactsView)? (GroupBy:any|DistinguishedGroupBy:any)? Restriction? SortOrder? ParentFolderIds:FolderIds QueryString?
m GetItem: ItemShape ItemIds
m GetAttachment: AttachmentShape? AttachmentIds
m CreateAttachment: ParentItemId:ItemId Attachments
m DeleteAttachment: AttachmentIds
m ExportItems: ItemIds:PlainItemIds
m UploadItems: Items:UploadList
m CreateFolder: ParentFolderId:TargetFolder Folders
m UpdateFolder: FolderChanges
m MoveFolder: ToFolderId:TargetFolder FolderIds
m DeleteFolder @DeleteType!: FolderIds
m EmptyFolder @DeleteType! @DeleteSubFolders!:bool: FolderIds
m CreateItem @MessageDisposition @SendMeetingInvitations:SendOnCreate: SavedItemFolderId:TargetFolder? Items
m UpdateItem @ConflictResolution! @MessageDisposition @SendMeetingInvitationsOrCancellations:SendOnUpdate @SuppressReadReceipts:bool: SavedItemFolderId:TargetFolder? ItemChanges
m DeleteItem @DeleteType! @SendMeetingCancellations:SendOnCreate @AffectedTaskOccurrences @SuppressReadReceipts:bool: ItemIds
m MoveItem: ToFolderId:TargetFolder ItemIds ReturnNewItemIds:bool?
m CopyItem: ToFolderId:TargetFolder ItemIds ReturnNewItemIds:bool?
m ResolveNames @ReturnFullContactData!:bool @SearchScope @ContactDataShape:BaseShape: ParentFolderIds:FolderIds? UnresolvedEntry:filled
m ConvertId @DestinationFormat!:IdFormat: SourceIds
m GetUserConfiguration: UserConfigurationName UserConfigurationProperties
mt GetUserOofSettingsRequest: Mailbox:AddressOnly
m GetDelegate @IncludePermissions!:bool: Mailbox UserIds:any?
m GetInboxRules: MailboxSmtpAddress?

t FolderShape: BaseShape AdditionalProperties:Paths?
t ItemShape: BaseShape IncludeMimeContent:bool? BodyType:BodyKind? UniqueBodyType:BodyKind? NormalizedBodyType:BodyKind? FilterHtmlContent:bool? ConvertHtmlCodePageToUTF8:bool? InlineImageUrlTemplate? BlockExternalImages:bool? AddBlankTargetToLinks:bool? MaximumBodySize:int? AdditionalProperties:Paths?
t AttachmentShape: IncludeMimeContent:bool? BodyType:BodyKind? FilterHtmlContent:bool? AdditionalProperties:Paths?
t Paths: (FieldURI|IndexedFieldURI|ExtendedFieldURI)+
t FieldURI @FieldURI!:FieldName:
t IndexedFieldURI @FieldURI!:IndexedFieldName @FieldIndex!:
t ExtendedFieldURI @DistinguishedPropertySetId @PropertySetId:guid @PropertyTag:tag @PropertyName @PropertyId:int @PropertyType!:
t ExtendedProperty: ExtendedFieldURI (Value|Values)
t Values: Value+

t FolderIds: (FolderId|DistinguishedFolderId)+
t TargetFolder: (FolderId|DistinguishedFolderId|AddressListId:any)
t FolderId @Id! @ChangeKey:
t DistinguishedFolderId @Id!:FolderName @ChangeKey: Mailbox?
t ItemId @Id! @ChangeKey:
t ItemIds: (ItemId|OccurrenceItemId|RecurringMasterItemId|RecurringMasterItemIdRanges:any)+
t PlainItemIds: ItemId+
t MaybeItemIds: ItemId*
t OccurrenceItemId @RecurringMasterId! @ChangeKey @InstanceIndex!:int:
t RecurringMasterItemId @OccurrenceId! @ChangeKey:
t AttachmentIds: (AttachmentId)+
t AttachmentId @Id! @RootItemId @RootItemChangeKey:
t Mailbox: Name? EmailAddress:filled? RoutingType:filled? MailboxType? ItemId? OriginalDisplayName?
t AddressOnly: Name? Address RoutingType?

t IndexedPage @MaxEntriesReturned:int @Offset!:int @BasePoint!:
t FractionalPage @MaxEntriesReturned:int @Numerator!:int @Denominator!:int:
t CalendarView @MaxEntriesReturned:int @StartDate!:dateTime @EndDate!:dateTime:
t ContactsView @MaxEntriesReturned:int @InitialName @FinalName:
t QueryString @ResetCache:bool @ReturnHighlightTerms:bool @ReturnDeletedItems:bool = string
t SortOrder: FieldOrder+
t FieldOrder @Order!: (FieldURI|IndexedFieldURI|ExtendedFieldURI)
t Restriction: (Exists|Excludes|IsEqualTo:Comparison|IsNotEqualTo:Comparison|IsGreaterThan:Comparison|IsGreaterThanOrEqualTo:Comparison|IsLessThan:Comparison|IsLessThanOrEqualTo:Comparison|Contains|Not:Restriction|And:Terms|Or:Terms)
t Terms: (Exists|Excludes|IsEqualTo:Comparison|IsNotEqualTo:Comparison|IsGreaterThan:Comparison|IsGreaterThanOrEqualTo:Comparison|IsLessThan:Comparison|IsLessThanOrEqualTo:Comparison|Contains|Not:Restriction|And:Terms|Or:Terms)+
t Exists: (FieldURI|IndexedFieldURI|ExtendedFieldURI)
t Excludes: (FieldURI|IndexedFieldURI|ExtendedFieldURI) Bitmask:Constant
t Contains @ContainmentMode @ContainmentComparison: (FieldURI|IndexedFieldURI|ExtendedFieldURI) Constant
t Comparison: (FieldURI|IndexedFieldURI|ExtendedFieldURI) FieldURIOrConstant
t FieldURIOrConstant: (FieldURI|IndexedFieldURI|ExtendedFieldURI|Constant)
t Constant @Value!:

t UploadList: Item:UploadItem+
t UploadItem @CreateAction! @IsAssociated:bool: ParentFolderId:FolderId ItemId? Data:base64

t Folders: (Folder|CalendarFolder|ContactsFolder|SearchFolder|TasksFolder:Folder)+
t BaseFolder: FolderId? ParentFolderId:FolderId? FolderClass? DisplayName? TotalCount:int? ChildFolderCount:int? ExtendedProperty* ManagedFolderInformation:any? EffectiveRights:any? DistinguishedFolderId:FolderName? PolicyTag:any? ArchiveTag:any? ReplicaList:any?
t Folder < BaseFolder: PermissionSet:any? UnreadCount:int?
t CalendarFolder < BaseFolder: SharingEffectiveRights:any? PermissionSet:any?
t ContactsFolder < BaseFolder: SharingEffectiveRights:any? PermissionSet:any? SourceId? AccountName?
t SearchFolder < Folder: SearchParameters:any?
t FolderChanges: FolderChange+
t FolderChange: (FolderId|DistinguishedFolderId) Updates:FolderUpdates
t FolderUpdates: (AppendToFolderField:any|SetFolderField|DeleteFolderField)+
t SetFolderField: (FieldURI|IndexedFieldURI|ExtendedFieldURI) (Folder|CalendarFolder|ContactsFolder|SearchFolder|TasksFolder:Folder)
t DeleteFolderField: (FieldURI|IndexedFieldURI|ExtendedFieldURI)

t Items: (Item|Message|SharingMessage:any|CalendarItem|Contact|DistributionList|MeetingMessage:any|MeetingRequest:any|MeetingResponse:any|MeetingCancellation:any|Task|PostItem|ReplyToItem:any|ForwardItem:any|ReplyAllToItem:any|AcceptItem:any|TentativelyAcceptItem:any|DeclineItem:any|CancelCalendarItem:any|RemoveItem:any|SuppressReadReceipt:any|PostReplyItem:any|AcceptSharingInvitation:any|RoleMember:any|Network:any|Person:any)+
t ItemChanges: ItemChange+
t ItemChange: (ItemId|OccurrenceItemId|RecurringMasterItemId) Updates:ItemUpdates CalendarActivityData:any?
t ItemUpdates: (AppendToItemField:SetItemField|SetItemField|DeleteItemField)+
t SetItemField: (FieldURI|IndexedFieldURI|ExtendedFieldURI) (Item|Message|SharingMessage:any|CalendarItem|Contact|DistributionList|MeetingMessage:any|MeetingRequest:any|MeetingResponse:any|MeetingCancellation:any|Task|PostItem|RoleMember:any|Network:any|Person:any)
t DeleteItemField: (FieldURI|IndexedFieldURI|ExtendedFieldURI)
t SourceIds: (AlternateId|AlternatePublicFolderId:any|AlternatePublicFolderItemId:any)+
t AlternateId @Format!:IdFormat @Id! @Mailbox! @IsArchive:bool:
t UserConfigurationName @Name!: (FolderId|DistinguishedFolderId|AddressListId:any)

t Attachments: (ItemAttachment|FileAttachment|ReferenceAttachment:any)+
t Attachment: AttachmentId? Name? ContentType? ContentId? ContentLocation? AttachmentOriginalUrl? Size:int? LastModifiedTime:dateTime? IsInline:bool?
t FileAttachment < Attachment: IsContactPhoto:bool? Content:base64?
t ItemAttachment < Attachment: (Item|Message|SharingMessage:any|CalendarItem|Contact|MeetingMessage:any|MeetingRequest:any|MeetingResponse:any|MeetingCancellation:any|Task|PostItem|RoleMember:any|Network:any|Person:any)?
"""

ITEM_TYPES = """
t Item: MimeContent? ItemId? ParentFolderId:FolderId? ItemClass? Subject? Sensitivity? Body? Attachments? DateTimeReceived:dateTime? Size:int? Categories:Strings? Importance? InReplyTo? IsSubmitted:bool? IsDraft:bool? IsFromMe:bool? IsResend:bool? IsUnmodified:bool? InternetMessageHeaders? DateTimeSent:dateTime? DateTimeCreated:dateTime? ResponseObjects:any? ReminderDueBy:dateTime? ReminderIsSet:bool? ReminderNextTime:dateTime? ReminderMinutesBeforeStart:int? DisplayCc? DisplayTo? DisplayBcc? HasAttachments:bool? ExtendedProperty* Culture? EffectiveRights:any? LastModifiedName? LastModifiedTime:dateTime? IsAssociated:bool? WebClientReadFormQueryString? WebClientEditFormQueryString? ConversationId:ItemId? UniqueBody:Body? Flag? StoreEntryId:base64? InstanceKey:base64? NormalizedBody:Body? EntityExtractionResult:any? PolicyTag:any? ArchiveTag:any? RetentionDate:dateTime? Preview? RightsManagementLicenseData:any? PredictedActionReasons:any? IsClutter:bool? BlockStatus:bool? HasBlockedImages:bool? TextBody:Body? IconIndex? SearchKey:base64? SortKey:int? Hashtags:Strings? Mentions:any? MentionedMe:bool? MentionsPreview:any? MentionsEx:any? AppliedHashtags:any? AppliedHashtagsPreview:any? Likes:any? LikesPreview:any? PendingSocialActivityTagIds:Strings? AtAllMention:bool? CanDelete:bool? InferenceClassification?
t Message < Item: Sender:OneRecipient? ToRecipients:Recipients? CcRecipients:Recipients? BccRecipients:Recipients? IsReadReceiptRequested:bool? IsDeliveryReceiptRequested:bool? ConversationIndex:base64? ConversationTopic? From:OneRecipient? InternetMessageId? IsRead:bool? IsResponseRequested:bool? References? ReplyTo:Recipients? ReceivedBy:OneRecipient? ReceivedRepresenting:OneRecipient? ApprovalRequestData:any? VotingInformation:any? ReminderMessageData:any? MessageSafety:any? SenderSMTPAddress? MailboxGuids:any? PublishedCalendarItemIcs? PublishedCalendarItemName?
t CalendarItem < Item: UID? RecurrenceId:dateTime? DateTimeStamp:dateTime? Start:dateTime? End:dateTime? OriginalStart:dateTime? IsAllDayEvent:bool? LegacyFreeBusyStatus:FreeBusy? Location? When? IsMeeting:bool? IsCancelled:bool? IsRecurring:bool? MeetingRequestWasSent:bool? IsResponseRequested:bool? CalendarItemType? MyResponseType? Organizer:OneRecipient? RequiredAttendees:Attendees? OptionalAttendees:Attendees? Resources:Attendees? InboxReminders:any? ConflictingMeetingCount:int? AdjacentMeetingCount:int? ConflictingMeetings:any? AdjacentMeetings:any? Duration? TimeZone? AppointmentReplyTime:dateTime? AppointmentSequenceNumber:int? AppointmentState:int? Recurrence:any? FirstOccurrence:any? LastOccurrence:any? ModifiedOccurrences:any? DeletedOccurrences:any? MeetingTimeZone:any? StartTimeZone:any? EndTimeZone:any? ConferenceType:int? AllowNewTimeProposal:bool? IsOnlineMeeting:bool? MeetingWorkspaceUrl? NetShowUrl? EnhancedLocation:any? StartWallClock:dateTime? EndWallClock:dateTime? StartTimeZoneId? EndTimeZoneId? IntendedFreeBusyStatus:FreeBusy? JoinOnlineMeetingUrl? OnlineMeetingSettings:any? IsOrganizer:bool? CalendarActivityData:any? DoNotForwardMeeting:bool?
t Contact < Item: FileAs? FileAsMapping? DisplayName? GivenName? Initials? MiddleName? Nickname? CompleteName:any? CompanyName? EmailAddresses:EmailEntries? AbchEmailAddresses:any? PhysicalAddresses:any? PhoneNumbers:any? AssistantName? Birthday:dateTime? BusinessHomePage? Children:Strings? Companies:Strings? ContactSource? Department? Generation? ImAddresses:any? JobTitle? Manager? Mileage? OfficeLocation? PostalAddressIndex? Profession? SpouseName? Surname? WeddingAnniversary:dateTime? HasPicture:bool? PhoneticFullName? PhoneticFirstName? PhoneticLastName? Alias? Notes? Photo:base64? UserSMIMECertificate:any? MSExchangeCertificate:any? DirectoryId? ManagerMailbox:OneRecipient? DirectReports:Recipients? AccountName? IsAutoUpdateDisabled:bool? IsMessengerEnabled:bool? Comment? ContactShortId:int? ContactType? Gender? IsHidden:bool? ObjectId? PassportId:int? IsPrivate:bool? SourceId? TrustLevel:int? CreatedBy? Urls:any? Cid:int? SkypeAuthCertificate? SkypeContext? SkypeId? SkypeRelationship? YomiNickname? XboxLiveTag? InviteFree:bool? HidePresenceAndProfile:bool? IsPendingOutbound:bool? SupportGroupFeeds:bool? UserTileHash? UnifiedInbox:bool? Mris:Strings? Wlid? AbchContactId:guid? NotInBirthdayCalendar:bool? ShellContactType? ImMri? PresenceTrustLevel:int? OtherMri? ProfileLastChanged? MobileIMEnabled:bool? PartnerNetworkProfilePhotoUrl? PartnerNetworkThumbnailPhotoUrl? PersonId? ConversationGuid:guid?
t DistributionList < Item: DisplayName? FileAs? ContactSource? Members:any?
t Task < Item: ActualWork:int? AssignedTime:dateTime? BillingInformation? ChangeCount:int? Companies:Strings? CompleteDate:dateTime? Contacts:Strings? DelegationState? Delegator? DueDate:dateTime? IsAssignmentEditable:int? IsComplete:bool? IsRecurring:bool? IsTeamTask:bool? Mileage? Owner? PercentComplete:double? Recurrence:any? StartDate:dateTime? Status:TaskStatus? StatusDescription? TotalWork:int?
t PostItem < Item: ConversationIndex:base64? ConversationTopic? From:OneRecipient? InternetMessageId? IsRead:bool? PostedTime:dateTime? References? Sender:OneRecipient?
t MeetingMessage < Message: AssociatedCalendarItemId:ItemId? IsDelegated:bool? IsOutOfDate:bool? HasBeenProcessed:bool? ResponseType:MyResponseType? UID? RecurrenceId:dateTime? DateTimeStamp:dateTime? IsOrganizer:bool?
t MeetingRequest < MeetingMessage: MeetingRequestType? IntendedFreeBusyStatus:FreeBusy? Start:dateTime? End:dateTime? OriginalStart:dateTime? IsAllDayEvent:bool? LegacyFreeBusyStatus:FreeBusy? Location? When? IsMeeting:bool? IsCancelled:bool? IsRecurring:bool? MeetingRequestWasSent:bool? CalendarItemType? MyResponseType? Organizer:OneRecipient? RequiredAttendees:Attendees? OptionalAttendees:Attendees? Resources:Attendees?
t MeetingResponse < MeetingMessage: Start:dateTime? End:dateTime? Location?
t MeetingCancellation < MeetingMessage: Start:dateTime? End:dateTime? Location?

t MimeContent @CharacterSet = string
t Body @BodyType!:BodyFormat @IsTruncated:bool = string
t Strings: String*
t InternetMessageHeaders: InternetMessageHeader+
t InternetMessageHeader @HeaderName! = string
t OneRecipient: Mailbox
t Recipients: Mailbox*
t Attendees: Attendee+
t Attendee: Mailbox ResponseType:MyResponseType? LastResponseTime:dateTime? ProposedStart:dateTime? ProposedEnd:dateTime?
t EmailEntries: Entry:EmailEntry+
t EmailEntry @Key!:EmailKey @Name @RoutingType @MailboxType = string
t Flag: FlagStatus StartDate:dateTime? DueDate:dateTime? CompleteDate:dateTime?
"""

VALUES = """
BaseShape = IdOnly|Default|AllProperties|PcxPeopleSearch
BodyKind = Best|HTML|Text
BodyFormat = HTML|Text
FolderTraversal = Shallow|Deep|SoftDeleted
ItemTraversal = Shallow|SoftDeleted|Associated
BasePoint = Beginning|End
Order = Ascending|Descending
SyncScope = NormalItems|NormalAndAssociatedItems
CreateAction = CreateNew|Update|UpdateOrCreate
DeleteType = HardDelete|SoftDelete|MoveToDeletedItems
MessageDisposition = SaveOnly|SendOnly|SendAndSaveCopy
ConflictResolution = NeverOverwrite|AutoResolve|AlwaysOverwrite
SendOnCreate = SendToNone|SendOnlyToAll|SendToAllAndSaveCopy
SendOnUpdate = SendToNone|SendOnlyToAll|SendOnlyToChanged|SendToAllAndSaveCopy|SendToChangedAndSaveCopy
AffectedTaskOccurrences = AllOccurrences|SpecifiedOccurrenceOnly
SearchScope = ActiveDirectory|ActiveDirectoryContacts|Contacts|ContactsActiveDirectory
IdFormat = EwsLegacyId|EwsId|EntryId|HexEntryId|StoreId|OwaId
MailboxType = Unknown|OneOff|Mailbox|PublicDL|PrivateDL|Contact|PublicFolder|GroupMailbox|ImplicitContact
Importance = Low|Normal|High
Sensitivity = Normal|Personal|Private|Confidential
FlagStatus = NotFlagged|Flagged|Complete
FreeBusy = Free|Tentative|Busy|OOF|WorkingElsewhere|NoData
CalendarItemType = Single|Occurrence|Exception|RecurringMaster
MyResponseType = Unknown|Organizer|Tentative|Accept|Decline|NoResponseReceived
MeetingRequestType = None|FullUpdate|InformationalUpdate|NewMeetingRequest|Outdated|SilentUpdate|PrincipalWantsCopy
TaskStatus = NotStarted|InProgress|Completed|WaitingOnOthers|Deferred
DelegationState = NoMatch|OwnNew|Owned|Accepted|Declined|Max
EmailKey = EmailAddress1|EmailAddress2|EmailAddress3
ContactSource = ActiveDirectory|Store
PostalAddressIndex = None|Home|Business|Other
InferenceClassification = Focused|Other
ContainmentMode = FullString|Prefixed|Substring|PrefixOnWords|ExactPhrase
ContainmentComparison = Exact|IgnoreCase|IgnoreNonSpacingCharacters|Loose|IgnoreCaseAndNonSpacingCharacters|LooseAndIgnoreCase|LooseAndIgnoreNonSpace|LooseAndIgnoreCaseAndIgnoreNonSpace
DistinguishedPropertySetId = Meeting|Appointment|Common|PublicStrings|Address|InternetHeaders|CalendarAssistant|UnifiedMessaging|Task|Sharing
PropertyType = ApplicationTime|ApplicationTimeArray|Binary|BinaryArray|Boolean|CLSID|CLSIDArray|Currency|CurrencyArray|Double|DoubleArray|Error|Float|FloatArray|Integer|IntegerArray|Long|LongArray|Null|Object|ObjectArray|Short|ShortArray|SystemTime|SystemTimeArray|String|StringArray
IndexedFieldName = item:InternetMessageHeader|contacts:ImAddress|contacts:PhysicalAddress:Street|contacts:PhysicalAddress:City|contacts:PhysicalAddress:State|contacts:PhysicalAddress:CountryOrRegion|contacts:PhysicalAddress:PostalCode|contacts:PhoneNumber|contacts:EmailAddress|distributionlist:Members:Member
"""

FOLDER_NAMES = """
calendar contacts deleteditems drafts inbox journal notes outbox sentitems tasks msgfolderroot publicfoldersroot root
junkemail searchfolders voicemail
"""
FOLDER_NAMES_2010_SP1 = """
recoverableitemsroot recoverableitemsdeletions recoverableitemsversions recoverableitemspurges archiveroot
archivemsgfolderroot archivedeleteditems archiverecoverableitemsroot archiverecoverableitemsdeletions
archiverecoverableitemsversions archiverecoverableitemspurges
"""
FOLDER_NAMES_2013 = """
recoverableitemsdiscoveryholds archiveinbox archiverecoverableitemsdiscoveryholds syncissues conflicts localfailures
serverfailures recipientcache quickcontacts conversationhistory adminauditlogs todosearch mycontacts directory
imcontactlist peopleconnect favorites mecontact personmetadata teamspaceactivity teamspacemessaging teamspaceworkitems
scheduled orionnotes tagitems alltaggeditems externalcontacts teamchat teamchathistory yammerroot yammerinbound
yammeroutbound yammerfeeds onedriveroot onedriverecylebin onedrivesystem onedrivevolume important starred archive
"""

FIELDS = {
    "folder": """
        FolderId ParentFolderId DisplayName UnreadCount TotalCount ChildFolderCount FolderClass SearchParameters
        ManagedFolderInformation PermissionSet EffectiveRights SharingEffectiveRights
    """,
    "item": """
        ItemId ParentFolderId ItemClass MimeContent Attachments Subject DateTimeReceived Size Categories
        HasAttachments Importance InReplyTo InternetMessageHeaders IsDraft IsFromMe IsResend IsSubmitted IsUnmodified
        DateTimeSent DateTimeCreated Body ResponseObjects Sensitivity ReminderDueBy ReminderIsSet ReminderNextTime
        ReminderMinutesBeforeStart DisplayTo DisplayCc Culture EffectiveRights LastModifiedName LastModifiedTime
    """,
    "message": """
        ConversationIndex ConversationTopic InternetMessageId IsRead IsResponseRequested IsReadReceiptRequested
        IsDeliveryReceiptRequested ReceivedBy ReceivedRepresenting References ReplyTo From Sender ToRecipients
        CcRecipients BccRecipients
    """,
    "sharingMessage": "SharingMessageAction",
    "meeting": "AssociatedCalendarItemId IsDelegated IsOutOfDate HasBeenProcessed ResponseType",
    "meetingRequest": "MeetingRequestType IntendedFreeBusyStatus ChangeHighlights",
    "calendar": """
        Start End OriginalStart IsAllDayEvent LegacyFreeBusyStatus Location When IsMeeting IsCancelled IsRecurring
        MeetingRequestWasSent IsResponseRequested CalendarItemType MyResponseType Organizer RequiredAttendees
        OptionalAttendees Resources ConflictingMeetingCount AdjacentMeetingCount ConflictingMeetings AdjacentMeetings
        Duration TimeZone AppointmentReplyTime AppointmentSequenceNumber AppointmentState Recurrence FirstOccurrence
        LastOccurrence ModifiedOccurrences DeletedOccurrences MeetingTimeZone ConferenceType AllowNewTimeProposal
        IsOnlineMeeting MeetingWorkspaceUrl NetShowUrl UID RecurrenceId DateTimeStamp
    """,
    "task": """
        ActualWork AssignedTime BillingInformation ChangeCount Companies CompleteDate Contacts DelegationState
        Delegator DueDate IsAssignmentEditable IsComplete IsRecurring IsTeamTask Mileage Owner PercentComplete
        Recurrence StartDate Status StatusDescription TotalWork
    """,
    "contacts": """
        AssistantName Birthday BusinessHomePage Children Companies CompanyName CompleteName ContactSource Culture
        Department DisplayName EmailAddresses FileAs FileAsMapping Generation GivenName HasPicture ImAddresses Initials
        JobTitle Manager MiddleName Mileage Nickname OfficeLocation PhoneNumbers PhysicalAddresses PostalAddressIndex
        Profession SpouseName Surname WeddingAnniversary
    """,
    "distributionlist": "Members",
    "postitem": "PostedTime",
}
FIELDS_2010 = {
    "item": """
        IsAssociated WebClientReadFormQueryString WebClientEditFormQueryString ConversationId UniqueBody StoreEntryId
    """,
    "calendar": "StartTimeZone EndTimeZone",
    "contacts": """
        Alias DirectoryId DirectReports ManagerMailbox MSExchangeCertificate Notes PhoneticFullName PhoneticFirstName
        PhoneticLastName Photo UserSMIMECertificate
    """,
    "conversation": "",
}
FIELDS_2013 = {
    "folder": "DistinguishedFolderId PolicyTag ArchiveTag ReplicaList",
    "item": """
        Flag InstanceKey NormalizedBody EntityExtractionResult PolicyTag ArchiveTag RetentionDate Preview
        PredictedActionReasons IsClutter RightsManagementLicenseData BlockStatus HasBlockedImages TextBody IconIndex
        DisplayBcc MimeContentUTF8 Mentions MentionedMe MentionsPreview MentionsEx Hashtags AppliedHashtags
        AppliedHashtagsPreview Likes LikesPreview PendingSocialActivityTagIds AtAllMention CanDelete
        InferenceClassification FirstBody
    """,
    "message": """
        ApprovalRequestData VotingInformation ReminderMessageData PublishedCalendarItemIcs PublishedCalendarItemName
        MessageSafety
    """,
    "meeting": "ProposedStart ProposedEnd DoNotForwardMeeting",
    "calendar": """
        StartWallClock EndWallClock StartTimeZoneId EndTimeZoneId EnhancedLocation InboxReminders JoinOnlineMeetingUrl
        OnlineMeetingSettings IsOrganizer CalendarActivityData DoNotForwardMeeting
    """,
    "contacts": """
        AbchEmailAddresses AccountName IsAutoUpdateDisabled IsMessengerEnabled Comment ContactShortId ContactType
        CreatedBy Gender IsHidden ObjectId PassportId IsPrivate SourceId TrustLevel Urls Cid SkypeAuthCertificate
        SkypeContext SkypeId XboxLiveTag SkypeRelationship YomiNickname InviteFree HidePresenceAndProfile
        IsPendingOutbound SupportGroupFeeds UserTileHash UnifiedInbox Mris Wlid AbchContactId NotInBirthdayCalendar
        ShellContactType ImMri PresenceTrustLevel OtherMri ProfileLastChanged MobileIMEnabled
        PartnerNetworkProfilePhotoUrl PartnerNetworkThumbnailPhotoUrl PersonId ConversationGuid
    """,
}
OTHER_FIELD_GROUPS = frozenset(
    ("conversation", "person", "persona", "rolemember", "network", "abchperson", "booking", "insight")
)
"""Fields of objects that no mailbox migration reads: accepted by prefix, never answered."""
