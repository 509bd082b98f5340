/** The sealed record and note of a message: what is read is what was written, and nothing else is read. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { CREDENTIAL_NAMES } from "../../src/entra/app_credentials.ts";
import {
  openNote,
  openRecord,
  type QueueNote,
  type QueueRecord,
  sealNote,
  sealRecord,
  type StoredCredential,
} from "../../src/queue/record.ts";
import { Sealer, SealError } from "../../src/queue/sealing.ts";
import { Secret } from "../../src/secret.ts";
import * as fc from "../support/property.ts";

/** What is sealed with the right key, but by another version. */
const otherVersion = (error: unknown) => error instanceof SealError && error.reason === "version";
const ID = "0123456789abcdef";
const sealer = new Sealer([new Secret(randomBytes(32).toString("base64"))]);

/** Any text, lone surrogates included: a client may send any octets. */
const text = fc.string({ unit: "binary" });

const records: fc.Arbitrary<QueueRecord> = fc.record({
  kind: fc.constantFrom("message", "report"),
  envelope: fc.record({
    from: text,
    recipients: fc.array(text, { minLength: 1, maxLength: 5 }),
  }),
  account: fc.record({
    tenantId: text,
    clientId: text,
    entry: fc.record({ id: text, foundBy: fc.constantFrom("id", "client") }),
    fromEmail: text,
    fromName: text,
    allowedSenders: text,
    credential: fc.constantFrom(...CREDENTIAL_NAMES),
  }, { requiredKeys: ["tenantId", "clientId"] }),
  facts: fc.record({
    helo: text,
    esmtp: fc.boolean(),
    tls: fc.boolean(),
    smtputf8: fc.boolean(),
    trusted: fc.constant(true as const),
  }, { requiredKeys: ["helo", "esmtp", "tls", "smtputf8"] }),
  client: text,
  connection: text,
  username: text,
  messageId: text,
  credential: fc.oneof(
    fc.record({
      type: fc.constant("secret" as const),
      secret: text.map((value) => new Secret(value)),
      verified: fc.boolean(),
    }, { noNullPrototype: true }),
    fc.constant({ type: "relay" } as const),
  ),
}, {
  requiredKeys: [
    ...["kind", "envelope", "account", "facts", "client", "connection"] as const,
    ...["username", "credential"] as const,
  ],
  noNullPrototype: true,
});

const notes: fc.Arbitrary<QueueNote> = fc.record({
  detail: fc.string({ maxLength: 400 }),
  sending: fc.record({ mailbox: text, messageId: text, draft: text }, {
    requiredKeys: ["mailbox"],
    noNullPrototype: true,
  }),
  failures: fc.nat(),
  asked: fc.nat(),
  firstAttempt: fc.maxSafeNat(),
  doubt: fc.boolean(),
}, { requiredKeys: [], noNullPrototype: true });

const RECORD: QueueRecord = {
  kind: "message",
  envelope: { from: "scanner@example.com", recipients: ["a@example.com", "b@example.com"] },
  account: {
    tenantId: "11111111-1111-1111-1111-111111111111",
    clientId: "22222222-2222-2222-2222-222222222222",
  },
  facts: { helo: "scanner", esmtp: true, tls: true, smtputf8: false },
  client: "192.0.2.1",
  connection: "c1",
  username: "scanner@lookup",
  credential: { type: "secret", secret: new Secret("hunter2"), verified: true },
};

function shown(credential: StoredCredential) {
  return credential.type === "secret"
    ? { ...credential, secret: credential.secret.reveal() }
    : { ...credential, secret: undefined };
}

/** The record or note as this JSON, sealed with the right key for the right message. */
function forged(what: "record" | "note", json: unknown): Uint8Array {
  return sealer.seal(Buffer.from(JSON.stringify(json)), `${what} ${ID}`);
}

/** What {@link sealRecord} writes. */
function written(): Record<string, unknown> {
  const octets = sealer.open(sealRecord(sealer, ID, RECORD), `record ${ID}`);
  return JSON.parse(Buffer.from(octets).toString("utf8"));
}

