/**
 * Signatures as Standard Webhooks says: what the relay signs, the specification's own package accepts.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Webhook } from "standardwebhooks";
import { Secret } from "../../src/secret.ts";
import { signingKey } from "../../src/settings/webhook_settings.ts";
import { signatureFields } from "../../src/webhook/signature.ts";
import { WEBHOOK_SECRET } from "./receiver.ts";

const EVENT = { id: "evt_1", body: '{"type":"message.sent","data":{"sender":"müller@x.test"}}' };
const now = () => Math.floor(Date.now() / 1000);

describe("a signature", () => {
  it("is accepted by the specification's package", () => {
    const headers = signatureFields(EVENT, new Secret(WEBHOOK_SECRET), now());
    assert.deepEqual(
      new Webhook(WEBHOOK_SECRET).verify(EVENT.body, headers),
      JSON.parse(EVENT.body),
    );
  });

  it("holds for no other body, id, time or key", () => {
    const verifier = new Webhook(WEBHOOK_SECRET);
    const headers = signatureFields(EVENT, new Secret(WEBHOOK_SECRET), now());
    assert.throws(() => verifier.verify(`${EVENT.body} `, headers));
    assert.throws(() => verifier.verify(EVENT.body, { ...headers, "webhook-id": "evt_2" }));
    const later = { ...headers, "webhook-timestamp": String(now() + 1) };
    assert.throws(() => verifier.verify(EVENT.body, later));
    const other = new Webhook(`whsec_${Buffer.alloc(32, 1).toString("base64")}`);
    assert.throws(() => other.verify(EVENT.body, headers));
  });

  it("is the one of the specification's example", () => {
    const body = '{"test": 2432232314}';
    const { "webhook-signature": signature } = signatureFields(
      { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", body },
      new Secret(WEBHOOK_SECRET),
      1614265330,
    );
    assert.equal(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });
});

describe("a key", () => {
  const secretOf = (octets: number) => `whsec_${Buffer.alloc(octets, 7).toString("base64")}`;

  it("has 24 to 64 octets", () => {
    for (const octets of [24, 25, 32, 63, 64]) {
      assert.equal(signingKey(secretOf(octets))?.length, octets);
    }
    for (const octets of [1, 8, 23, 65, 100]) assert.equal(signingKey(secretOf(octets)), undefined);
  });

  it("may come without padding, and in no other form", () => {
    assert.equal(signingKey(secretOf(32).replaceAll("=", ""))?.length, 32);
    const base64 = Buffer.alloc(32, 7).toString("base64");
    for (
      const text of [
        "",
        "whsec_",
        base64,
        `WHSEC_${base64}`,
        `whsec_${base64} `,
        `whsec_${base64}A`,
      ]
    ) assert.equal(signingKey(text), undefined, text);
  });
});
