// What the relay is built on and no public source confirms. Each statement is what the relay, or the
// sandbox's imitation, takes for true; the report says of each whether a real tenant does the same.

export interface Fact {
  readonly id: string;
  /** The page and heading that builds on it. */
  readonly section: string;
  /** What the relay or the sandbox takes for true. */
  readonly statement: string;
  /**
   * `unconfirmed`: no source was found. `untried`: documented, and said in docs/ to be untried.
   * `assumed`: the sandbox assumes it, as docs/sandbox.md says.
   */
  readonly kind: "unconfirmed" | "untried" | "assumed";
  /** Why no case can answer it; left out where cases do. */
  readonly beyond?: string;
}

const unconfirmed = (id: string, section: string, statement: string, beyond?: string): Fact => ({
  id,
  section,
  statement,
  kind: "unconfirmed",
  ...(beyond === undefined ? {} : { beyond }),
});
const untried = (id: string, section: string, statement: string): Fact => ({
  ...unconfirmed(id, section, statement),
  kind: "untried",
});
const assumed = (id: string, section: string, statement: string): Fact => ({
  ...unconfirmed(id, section, statement),
  kind: "assumed",
});

const CHANGES = "docs/delivery.md#what-is-changed-in-a-message";
const LARGE = "docs/delivery.md#large-messages";
const DOUBT = "docs/queue.md#when-a-message-may-have-been-sent";
const ACS = "docs/ways_out.md#azure-communication-services";
const SIMULATED = "docs/sandbox.md#what-is-simulated";

export const FACTS: readonly Fact[] = [
  unconfirmed("size.default", LARGE, "A sendMail request with 4,000,000 octets of base64 is taken"),
  unconfirmed("size.limit", LARGE, "The limit is 4,194,304 octets: that is taken, and more is not"),
  unconfirmed("bcc.removed", "docs/delivery.md#who-receives", "No delivered copy has a Bcc field"),
  unconfirmed("content.signed", CHANGES, "A multipart/signed part arrives octet for octet"),
  unconfirmed(
    "content.dkim",
    "docs/delivery.md#dkim",
    "A body and its DKIM-Signature arrive as sent",
  ),
  unconfirmed("content.attached", CHANGES, "An attached message/rfc822 arrives octet for octet"),
  unconfirmed("content.calendar", CHANGES, "A text/calendar part arrives octet for octet"),
  unconfirmed(
    "message-id.kept",
    DOUBT,
    "Recipients and Sent Items have the message's own Message-ID",
  ),
  unconfirmed("date.kept", CHANGES, "Recipients have the message's own Date"),
  unconfirmed(
    "quota.status",
    "docs/replies.md#graphs-answers",
    "A full mailbox is told by ErrorQuotaExceeded, whatever the status: 452 4.2.2",
  ),
  unconfirmed(
    "token.unknown-app",
    "docs/replies.md#entra-ids-answers",
    "An unknown app gets unauthorized_client, AADSTS700016, with status 400",
  ),
  unconfirmed(
    "smtp.mail-length",
    "docs/replies.md#the-protocol",
    "BODY and the DSN parameters fit into a MAIL line of 4096 octets",
    "a question about SMTP's RFCs, which no tenant answers",
  ),
  unconfirmed(
    "storage.latency",
    "docs/queue.md#an-azure-storage-account",
    "A message is stored in the Azure queue within 100 ms (two requests of 5 to 30 ms each)",
  ),
  unconfirmed(
    "storage.price",
    "docs/queue.md#an-azure-storage-account",
    "A million messages cost about 6 $",
    "the invoice of the storage account says it",
  ),
  unconfirmed(
    "trace.delay",
    DOUBT,
    "Graph's message trace finds a message after minutes: too late to ask it instead of the mailbox",
  ),
  unconfirmed("acs.scope", ACS, "The scope is https://communication.azure.com/.default"),
  unconfirmed("acs.host", ACS, "The SMTP server is smtp.azurecomm.net:587"),
  unconfirmed(
    "acs.repeated",
    ACS,
    "The REST API sends once what comes twice with one Operation-Id",
  ),
  unconfirmed(
    "gmail.daily",
    "docs/ways_out.md#which-way-for-whom",
    "Gmail takes 2,000 messages a day from a user",
    "the relay has no way out to Gmail",
  ),
  unconfirmed(
    "policy.secrets",
    "docs/devices_without_secrets.md#when-the-tenant-forbids-client-secrets",
    "A policy that forbids client secrets leaves those that exist valid",
  ),
  untried(
    "relay.tenant",
    "README.md#what-has-not-been-tried",
    "The relay sends mail through a real tenant",
  ),
  untried("setup.scripts", "docs/entra.md#by-script", "The script sets up what a relay needs"),
  untried(
    "vault.real",
    "docs/certificates.md#azure-key-vault",
    "A vault hands out a certificate with its key as the relay asks for it",
  ),
  untried(
    "exchange.clouds",
    "docs/ways_out.md#exchange-online-by-smtp",
    "In other clouds, the token is one for the cloud's own Outlook host",
  ),
  assumed("recipients.all-fields", SIMULATED, "Of several To fields, all count"),
  assumed("upload.unfinished", SIMULATED, "A file whose upload is unfinished is not sent"),
  assumed("upload.least", SIMULATED, "A session is opened for 3,000,000 octets and not for fewer"),
  assumed("upload.most", SIMULATED, "A session is opened for 157,286,400 octets and not for more"),
  assumed(
    "size.exceeded",
    SIMULATED,
    "A message over the limit: ErrorMessageSizeExceeded, 552 5.2.3",
  ),
  assumed("throttle.uploads", SIMULATED, "Uploads count among the four requests at once"),
  assumed(
    "linefeed.later",
    SIMULATED,
    "A message with a lone LF is not delivered: it is refused at once, or reported later",
  ),
];
