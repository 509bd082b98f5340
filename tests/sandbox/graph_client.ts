/** A client of the simulated Graph for its tests, in the same process. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { IssuedToken } from "../../src/sandbox/entra.ts";
import { type GraphOptions, SandboxGraph } from "../../src/sandbox/graph.ts";
import type { AcceptedMessage } from "../../src/sandbox/graph.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

export const MAILBOX = "ann@x.test";
export const MESSAGE = "From: ann@x.test\r\nTo: bea@x.test\r\nSubject: Hi\r\n\r\nHello\r\n";

function issued(roles: readonly string[], client = CLIENT): IssuedToken {
  const audience = "https://graph.microsoft.com";
  return { tenant: TENANT, client, audience, roles, expiresAt: Date.now() + 60_000 };
}

export const TOKENS: ReadonlyMap<string, IssuedToken> = new Map([
  ["good", issued(["Mail.Send", "Mail.ReadWrite"])],
  ["other-app", issued(["Mail.Send", "Mail.ReadWrite"], TENANT)],
  ["sender", issued(["Mail.Send"])],
  ["writer", issued(["Mail.ReadWrite"])],
  ["roleless", issued([])],
]);

export function base64(text: string | Uint8Array): string {
  return Buffer.from(text as string, "latin1").toString("base64");
}

export interface SeenResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any
  readonly json: any;
  /** `status code` of a refusal, the status alone of anything else. */
  readonly line: string;
}

export interface Ask {
  readonly method?: string;
  readonly mailbox?: string;
  /** Empty for none. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly type?: string;
}

/** A simulation, its delivered messages, and short forms of requests. */
export class GraphClient {
  readonly delivered: AcceptedMessage[] = [];
  readonly graph: SandboxGraph;

  constructor(options: Partial<GraphOptions> = {}) {
    this.graph = new SandboxGraph({
      verify: (token) => TOKENS.get(token),
      deliver: (message) => void this.delivered.push(message),
      ...options,
    });
  }

  /** @param path after the mailbox's, or a whole URL */
  async ask(path: string, asked: Ask = {}): Promise<SeenResponse> {
    const { method = "POST", mailbox = MAILBOX, token = "good", type, body } = asked;
    const headers = new Headers(asked.headers);
    if (token !== "") headers.set("Authorization", `Bearer ${token}`);
    if (type !== undefined) headers.set("Content-Type", type);
    const url = /^http:/.test(path) ? path : `/v1.0/users/${encodeURIComponent(mailbox)}/${path}`;
    const response = await this.graph.routes.request(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
    const json = isJson ? JSON.parse(text) : undefined;
    const code = json?.error?.code;
    if (code !== undefined) {
      assert.match(response.headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
      assert.equal(typeof json.error.message, "string");
      assert.equal(json.error.innerError["request-id"], response.headers.get("request-id"));
    }
    const line = code === undefined ? `${response.status}` : `${response.status} ${code}`;
    return { status: response.status, headers: response.headers, text, json, line };
  }

  json(path: string, value: unknown, asked: Ask = {}): Promise<SeenResponse> {
    return this.ask(path, { type: "application/json", body: JSON.stringify(value), ...asked });
  }

  mime(path: string, message: string, asked: Ask = {}): Promise<SeenResponse> {
    return this.ask(path, { type: "text/plain", body: base64(message), ...asked });
  }

  /** The path of a new draft. */
  async draft(message = MESSAGE, asked: Ask = {}): Promise<string> {
    const { line, json } = await this.mime("messages", message, asked);
    assert.equal(line, "201");
    return `messages/${encodeURIComponent(json.id)}`;
  }

  send(draft: string, asked: Ask = {}): Promise<SeenResponse> {
    return this.ask(`${draft}/send`, asked);
  }

  session(draft: string, item: Readonly<Record<string, unknown>>, asked: Ask = {}) {
    const AttachmentItem = { attachmentType: "file", name: "a.bin", ...item };
    return this.json(`${draft}/attachments/createUploadSession`, { AttachmentItem }, asked);
  }

  /** The URL of a new session. */
  async upload(draft: string, size: number, item = {}): Promise<string> {
    const { line, json } = await this.session(draft, { size, ...item });
    assert.equal(line, "201");
    return json.uploadUrl;
  }

  /** A piece of a file, correct by default. */
  put(
    url: string,
    content: Uint8Array<ArrayBuffer>,
    start: number,
    total: number,
    asked: Ask = {},
  ) {
    return this.ask(url, {
      method: "PUT",
      token: "",
      type: "application/octet-stream",
      body: content,
      ...asked,
      headers: {
        "Content-Range": `bytes ${start}-${start + content.length - 1}/${total}`,
        ...asked.headers,
      },
    });
  }

  /** A whole file, in pieces. */
  async putAll(
    url: string,
    content: Uint8Array<ArrayBuffer>,
    piece: number,
  ): Promise<SeenResponse> {
    for (let start = 0;; start += piece) {
      const response = await this.put(
        url,
        content.subarray(start, start + piece),
        start,
        content.length,
      );
      if (response.line !== "200") return response;
    }
  }
}
