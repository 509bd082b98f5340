// Responses of services, as octets: what the HTTP client makes of them, in any pieces, and that an
// response never leaves a request without an end.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { ResponseReader } from "../../../src/http/response_reader.ts";
import { HttpClient } from "../../../src/http/client.ts";
import type { HttpFailure, HttpResponse } from "../../../src/http/client.ts";
import type { Outbound, OutboundHandler } from "../../../src/runtime/runtime.ts";
import { inPieces, Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const MAX_BODY = 300;
const METHODS = ["POST", "GET", "HEAD", "DELETE"];

interface Read {
  readonly progress: string;
  readonly status: number | undefined;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly reusable: boolean;
}

function read(octets: Uint8Array, method: string, cuts: readonly number[]): Read {
  const reader = new ResponseReader(MAX_BODY, method);
  let progress = "more";
  let left = octets.length;
  for (const piece of inPieces(octets, cuts)) {
    progress = reader.push(piece);
    left -= piece.length;
    if (progress !== "more") break;
  }
  if (progress === "more" && reader.end()) progress = "closed";
  const complete = progress === "complete" || progress === "closed";
  const { body, headers } = reader.response();
  assert.ok(body.length <= MAX_BODY, "more body than is allowed");
  return {
    progress,
    status: reader.head?.status,
    headers: complete ? [...headers] : [],
    body: complete ? Buffer.from(body).toString("latin1") : "",
    // Octets after a response in another piece do not matter here.
    reusable: progress === "complete" && left === 0 && reader.reusable,
  };
}

/** One request over a connection that the input plays, through the whole client. */
async function exchange(
  octets: Uint8Array,
  method: string,
  cuts: readonly number[],
): Promise<{ result: HttpResponse | HttpFailure; destroyed: boolean }> {
  let handler: OutboundHandler | undefined;
  let destroyed = false;
  const connection: Outbound = {
    write: () => true,
    destroy: () => void (destroyed = true),
  } as Outbound;
  const client = new HttpClient({
    maxResponse: MAX_BODY,
    connect: (_options, given) => {
      handler = given;
      return connection;
    },
  });
  const pending = client.request({
    method,
    url: new URL("http://127.0.0.1/x"),
    headers: {},
    ...(method === "POST" ? { body: { length: 1, parts: () => ["x"] } } : {}),
    timeout: 3_600_000,
  });
  handler!.connected();
  for (const piece of inPieces(octets, cuts)) {
    if (destroyed) break;
    handler!.data(piece);
  }
  if (!destroyed) handler!.closed();
  const result = await pending;
  client.close();
  return { result, destroyed };
}

/** The body of a whole response in chunks (RFC 9112 §7.1), read another way; undefined for none. */
function unchunked(text: string): string | undefined {
  let body = "";
  for (let rest = text;;) {
    const line = /^([0-9a-f]{1,8})[ \t]*(?:;.*?)?\r\n/is.exec(rest);
    if (line === null) return undefined;
    const size = parseInt(line[1]!, 16);
    rest = rest.slice(line[0].length);
    if (size === 0) return rest.startsWith("\r\n") || rest.includes("\r\n\r\n") ? body : undefined;
    if (rest.slice(size, size + 2) !== "\r\n") return undefined;
    body += rest.slice(0, size);
    rest = rest.slice(size + 2);
  }
}

export const httpResponse: Target = {
  name: "http_response",
  async run(octets) {
    const input = new Input(octets);
    const method = input.pick(METHODS);
    const cut = 1 + input.byte();
    const response = input.rest();
    const whole = read(response, method, []);
    for (const cuts of [[1], [cut, 1, 9]]) {
      assert.deepEqual(
        { ...read(response, method, cuts), reusable: false },
        { ...whole, reusable: false },
        "however the octets are cut up",
      );
    }
    if (whole.status !== undefined) assert.ok(whole.status >= 101 && whole.status <= 999);
    for (const [name, value] of whole.headers) {
      assert.equal(name, name.toLowerCase());
      assert.doesNotMatch(name + value, /\r\n/);
    }
    const text = response.toString("latin1");
    const [head = "", ...behind] = text.split("\r\n\r\n");
    if (
      whole.progress === "complete" &&
      /^HTTP\/1\.1 200 .*\r\nTransfer-Encoding: chunked$/.test(head)
    ) {
      assert.equal(whole.body, method === "HEAD" ? "" : unchunked(behind.join("\r\n\r\n")));
    }
    const { result } = await exchange(response, method, [cut, 3]);
    const complete = whole.progress === "complete" || whole.progress === "closed";
    if (result.type === "response") {
      assert.ok(complete, "a response out of one that is not whole");
      assert.equal(result.status, whole.status);
      assert.equal(Buffer.from(result.body).toString("latin1"), whole.body);
    } else {
      assert.ok(!complete, `a failure out of a whole response: ${result.message}`);
      assert.equal(result.sent, true);
      assert.ok(result.code !== "" && !UNPRINTABLE.test(result.code + result.message));
    }
  },
  seeds: [
    "\x00\x10HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nrequest-id: 1\r\n\r\n",
    "\x00\x03HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0;x=y\r\nTrailer: x\r\n\r\n",
    "\x01\x02HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
    "\x01\x08HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nuntil the end",
    "\x02\x08HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "\x03\x08HTTP/1.1 204 No Content\r\n\r\n",
    "\x00\x01HTTP/1.1 101 Switching Protocols\r\n\r\n",
  ],
  words: [
    ..."\r\n|\n|\r\n\r\n|: |;|HTTP/1.1 |HTTP/1.0 |200|100|204|304|99|999| OK|\0|\xff|,|\t".split(
      "|",
    ),
    ..."Content-Length: |Transfer-Encoding: chunked\r\n|Connection: close\r\n|0\r\n\r\n".split("|"),
    ..."ffffffff\r\n|-1|+5|1e3|0x10|12c\r\n|12d\r\n|1\r\na\r\n|300|301|Transfer-Encoding: gzip"
      .split("|"),
    "x".repeat(301),
  ],
};
