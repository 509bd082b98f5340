// What a client logs in with: SASL's responses, the forms of a username, and ids of tenants.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { isTableKey } from "../../../src/accounts/entry.ts";
import { parseTenant } from "../../../src/accounts/username.ts";
import { parseId, parseUsername, shortId } from "../../../src/accounts/username.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { beginSasl, type Mechanism, type SaslStep } from "../../../src/smtp/sasl.ts";
import { assertWellFormed } from "../../smtp/driver.ts";
import { Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const DELIMITERS = ["@", ":", "|"] as const;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const username: Target = {
  name: "username",
  run(octets) {
    const input = new Input(octets);
    const delimiter = input.pick(DELIMITERS);
    const text = input.rest().toString("utf8");
    const parsed = parseUsername(text, delimiter);
    if (parsed.type === "invalid") {
      assert.ok(!UNPRINTABLE.test(parsed.problem) && parsed.problem.length < 200);
    } else if (parsed.type === "lookup") {
      assert.notEqual(parsed.id, "");
      assert.ok(
        !parsed.id.includes(delimiter) && text.startsWith(`${parsed.id}${delimiter}lookup`),
      );
      isTableKey(parsed.id);
    } else {
      const { tenantId, clientId } = parsed;
      assert.match(tenantId, UUID);
      assert.match(clientId, UUID);
      const short = `${shortId(tenantId)}${delimiter}${shortId(clientId)}.example.com`;
      assert.deepEqual(parseUsername(short, delimiter), parsed);
    }
    const id = parseId(text);
    if (id !== undefined) assert.equal(parseId(id), id);
    const tenant = parseTenant(text);
    if (tenant !== undefined) {
      assert.match(tenant, /^[a-z0-9.-]{1,253}$/);
      assert.equal(parseTenant(tenant), tenant);
    }
    if (isTableKey(text)) assert.doesNotMatch(text, UNPRINTABLE_KEY);
  },
  seeds: [
    "\x0012345678-1234-1234-1234-123456789abc@12345678-1234-1234-1234-123456789abc",
    "\x00EjRWeBI0EjQSNBI0VniavA@EjRWeBI0EjQSNBI0VniavA==.example.com",
    "\x01printer:lookup",
    "\x02a|lookup.example",
    "\x00contoso.onmicrosoft.com",
  ],
  words: [
    "@",
    ":",
    "|",
    ".",
    "lookup",
    "=",
    "==",
    "-",
    "+/",
    "_",
    "\xc3\xbc",
    "\0",
    "\r\n",
    "LOOKUP",
  ],
};

/** What the table service forbids. */
// deno-lint-ignore no-control-regex
const UNPRINTABLE_KEY = /[\x00-\x1f\x7f-\x9f/\\#?]/;

const MECHANISMS: readonly Mechanism[] = ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"];

function judge(step: SaslStep, responses: readonly string[]): void {
  if (step.type !== "done") {
    assertWellFormed(formatReply(step.reply));
    return assert.ok(step.type === "challenge" ? step.reply.code === 334 : step.reply.code >= 500);
  }
  const { credentials, errorChallenge } = step;
  assert.ok(MECHANISMS.includes(credentials.mechanism));
  if ("token" in credentials) {
    // What is taken for a token is in the response as it stands, and fit for a header field.
    const token = credentials.token.reveal();
    assert.match(token, /^[\x21-\x7e]+$/);
    assert.ok(octetsOf(responses.at(-1)!).includes(token));
    assertWellFormed(formatReply(errorChallenge!));
    return;
  }
  const { mechanism, username, password } = credentials;
  if (mechanism === "PLAIN") {
    const [, name, secret, ...more] = octetsOf(responses.at(-1)!).split("\0");
    assert.deepEqual([username, password.reveal(), ...more], [name, secret]);
  } else if (mechanism === "LOGIN") {
    assert.deepEqual([username, password.reveal()], responses.slice(-2).map(octetsOf));
  }
}

function octetsOf(response: string): string {
  return new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(Buffer.from(response === "=" ? "" : response, "base64"));
}

export const sasl: Target = {
  name: "sasl",
  run(octets) {
    const input = new Input(octets);
    const mechanism = input.until(32).toString("latin1");
    const initial = input.until(10).toString("latin1");
    const responses = initial === "" ? [] : [initial];
    let { exchange, step } = beginSasl(
      mechanism,
      initial === "" ? undefined : initial,
      MECHANISMS,
    );
    judge(step, responses);
    for (let rounds = 0; step.type === "challenge" && !input.ended; rounds++) {
      assert.ok(rounds < 2, "more challenges than the mechanism has");
      const response = input.until(10).toString("latin1");
      responses.push(response);
      step = exchange(response);
      judge(step, responses);
    }
  },
  seeds: [
    "PLAIN AHVzZXIAZ29vZA==\n",
    "plain \nAHVzZXIAZ29vZA\n",
    "LOGIN \ndXNlcg==\nZ29vZA==\n",
    "LOGIN dXNlcg==\nZ29vZA\n",
    "PLAIN =\n",
    "LOGIN \n*\n",
    "CRAM-MD5 \n",
    "XOAUTH2 dXNlcj1hQGIBYXV0aD1CZWFyZXIgeAEB\n\n",
    "xoauth2 \ndXNlcj1hQGIBYXV0aD1CZWFyZXIgeAEB\n",
    "OAUTHBEARER bixhPWFAYiwBaG9zdD1oAWF1dGg9QmVhcmVyIHgBAQ==\n",
  ],
  words: [
    "PLAIN ",
    "LOGIN ",
    "XOAUTH2 ",
    "OAUTHBEARER ",
    "AQEB",
    "QmVhcmVy",
    "=\n",
    "*\n",
    "\n",
    "AA==",
    "AAAA",
    "w7w=",
    "/w==",
    "AGEAYgBj",
    "AGEAYg==",
  ],
};