describe("a message's record", () => {
  it("is read as it was written", () => {
    fc.assert(fc.property(records, (record) => {
      const read = openRecord(sealer, ID, sealRecord(sealer, ID, record));
      assert.deepEqual(shown(read.credential), shown(record.credential));
      const plain = ({ credential: _, ...rest }: QueueRecord) => ({ ...rest });
      assert.deepEqual(
        JSON.parse(JSON.stringify(plain(read))),
        JSON.parse(JSON.stringify(plain(record))),
      );
    }));
  });

  it("keeps its secret in a Secret, which no form of it shows", () => {
    const read = openRecord(sealer, ID, sealRecord(sealer, ID, RECORD));
    assert.equal(shown(read.credential).secret, "hunter2");
    assert(!(inspect(read, { depth: 9 }) + JSON.stringify(read)).includes("hunter2"));
  });

  it("opens for its own message alone, and not as its note", () => {
    const sealed = sealRecord(sealer, ID, RECORD);
    const tampered = (error: unknown) => error instanceof SealError && error.reason === "tampered";
    assert.throws(() => openRecord(sealer, "fedcba9876543210", sealed), tampered);
    assert.throws(() => openNote(sealer, ID, sealed), tampered);
  });

  it("does not open with another key", () => {
    const other = new Sealer([new Secret(randomBytes(32).toString("base64"))]);
    assert.throws(
      () => openRecord(other, ID, sealRecord(sealer, ID, RECORD)),
      (error) => error instanceof SealError && error.reason === "key",
    );
  });

  it("of another version, or of no version, is an error of its own", () => {
    for (
      /** What is sealed with the right key, but by another version. */
      const version of [2, 0, "1", undefined]
    ) {
      assert.throws(
        () => openRecord(sealer, ID, forged("record", { ...written(), version })),
        otherVersion,
      );
    }
  });

  it("with a field missing or of another type is that error, for each field, and names no value", () => {
    const wrong = [undefined, null, 7, "hunter2", [], ["x", 7], {}, true];
    const paths: string[][] = [];
    const collect = (value: unknown, path: string[]) => {
      if (path.length > 0) paths.push(path);
      if (typeof value !== "object" || value === null || Array.isArray(value)) return;
      for (const [name, inner] of Object.entries(value)) collect(inner, [...path, name]);
    };
    collect(written(), []);
    assert(paths.length >= 18, `${paths.length}`);
    for (const path of paths) {
      let refused = 0;
      for (const value of wrong) {
        const json = written();
        let at = json;
        for (const name of path.slice(0, -1)) at = at[name] as Record<string, unknown>;
        at[path.at(-1)!] = value;
        try {
          openRecord(sealer, ID, forged("record", json));
        } catch (error) {
          assert(error instanceof SealError && otherVersion(error), `${path}: ${error}`);
          assert(!error.message.includes("hunter2"));
          refused++;
        }
      }
      // A text may be any text, and a boolean either.
      assert(refused >= wrong.length - 1, `${path.join(".")}: ${refused} of ${wrong.length}`);
    }
  });

  it("that is no JSON object is that error", () => {
    for (const json of [null, 7, "x", [], [written()]]) {
      assert.throws(() => openRecord(sealer, ID, forged("record", json)), otherVersion);
    }
    const text = sealer.seal(Buffer.from("{"), `record ${ID}`);
    assert.throws(() => openRecord(sealer, ID, text), otherVersion);
  });

  it("takes nothing from the prototype of objects", () => {
    const json = `{"__proto__":${JSON.stringify(written())}}`;
    const text = sealer.seal(Buffer.from(json), `record ${ID}`);
    assert.throws(() => openRecord(sealer, ID, text), otherVersion);
  });
});

describe("a message's note", () => {
  it("is read as it was written", () => {
    fc.assert(fc.property(notes, (note) => {
      assert.deepEqual(openNote(sealer, ID, sealNote(sealer, ID, note)), { ...note });
    }));
  });

  it("is empty at first", () => {
    assert.deepEqual(openNote(sealer, ID, new Uint8Array()), {});
  });

  it("shortens what a service said, so that no note has more than 4 KiB", () => {
    const { detail } = openNote(sealer, ID, sealNote(sealer, ID, { detail: "x".repeat(5000) }));
    assert.equal(detail, "x".repeat(1000));
    const mailbox = `${"ü".repeat(60)}@${"x".repeat(190)}`;
    const sending = { mailbox, messageId: `<${"i".repeat(990)}>`, draft: "A".repeat(500) };
    for (const said of ["\0".repeat(5000), "\u{1f4e7}".repeat(5000), "é".repeat(5000)]) {
      const sealed = sealNote(sealer, ID, { detail: said, sending, doubt: true });
      assert(sealed.length <= 4096, `${sealed.length}`);
      const note = openNote(sealer, ID, sealed);
      assert.deepEqual(note.sending, sending);
      assert(note.detail!.length >= 250 && said.startsWith(note.detail!));
    }
  });

  it("of another shape is an error", () => {
    for (
      const note of [
        { detail: 7 },
        { sending: { mailbox: null } },
        { asked: -1 },
        { asked: 1.5 },
        { firstAttempt: "now" },
        { doubt: "yes" },
        { version: 2 },
      ]
    ) {
      assert.throws(
        () => openNote(sealer, ID, forged("note", { version: 1, ...note })),
        otherVersion,
      );
    }
  });
});
