/**
 * Octets after a refusal must not be read as the response to the next request on the connection,
 * which belongs to another account: responses whose end two readers could see in different places (RFC 9112 §6.3,
 * §11.1; CWE-444). The service holds back what another reader would call the body until the next
 * request is there; a relay that has kept the connection would take it for the response.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GraphBackend } from "../../src/graph/backend.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { httpClient } from "../support/http.ts";
import { startRawServer } from "../support/raw_server.ts";
import { GRAPH_OPTIONS } from "../graph/options.ts";
import { accountWith, attemptOf, mailOf, tokenOf } from "../support/submissions.ts";

const TAKEN = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const REFUSED = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
const LENGTH = `Content-Length: ${TAKEN.length}`;

/** What one reader takes for the whole response, and another for its head alone. */
const HEADS: readonly (readonly [name: string, head: string])[] = [
  ["two Content-Lengths, the shorter one last", `HTTP/1.1 403 X\r\n${LENGTH}\r\nContent-Length: 0`],
  ["two Content-Lengths, the longer one last", `HTTP/1.1 204 X\r\nContent-Length: 0\r\n${LENGTH}`],
  ["a list of Content-Lengths", `HTTP/1.1 204 X\r\nContent-Length: 0, ${TAKEN.length}`],
  ["a Content-Length of 204", `HTTP/1.1 204 X\r\n${LENGTH}`],
  ["a Transfer-Encoding of 204", "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked"],
  [
    "Transfer-Encoding and Content-Length",
    `HTTP/1.1 403 X\r\n${LENGTH}\r\nTransfer-Encoding: chunked\r\n\r\n0`,
  ],
  [
    "two Transfer-Encodings",
    "HTTP/1.1 403 X\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0",
  ],
  [
    "chunks twice over",
    "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0",
  ],
  [
    "white space before a colon (§5.1)",
    `HTTP/1.1 403 X\r\n${LENGTH.replace(":", " :")}\r\nContent-Length: 0`,
  ],
  [
    "a folded line (§5.2)",
    `HTTP/1.1 403 X\r\nContent-Length: 0\r\nX: a\r\n ${LENGTH}`,
  ],
  [
    "a folded line at the beginning (§2.2)",
    `HTTP/1.1 403 X\r\n ${LENGTH}\r\nContent-Length: 0`,
  ],
  ["a lone LF in its head (§2.2)", `HTTP/1.1 403 X\r\nX: a\n${LENGTH}\r\nContent-Length: 0`],
  ["a lone CR in its head (§2.2)", `HTTP/1.1 403 X\r\nX: a\r${LENGTH}\r\nContent-Length: 0`],
  ["a lone LF in its first line", `HTTP/1.1 403 X\n${LENGTH}\r\nContent-Length: 0`],
  ["NUL in its head", `HTTP/1.1 403 X\r\nX: \0${LENGTH}\r\nContent-Length: 0`],
  [
    "chunks in HTTP/1.0 (§6.1)",
    "HTTP/1.0 403 X\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0",
  ],
  [
    "a trailer that is no field (§7.1.2)",
    "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHTTP/1.1 200 OK",
  ],
  [
    "white space after a chunk's size (§7.1)",
    "HTTP/1.1 403 X\r\nTransfer-Encoding: chunked\r\n\r\n0 ",
  ],
  [
    "an interim response with a length (RFC 9110 §8.6)",
    `HTTP/1.1 100 X\r\n${LENGTH}\r\n\r\nHTTP/1.1 403 X\r\nContent-Length: 0`,
  ],
  [
    "an end of the connection that it announces before other things (§9.6)",
    "HTTP/1.1 403 X\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 0",
  ],
];

describe("a response that can be read in two ways", () => {
  for (const [name, head] of HEADS) {
    it(`is not read for another account: ${name}`, async () => {
      const server = await startRawServer(async (connection) => {
        await connection.request(1);
        if (connection !== server.connections[0]) return connection.write(REFUSED);
        connection.write(`${head}\r\n\r\n`);
        await connection.request(2);
        connection.write(TAKEN);
      });
      const http = httpClient();
      const backend = new GraphBackend({
        http,
        endpoint: server.url,
        ...GRAPH_OPTIONS,
        clock: new FakeClock(),
      });
      const send = async (token: string) => {
        const attempt = attemptOf(accountWith(tokenOf(token)));
        return formatReply((await backend.deliver(mailOf("ann@x.test"), attempt)).reply);
      };
      try {
        // Refused or ambiguous, but not sent.
        assert.match(await send("attacker"), /^(?:55\d 5|451 4)\./);
        assert.match(await send("victim"), /^550 5\.7\.1 HTTP 403: /);
        assert.equal(server.connections[0]!.requests.length, 1);
      } finally {
        http.close();
        await server.close();
      }
    });
  }
});
