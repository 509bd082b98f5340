// A tenant on the loopback: the project's own sandbox, the mailboxes' reading side, which the relay does
// not need and the sandbox does not have, and the refusals that depend on who the mailboxes are.

import { Buffer } from "node:buffer";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { type Context, Hono } from "hono";
import { currentRuntime } from "../../src/runtime/current.ts";
import { createCloud } from "../../src/sandbox/cloud.ts";
import { EXPIRED_SECRET, NO_PERMISSION } from "../../src/sandbox/entra.ts";
import { errorBody } from "../../src/sandbox/graph/refusals.ts";
import { Inbox, type StoredMessage } from "../../src/sandbox/inbox/store.ts";
import type { CloudServer } from "../support/cloud.ts";
import { VAULT_CLIENT } from "../support/vault.ts";
import { addressesIn, fieldsOf } from "./mime.ts";
import type { RealSettings } from "./settings.ts";

/** What the real one might do otherwise than the relay takes for true. */
export interface Oddities {
  /** Changes what is delivered. */
  readonly deliver?: (raw: Buffer) => Buffer;
  /** A certificate that is registered with the app, PEM. */
  readonly certificate?: string;
  /** Every request that changes something is refused, as without a permission. */
  readonly refuse?: boolean;
}

export interface ImitatedTenant {
  readonly settings: RealSettings;
  /** Every request so far: `POST /path`. */
  readonly seen: readonly string[];
  readonly inbox: Inbox;
  readonly cloud: Pick<CloudServer, "entra" | "authority">;
  close(): Promise<void>;
}

const TENANT = "11111111-2222-4333-8444-555555555555";
const APP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const DISABLED = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const BOXES = {
  sender: "sender@inside.example",
  second: "second@inside.example",
  outside: "outside@inside.example",
  external: "owner@elsewhere.example",
  alias: "alias@inside.example",
  shared: "shared@inside.example",
  group: "group@inside.example",
  full: "full@inside.example",
};
/** As which a message of each mailbox may name its author. */
const AUTHORS: Readonly<Record<string, readonly string[]>> = {
  [BOXES.sender]: [BOXES.sender, BOXES.alias],
  [BOXES.alias]: [BOXES.sender, BOXES.alias],
};

