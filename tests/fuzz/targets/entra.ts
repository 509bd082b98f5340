// Entra ID's answers to a token request, through MSAL: any status, headers and body.

import assert from "node:assert/strict";
import { readEntraError, refusalFor } from "../../../src/entra/entra_errors.ts";
import { requestToken } from "../../../src/entra/msal.ts";
import { rolesOf } from "../../../src/entra/token.ts";
import type { HttpClient, HttpFailure, HttpResponse } from "../../../src/http/client.ts";
import { requestHead } from "../../../src/http/request_head.ts";
import { Secret } from "../../../src/secret.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { assertWellFormed } from "../../smtp/driver.ts";
import { CLIENT, TENANT } from "../../support/logins.ts";
import { Input, type Target } from "../engine/target.ts";

const STATUSES = [200, 200, 200, 400, 401, 403, 404, 429, 500, 503, 302, 204];
const CLIENT_SECRET = "the-client-secret";

function nextResult(input: Input): HttpResponse | HttpFailure {
  const kind = input.byte();
  if (kind % 16 === 15) {
    const message = input.until(0xff).toString("utf8");
    return { type: "failure", sent: input.flag(), code: "ETIMEDOUT", message };
  }
  const status = kind % 16 === 14 ? 100 + input.below(900) : input.pick(STATUSES);
  const headers = new Map<string, string>();
  if (input.below(4) === 3) headers.set("retry-after", input.until(0xff).toString("latin1").trim());
  return { type: "response", status, headers, body: input.rest() };
}

export const entra: Target = {
  name: "entra",
  async run(octets) {
    const result = nextResult(new Input(octets));
    if (result.type === "response") {
      let body: unknown;
      try {
        body = JSON.parse(new TextDecoder().decode(result.body));
      } catch {
        // No JSON.
      }
      assertWellFormed(formatReply(refusalFor(readEntraError(result.status, body)).reply));
    }
    let requests = 0;
    const http = {
      request() {
        requests++;
        return Promise.resolve(result);
      },
    } as unknown as HttpClient;
    const token = await requestToken(
      { tenantId: TENANT, clientId: CLIENT },
      { type: "secret", secret: new Secret(CLIENT_SECRET) },
      {
        http,
        authorityHost: new URL("https://login.test"),
        scope: "https://graph.test/.default",
        timeout: 1000,
      },
    );
    assert.equal(requests, 1, "one login is one request");
    if ("type" in token) {
      const line = formatReply(token.reply);
      assertWellFormed(line);
      assert.equal(line.split("\r\n").length, 2, "one line");
      assert.equal(token.reply.code, token.type === "later" ? 454 : 535);
      assert.ok(!`${line}${token.detail}${token.code}`.includes(CLIENT_SECRET));
      return;
    }
    assert.ok(result.type === "response" && result.status === 200, "a token out of no success");
    assert.ok(Number.isFinite(token.expiresAt), "a token without an end");
    const value = token.value.reveal();
    assert.ok(value !== "");
    assert.ok(Array.isArray(rolesOf(value)));
    // It goes into a header field of each request to Graph.
    const head = requestHead({
      method: "GET",
      url: new URL("https://graph.test/"),
      headers: { Authorization: `Bearer ${value}` },
      timeout: 1000,
    });
    assert.equal(head.split("\r\n").length, 5, "a token that is more than one field");
    // deno-lint-ignore no-control-regex
    assert.match(head, /^[\x0d\x0a\x20-\x7e\t]*$/);
  },
  seeds: [
    '\0\0\0{"token_type":"Bearer","expires_in":3599,"access_token":"e30.e30.x"}',
    '\0\0\0{"token_type":"Bearer","expires_in":"3599","ext_expires_in":1,"access_token":"a\\r\\nb"}',
    '\0\x03\0{"error":"invalid_client","error_description":"AADSTS7000215: x","error_codes":[7000215]}',
    '\0\x07\x0330\xff{"error":"temporarily_unavailable","error_codes":[90055],"claims":"{}"}',
    "\0\x0a\0<html>",
    "\x0f\x01ECONNREFUSED\xff",
  ],
  words: [
    ...'{|}|"|:|,|[|]|null|true|1e999|-1|0|"error":|"error_codes":|"access_token":'.split("|"),
    ...'"expires_in":|"token_type":|"error_description":|"suberror":|"claims":|\\r\\n'.split("|"),
    ...'\\u0000|\\u001b|\\ud800|\r\n235 OK\r\n|\xff|\xc3\xbc|"refresh_in":|"scope":|__proto__'
      .split("|"),
    ...'"id_token":|"client_info":|"refresh_token":|"correlation_id":|"foci":|e30.e30.|3599'.split(
      "|",
    ),
  ],
  maxLength: 1024,
};
