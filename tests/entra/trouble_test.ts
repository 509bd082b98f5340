/** Entra ID in trouble, on the wire: whatever comes back or does not, the client may try again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginResult } from "../../src/accounts/account.ts";
import { openLogins, SCOPE, USERNAME } from "../support/logins.ts";
import { closedPort, type RawConnection, startRawServer } from "../support/raw_server.ts";

function response(status: string, body: string, type = "application/json"): string {
  return `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

interface Trouble {
  readonly name: string;
  serve(connection: RawConnection): void | Promise<void>;
  readonly reply: RegExp;
  readonly timeout?: number;
}

/** Trouble that is a response, given once the request is read. */
function answered(name: string, text: string, reply: RegExp): Trouble {
  return {
    name,
    async serve(connection) {
      await connection.request();
      connection.socket.end(text, "latin1");
    },
    reply,
  };
}

const TROUBLES: readonly Trouble[] = [
  answered(
    "a page of HTML",
    response("200 OK", "<html>Sign in to Wi-Fi</html>", "text/html"),
    /HTTP 200/,
  ),
  answered("a proxy's 403", response("403 Forbidden", "<html>No</html>", "text/html"), /HTTP 403/),
  answered("a proxy's 407", response("407 Proxy Authentication Required", ""), /HTTP 407/),
  answered("a redirect", response("302 Found", ""), /HTTP 302/),
  answered(
    "429",
    response("429 Too Many Requests", '{"error":"x","error_codes":[50196]}'),
    /AADSTS50196/,
  ),
  answered("500", response("500 Oops", '{"error":"server_error"}'), /server_error/),
  answered("500 without a body", response("500 Oops", ""), /HTTP 500/),
  answered("an empty body", response("200 OK", ""), /HTTP 200/),
  answered("truncated JSON", response("200 OK", '{"token_type":"Bearer","access_'), /HTTP 200/),
  answered("truncated JSON in an error", response("400 Bad", '{"error":"invalid_cl'), /HTTP 400/),
  answered(
    "JSON without a token",
    response("200 OK", '{"token_type":"Bearer"}'),
    /cannot be reached/,
  ),
  answered("JSON that is null", response("200 OK", "null"), /Entra ID/),
  // Found by fuzzing: MSAL makes an invalid date of these.
  answered(
    "a token whose lifetime is no time",
    response("200 OK", '{"access_token":"x","expires_in":"33333333333333"}'),
    /no_token.*expires_in/,
  ),
  answered(
    "a token that is no text",
    response("200 OK", '{"access_token":7,"expires_in":3599}'),
    /Entra ID/,
  ),
  answered("an answer that is not HTTP", "220 mail.example.com ESMTP\r\n\r\n", /MALFORMED/),
  answered(
    "a response that is cut off",
    "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    /TRUNCATED/,
  ),
  answered("no response", "", /ECONNRESET/),
  {
    name: "a reset connection",
    async serve(connection) {
      await connection.request();
      connection.socket.resetAndDestroy();
    },
    reply: /ECONNRESET/,
  },
  { name: "silence", serve: () => {}, reply: /ETIMEDOUT/, timeout: 250 },
];

function expectLater(result: LoginResult, reply: RegExp): void {
  assert.equal(result.type, "later", JSON.stringify(result));
  assert.deepEqual([result.reply.code, result.reply.enhanced], [454, "4.7.0"]);
  assert(typeof result.reply.text === "string");
  assert.match(result.reply.text, reply);
}

describe("a login while Entra ID is in trouble", () => {
  for (const { name, serve, reply, timeout } of TROUBLES) {
    it(`gets 454 4.7.0 with ${name}, and Entra is asked once (RFC 4954 §6)`, async () => {
      const server = await startRawServer(serve);
      const { login, close } = openLogins(server.url, timeout === undefined ? {} : { timeout });
      try {
        expectLater(await login(USERNAME, "a secret"), reply);
        assert.deepEqual(server.connections.map(({ requests }) => requests.length), [1]);
      } finally {
        close();
        await server.close();
      }
    });
  }

  it("gets 454 4.7.0 when Entra ID refuses the connection, which the reply says", async () => {
    const { login, close } = openLogins(new URL(`http://127.0.0.1:${await closedPort()}/`));
    expectLater(await login(USERNAME, "a secret"), /ECONNREFUSED/);
    close();
  });
});

describe("a token's roles", () => {
  it("may be unreadable: the token is as good, for only Graph can judge it", async () => {
    for (const token of ["opaque", "a.b.c", "a.bnVsbA.c", "a.eyJyb2xlcyI6N30.c", "..", "a.%%%.c"]) {
      const body = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: token });
      const server = await startRawServer(async (connection) => {
        await connection.request();
        connection.write(response("200 OK", body));
      });
      const { login, close } = openLogins(server.url);
      try {
        const result = await login(USERNAME, "a secret");
        assert(result.type === "account", `${token}: ${JSON.stringify(result)}`);
        const given = await result.authorization.token(SCOPE);
        assert("value" in given);
        assert.equal(given.value.reveal(), token);
        assert.deepEqual(given.roles, []);
      } finally {
        close();
        await server.close();
      }
    }
  });
});