export async function startImitation(
  { deliver = (raw) => raw, certificate, refuse = false }: Oddities = {},
): Promise<ImitatedTenant> {
  const inbox = new Inbox();
  const cloud = createCloud({
    inbox,
    entra: {
      intercept: refuseApp,
      ...(certificate === undefined ? {} : { app: () => ({ certificates: [certificate] }) }),
    },
    graph: {
      async intercept(context, operation) {
        await takeTime(context);
        if (refuse && context.req.method !== "GET") {
          return refusal(context, 403, "ErrorAccessDenied");
        }
        return await refuseMailbox(context, operation === "sendMail");
      },
      messageSizeLimit: 35 * 1024 * 1024,
    },
  });
  const routes = new Hono();
  routes.use("/graph/v1.0/*", async (context, next) => {
    const bearer = (context.req.header("authorization") ?? "").replace("Bearer ", "");
    const mayRead = cloud.entra.verify(bearer)?.roles.includes("Mail.ReadWrite") === true;
    const response = mayRead ? await readMailbox(context, inbox, deliver) : undefined;
    if (response === undefined) await next();
    return response;
  });
  routes.post("/acs/emails:send", (context) => {
    const id = context.req.header("operation-id");
    return context.json({ id, status: "Running" }, 202);
  });
  routes.route("/", cloud.routes);

  const seen: string[] = [];
  const answer = getRequestListener(routes.fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    void answer(request, response);
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const runtime = await currentRuntime();
  const smtp = (submission: typeof cloud.exchange) =>
    `smtp://127.0.0.1:${submission.listen(runtime).port}`;
  return {
    settings: {
      tenant: TENANT,
      app: { clientId: APP, secret: "S3cret-that-must-not-show" },
      mailboxes: BOXES,
      setUpBy: "tests/real/set_up.ps1",
      expiredSecret: EXPIRED_SECRET,
      disabledApp: { clientId: DISABLED, secret: "a-secret" },
      powerlessApp: { clientId: APP, secret: NO_PERMISSION },
      forbiddenSecret: { clientId: APP, secret: "an-old-secret" },
      messageTrace: true,
      exchange: smtp(cloud.exchange),
      hve: "hve@inside.example",
      acs: {
        username: "acs-user",
        password: "acs-S3cret",
        from: "sender@acs.example",
        endpoint: `${url}/acs`,
      },
      patienceSeconds: 1,
      imitation: {
        authority: `${url}/entra`,
        graph: `${url}/graph`,
        smarthost: smtp(cloud.smarthost),
      },
    },
    seen,
    inbox,
    cloud: { entra: cloud.entra, authority: new URL(`${url}/entra`) },
    close() {
      for (const submission of [cloud.exchange, cloud.smarthost]) submission.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      return closed;
    },
  };
}

/** What the sandbox's Entra ID, which takes every app of every tenant, does not refuse. */
async function refuseApp(context: Context): Promise<Response | undefined> {
  const client = new URLSearchParams(await context.req.text()).get("client_id");
  // The identity that reads the vault is of another tenant.
  if (client === VAULT_CLIENT) return undefined;
  const refuse = (error: string, number: number) =>
    context.json({ error, error_codes: [number], error_description: `AADSTS${number}: no` }, 400);
  if (context.req.param("tenant") !== TENANT) return refuse("invalid_request", 90002);
  if (client === DISABLED) return refuse("unauthorized_client", 7000112);
  return client === APP ? undefined : refuse("unauthorized_client", 700016);
}

/** Refusals of Exchange that depend on the mailbox and the author. */
async function refuseMailbox(context: Context, sends: boolean): Promise<Response | undefined> {
  const mailbox = (context.req.param("mailbox") ?? "").toLowerCase();
  if (mailbox === BOXES.outside) return refusal(context, 403, "ErrorAccessDenied");
  if (mailbox === BOXES.full) return refusal(context, 507, "ErrorQuotaExceeded");
  if (!sends || Number(context.req.header("content-length")) > 100_000) return undefined;
  const raw = Buffer.from(await context.req.text(), "base64");
  const authors = addressesIn(fieldsOf(raw, "From").join().replace(/"[^"]*"/g, ""));
  const allowed = AUTHORS[mailbox] ?? [mailbox];
  return authors.every((author) => allowed.includes(author))
    ? undefined
    : refusal(context, 403, "ErrorSendAsDenied");
}

function refusal(context: Context, status: 403 | 507, code: string): Response {
  return context.json(errorBody(code, "The imitation refuses.", "none"), status);
}

/** Milliseconds that the requests of a burst take, for them to be there at once. */
const BURST_TIME = 200;

/** Those of the cases about throttling: drafts of 200 kB, and uploads of one size. */
async function takeTime({ req }: Context): Promise<void> {
  const isDraft = req.path.endsWith("/messages") && Number(req.header("content-length")) > 150_000;
  const isUpload = req.header("content-range")?.endsWith("/3200000") === true;
  if (isDraft || isUpload) await pause(BURST_TIME);
}

interface Copy {
  readonly id: string;
  readonly message: StoredMessage;
  /** Its octets, made when they are asked for. */
  raw(): Buffer;
}

/** What the mailbox has: its sent messages, and those to it, without their Bcc. */
function copiesOf(mailbox: string, inbox: Inbox, deliver: (raw: Buffer) => Buffer): Copy[] {
  return inbox.list().flatMap(({ id }) => {
    const message = inbox.get(id)!;
    const raw = () => Buffer.from(message.raw);
    const recipients = message.recipients.map((address) => address.toLowerCase());
    const sent = { id: `sent.${id}`, message, raw };
    const got = { id: `got.${id}`, message, raw: () => deliver(withoutBcc(raw())) };
    return [
      ...(message.mailbox.toLowerCase() === mailbox ? [sent] : []),
      ...(recipients.includes(mailbox) ? [got] : []),
    ].filter((copy) => !deleted.has(copy.id));
  });
}

/** Ids of copies; an inbox's own are never used again. */
const deleted = new Set<string>();

export const BCC = /^Bcc:.*\r\n(?:[ \t].*\r\n)*/im;

function withoutBcc(raw: Buffer): Buffer {
  const end = raw.indexOf("\r\n\r\n") + 2;
  const header = raw.toString("latin1", 0, end).replace(BCC, "");
  return Buffer.concat([Buffer.from(header, "latin1"), raw.subarray(end)]);
}

/** @returns undefined for a request that is the sandbox's to answer */
async function readMailbox(
  context: Context,
  inbox: Inbox,
  deliver: (raw: Buffer) => Buffer,
): Promise<Response | undefined> {
  const { method, path } = context.req;
  const filter = context.req.query("$filter") ?? "";
  if (path.endsWith("/messageTraces")) return context.json({ value: [{ id: filter }] });
  const [, mailbox = "", rest = ""] = /\/users\/([^/]+)(\/.*)$/.exec(path) ?? [];
  const address = decodeURIComponent(mailbox).toLowerCase();
  if (rest === "/mailFolders/sentitems") {
    const id = Buffer.from(`${address}/sentitems`).toString("base64url");
    return context.json({ id: `AAMk${id}AAA=` });
  }
  const bySubject = /^(?:subject eq|contains\(subject,) ?'([^']*)'\)?$/.exec(filter)?.[1];
  if (rest === "/messages" && bySubject !== undefined) {
    const isWhole = filter.startsWith("subject eq");
    const found = copiesOf(address, inbox, deliver).filter(({ message: { summary } }) =>
      isWhole ? summary.subject === bySubject : summary.subject.includes(bySubject)
    );
    const value = found.slice(0, 50).map(({ id, raw, message: { summary } }) => ({
      id,
      subject: summary.subject,
      isDraft: false,
      internetMessageId: fieldsOf(raw(), "Message-ID")[0],
    }));
    return context.json({ value });
  }
  const [, id = "", what = ""] = /^\/messages\/((?:sent|got)\.[^/]+)(.*)$/.exec(rest) ?? [];
  const copy = copiesOf(address, inbox, deliver).find((one) => one.id === id);
  if (copy === undefined) return undefined;
  if (method === "DELETE") {
    deleted.add(id);
    return context.body(null, 204);
  }
  if (what === "/$value") return context.body(new Uint8Array(copy.raw()));
  return await readFiles(context, inbox, copy.message.summary.id, what);
}

/** `/attachments`, or the content of one of them. */
async function readFiles(
  context: Context,
  inbox: Inbox,
  message: string,
  path: string,
): Promise<Response> {
  const { attachments } = (await inbox.content(message))!;
  const index = /^\/attachments\/(\d+)\/\$value$/.exec(path)?.[1];
  if (index !== undefined) {
    return context.body(new Uint8Array(Buffer.concat(attachments[Number(index)]!.chunks)));
  }
  const value = attachments.map((file) => ({
    id: String(file.index),
    name: file.filename,
    contentType: file.contentType,
    isInline: file.disposition === "inline",
    contentId: file.contentId ?? null,
    size: file.size,
  }));
  return context.json({ value });
}
