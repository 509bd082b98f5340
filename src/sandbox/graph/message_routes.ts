// The messages of an imitated mailbox, drafts and sent copies, by Message-ID or by id. Their contents are
// not kept.
// https://learn.microsoft.com/graph/api/user-list-messages
// https://learn.microsoft.com/graph/api/message-get
// https://learn.microsoft.com/graph/outlook-immutable-id

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import type { Draft, Drafts } from "./drafts.ts";
import { messageIdIn } from "./mime_rules.ts";
import type { MailboxRequest } from "./options.ts";
import { NO_SUCH_ITEM, type Refusal, refusal, refuse } from "./refusals.ts";
import type { SentCopy, SentItems } from "./sent_items.ts";

/** Application permissions of which one is enough. */
export const READING_ROLES = ["Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"] as const;

interface Mailboxes {
  readonly drafts: Drafts;
  readonly sent: SentItems;
}

type Properties = Readonly<Record<string, unknown>>;

/** Those that are imitated. */
const PROPERTIES = ["id", "createdDateTime", "parentFolderId", "isDraft", "internetMessageId"];
const DEFAULT_TOP = 10;
const MAX_TOP = 1000;

/** `GET /users/{id}/messages`: of all folders, the newest first. */
export function findMessages(
  { context, mailbox }: MailboxRequest,
  { drafts, sent }: Mailboxes,
): Response {
  const query = readQuery(context, ["$filter", "$select", "$top"]);
  if ("code" in query) return refuse(context, query);
  const { messageId, select, top } = query;
  const isImmutable = prefersImmutableId(context);
  const found = [
    ...drafts.list(mailbox).map((draft) => draftProperties(draft, isImmutable)),
    ...sent.look(mailbox).map((copy) => copyProperties(copy, isImmutable)),
  ].filter(({ internetMessageId }) => messageId === undefined || internetMessageId === messageId)
    .sort((one, other) => String(other["createdDateTime"]).localeCompare(one["createdDateTime"]));
  return respond(context, {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/messages",
    value: found.slice(0, top).map((properties) => selected(properties, select)),
  });
}

/** `GET /users/{id}/messages/{id}` */
export function getMessage(
  { context, mailbox }: MailboxRequest,
  { drafts, sent }: Mailboxes,
): Response {
  const query = readQuery(context, ["$select"]);
  if ("code" in query) return refuse(context, query);
  const id = context.req.param("id") ?? "";
  const isImmutable = prefersImmutableId(context);
  const draft = drafts.find(mailbox, id);
  const copy = findCopy(sent, mailbox, id);
  if (draft === undefined && copy === undefined) return refuse(context, NO_SUCH_ITEM);
  const properties = draft !== undefined
    ? draftProperties(draft, isImmutable)
    : copyProperties(copy!, isImmutable);
  return respond(context, {
    "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/messages/$entity",
    ...selected(properties, query.select),
  });
}

/** The copy with this id of either kind. Counts as a request for it. */
export function findCopy(sent: SentItems, mailbox: string, id: string): SentCopy | undefined {
  return sent.look(mailbox).find((copy) => copy.id === id || copy.immutableId === id);
}

/** The header applies to the ids in the response to this request. */
export function prefersImmutableId(context: Context): boolean {
  const prefer = context.req.header("prefer") ?? "";
  return /(?:^|[,;])\s*IdType\s*=\s*"?ImmutableId"?\s*(?:[,;]|$)/i.test(prefer);
}

function respond(context: Context, body: object): Response {
  return context.json(body, 200, {
    "request-id": randomUUID(),
    ...(prefersImmutableId(context) ? { "Preference-Applied": 'IdType="ImmutableId"' } : {}),
  });
}

interface Query {
  /** What `internetMessageId` has to be, if anything. */
  readonly messageId: string | undefined;
  readonly select: readonly string[];
  readonly top: number;
}

function readQuery(context: Context, allowed: readonly string[]): Query | Refusal {
  const query = new URL(context.req.url).searchParams;
  for (const name of query.keys()) {
    if (!allowed.includes(name)) return badQuery(`The query option '${name}' is not imitated.`);
    if (query.getAll(name).length > 1) return badQuery(`Query option '${name}' was given twice.`);
  }
  const filter = query.get("$filter");
  const messageId = filter === null ? undefined : readFilter(filter);
  if (messageId !== undefined && typeof messageId !== "string") return messageId;
  const select = query.get("$select")?.split(",").map((name) => name.trim()) ?? PROPERTIES;
  for (const name of select) {
    if (!PROPERTIES.includes(name)) {
      return badQuery(
        `Parsing OData Select and Expand failed: Could not find a property named '${name}' on ` +
          "type 'Microsoft.OutlookServices.Message'.",
      );
    }
  }
  const top = query.get("$top") ?? String(DEFAULT_TOP);
  if (!/^\d{1,9}$/.test(top) || Number(top) < 1 || Number(top) > MAX_TOP) {
    return badQuery(`Invalid value '${top}' for $top: it has to be from 1 to ${MAX_TOP}.`);
  }
  return { messageId, select, top: Number(top) };
}

/** Only one filter is imitated. A quote within the text is doubled (OData URL conventions §5.1.1.14.1). */
function readFilter(filter: string): string | Refusal {
  const [, quoted] = /^\s*internetMessageId\s+eq\s+'((?:[^']|'')*)'\s*$/.exec(filter) ?? [];
  if (quoted !== undefined) return quoted.replaceAll("''", "'");
  return badQuery(`Invalid filter clause: ${filter}`);
}

function badQuery(message: string): Refusal {
  return refusal(400, "BadRequest", message);
}

function draftProperties(draft: Draft, isImmutable: boolean) {
  const { id, immutableId, createdAt, mailbox, raw } = draft;
  return {
    id: isImmutable ? immutableId : id,
    createdDateTime: inSeconds(createdAt),
    parentFolderId: folderId(mailbox, "drafts"),
    isDraft: true,
    internetMessageId: messageIdIn(raw) ?? `<${immutableId}@exchange.invalid>`,
  };
}

function copyProperties(copy: SentCopy, isImmutable: boolean) {
  const { id, immutableId, createdAt, mailbox, internetMessageId } = copy;
  return {
    id: isImmutable ? immutableId : id,
    createdDateTime: inSeconds(createdAt),
    parentFolderId: folderId(mailbox, "sentitems"),
    isDraft: false,
    internetMessageId,
  };
}

function selected(properties: Properties, select: readonly string[]): Properties {
  // The id is there in any case.
  return Object.fromEntries(
    Object.entries(properties).filter(([name]) => name === "id" || select.includes(name)),
  );
}

/** As Graph writes it: `2026-11-05T06:07:08Z`. */
function inSeconds(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

function folderId(mailbox: string, folder: "drafts" | "sentitems"): string {
  return `AAMk${Buffer.from(`${mailbox.toLowerCase()}/${folder}`).toString("base64url")}AAA=`;
}
