/**
 * A Graph of drafts and upload sessions on a bare socket, so that a test can break a connection at
 * any octet. It does not validate requests; the sandbox's is the strict one.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type AddressInfo, createServer, type Socket } from "node:net";

export interface Seen {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** `reset` breaks the connection without a response; `text` is sent unchanged, then the connection closes. */
export type Answer =
  | "reset"
  | { readonly status: number; readonly json?: unknown; readonly headers?: string }
  | { readonly text: string };

export interface Arrived {
  readonly name: string;
  readonly contentType?: string;
  readonly contentId?: string;
  readonly inline?: boolean;
  readonly size: number;
  readonly sha256: string;
  readonly way: "request" | "session";
}

export interface DraftServer {
  /** Without a slash at the end; has a path, as the sandbox's. */
  readonly base: string;
  /** `POST /messages`, `PUT /upload/0 bytes 0-9/10` and the like, in order. */
  readonly log: readonly string[];
  readonly seen: readonly Seen[];
  /** What is attached to the draft. */
  readonly arrived: readonly Arrived[];
  /** Instead of the usual response. */
  intercept: ((seen: Seen) => Answer | undefined) | undefined;
  /** What is written, before the connection is closed, once a request's head has arrived. */
  early: ((head: Pick<Seen, "method" | "path">) => string | undefined) | undefined;
  /** Forgets the requests so far. */
  clear(): void;
  /** Octets of a PUT's body after which the connection is reset; they count as arrived. */
  cut: ((range: string) => number | undefined) | undefined;
  close(): Promise<void>;
}

export const SENDER = "ann+x@x.test";
export const DRAFT_ID = "AAMkAD/I5=";

interface Session {
  readonly item: { name: string; size: number; contentType?: string; contentId?: string } & {
    isInline?: boolean;
  };
  octets: Buffer[];
  length: number;
}

export async function startDraftServer(): Promise<DraftServer> {
  const log: string[] = [];
  const seen: Seen[] = [];
  const arrived: Arrived[] = [];
  const sessions: Session[] = [];
  const sockets = new Set<Socket>();
  const mailbox = `/graph/v1.0/users/${encodeURIComponent(SENDER)}`;
  const messages = `${mailbox}/messages`;
  const draft = `${messages}/${encodeURIComponent(DRAFT_ID)}`;
  let origin = "";

  const usual = ({ method, path, body, headers }: Seen): Answer => {
    const what = `${method} ${path}`;
    if (what === `POST ${messages}`) return { status: 201, json: { id: DRAFT_ID } };
    if (what === `POST ${draft}/send`) return { status: 202, headers: "request-id: r-1\r\n" };
    if (what === `DELETE ${draft}`) return { status: 204 };
    if (what === `POST ${draft}/attachments`) {
      const { name, contentType, contentId, isInline, contentBytes } = JSON.parse(
        body.toString("utf8"),
      );
      const octets = Buffer.from(contentBytes, "base64");
      arrived.push({
        name,
        contentType,
        contentId,
        inline: isInline,
        size: octets.length,
        sha256: sha256([octets]),
        way: "request",
      });
      return { status: 201, json: { id: "a" } };
    }
    if (what === `POST ${draft}/attachments/createUploadSession`) {
      sessions.push({
        item: JSON.parse(body.toString("utf8")).AttachmentItem,
        octets: [],
        length: 0,
      });
      const uploadUrl = `${origin}/upload/${sessions.length - 1}?authtoken=eyJ`;
      return { status: 201, json: { uploadUrl, nextExpectedRanges: ["0-"] } };
    }
    const session = sessions[Number(/^\/upload\/(\d+)\?authtoken=eyJ$/.exec(path)?.[1] ?? -1)];
    if (session === undefined) {
      return { status: 404, json: { error: { code: "ErrorItemNotFound" } } };
    }
    if (method === "PUT") {
      const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("content-range") ?? "");
      const ok = range !== null && Number(range[1]) === session.length &&
        Number(range[2]) - Number(range[1]) + 1 === body.length &&
        Number(range[3]) === session.item.size;
      if (!ok) return { status: 416, json: { error: { code: "ErrorInvalidRange" } } };
      take(session, body);
      if (session.length === session.item.size) {
        const { name, contentType, contentId, isInline, size } = session.item;
        arrived.push({
          name,
          size,
          sha256: sha256(session.octets),
          way: "session",
          ...(contentType === undefined ? {} : { contentType }),
          ...(contentId === undefined ? {} : { contentId }),
          ...(isInline === undefined ? {} : { inline: isInline }),
        });
        return { status: 201, headers: `Location: ${origin}/a\r\n` };
      }
    }
    return { status: 200, json: { nextExpectedRanges: [String(session.length)] } };
  };

  const take = (session: Session, body: Buffer) => {
    session.octets.push(body);
    session.length += body.length;
  };

  const server: DraftServer = {
    get base() {
      return `${origin}/graph`;
    },
    log,
    seen,
    arrived,
    intercept: undefined,
    early: undefined,
    cut: undefined,
    clear() {
      log.length = seen.length = arrived.length = 0;
    },
    close() {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      return closed;
    },
  };

  const listener = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    const pieces: Buffer[] = [];
    let length = 0;
    let head: { method: string; path: string; headers: Map<string, string> } | undefined;
    socket.on("data", (octets: Buffer) => {
      pieces.push(octets);
      length += octets.length;
      if (head === undefined) {
        const text = Buffer.concat(pieces).toString("latin1");
        const end = text.indexOf("\r\n\r\n");
        if (end < 0) return;
        const [first, ...fields] = text.slice(0, end).split("\r\n");
        const headers = new Map(fields.map((field) => {
          const colon = field.indexOf(":");
          return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
        }));
        head = { method: first!.split(" ")[0]!, path: first!.split(" ")[1]!, headers };
        const rest = Buffer.concat(pieces).subarray(end + 4);
        pieces.splice(0, pieces.length, rest);
        length = rest.length;
      }
      const range = head.headers.get("content-range");
      const name = `${head.method} ${
        head.path.replace(draft, "/draft").replace(messages, "/messages")
          .replace(mailbox, "").replace(/\?.*/, "")
      }${range === undefined ? "" : ` ${range}`}`;
      const early = server.early?.(head);
      if (early !== undefined) {
        log.push(name);
        socket.end(early);
        socket.removeAllListeners("data");
        return;
      }
      const cut = range === undefined ? undefined : server.cut?.(range);
      if (cut !== undefined && length >= cut) {
        log.push(`${name} cut`);
        const session = sessions[Number(/^\/upload\/(\d+)/.exec(head.path)![1])]!;
        take(session, Buffer.concat(pieces).subarray(0, cut));
        socket.destroy();
        return;
      }
      if (length < Number(head.headers.get("content-length") ?? 0)) return;
      const request: Seen = { ...head, body: Buffer.concat(pieces) };
      head = undefined;
      pieces.length = length = 0;
      log.push(name);
      seen.push(request);
      const answer = server.intercept?.(request) ?? usual(request);
      if (answer === "reset") socket.destroy();
      else if ("text" in answer) socket.end(answer.text);
      else {
        const body = answer.json === undefined ? "" : JSON.stringify(answer.json);
        const size = answer.status === 204 ? "" : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
        socket.write(`HTTP/1.1 ${answer.status} X\r\n${size}${answer.headers ?? ""}\r\n${body}`);
      }
    });
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return server;
}

export function sha256(octets: Iterable<Uint8Array>): string {
  const hash = createHash("sha256");
  for (const piece of octets) hash.update(piece);
  return hash.digest("hex");
}
