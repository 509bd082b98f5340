// Large messages from a client to the mailbox: over STARTTLS and AUTH, through a draft and upload
// sessions (https://learn.microsoft.com/graph/outlook-large-attachments), each attachment unchanged.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Readable } from "node:stream";
import { createTransport } from "nodemailer";
import PostalMime from "postal-mime";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type CloudServer, type CloudServerOptions, startCloud } from "../support/cloud.ts";
import { filesFor, largeMessage, sha256Of } from "../support/large_message.ts";
import { THOROUGH } from "../support/thorough.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";

const MB = 1_000_000;

for (const program of PROGRAMS) {
  describe(`a large message, on ${program.name}`, () => {
    let directory: string;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-test-"));
      const { certificate, privateKey } = await selfSignedCertificate();
      writeFileSync(join(directory, "cert.pem"), certificate);
      writeFileSync(join(directory, "key.pem"), privateKey);
    });
    after(() => rmSync(directory, { recursive: true }));

    async function withRelay(
      use: (relay: Relay, cloud: CloudServer) => Promise<void>,
      environment: Record<string, string> = {},
      options: CloudServerOptions = {},
    ): Promise<void> {
      const cloud = await startCloud(options);
      const relay = await serve(program, {
        TLS_CERT_FILEPATH: join(directory, "cert.pem"),
        TLS_KEY_FILEPATH: join(directory, "key.pem"),
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        MAX_MEMORY: "512m",
        ...environment,
      });
      try {
        await use(relay, cloud);
      } finally {
        await relay.running.stop();
        await cloud.close();
      }
    }

    /** @returns the last reply, of any kind */
    async function send(relay: Relay, octets: number, declared = true): Promise<string> {
      const transport = createTransport({
        host: "127.0.0.1",
        port: relay.smtp,
        requireTLS: true,
        tls: { rejectUnauthorized: false },
        auth: { user: USERNAME, pass: SECRET },
        socketTimeout: 60_000,
      });
      try {
        const sent = await transport.sendMail({
          envelope: {
            from: "ann@x.test",
            to: ["bea@x.test"],
            ...(declared ? { size: octets } : {}),
          },
          raw: Readable.from(largeMessage(filesFor(octets))),
        });
        return sent.response;
      } catch (error) {
        return (error as { response?: string }).response ?? String(error);
      } finally {
        transport.close();
      }
    }

    for (const megabytes of THOROUGH ? [5, 20, 34, 150] : [5, 34]) {
      it(`of ${megabytes} MB arrives with each attachment's octets`, async () => {
        await withRelay(async (relay, cloud) => {
          assert.match(await send(relay, megabytes * MB), /^250 2\.0\.0 /);
          assert.equal(cloud.graph.count("sendDraft"), 1);
          assert.equal(cloud.graph.drafts, 0);
          assert.equal(cloud.graph.authorizedUploads, 0);
          const [summary, ...others] = cloud.inbox.list();
          assert.deepEqual(others, []);
          const stored = cloud.inbox.get(summary!.id)!;
          assert.deepEqual(stored.recipients, ["bea@x.test"]);
          const { attachments } = await PostalMime.parse(stored.raw);
          const arrived = new Map([
            ...stored.uploads.map(({ name, sha256 }) => [name, sha256] as const),
            ...attachments.map((part) =>
              [
                part.filename!,
                createHash("sha256").update(new Uint8Array(part.content as ArrayBuffer)).digest(
                  "hex",
                ),
              ] as const
            ),
          ]);
          const sent = filesFor(megabytes * MB).map((file) => [file.name, sha256Of(file)] as const);
          assert.deepEqual([...arrived].sort(), [...sent].sort());
        }, { MAX_MESSAGE_SIZE: "150m" });
      });
    }

    it("is refused, with the remedy, when the app lacks Mail.ReadWrite", async () => {
      await withRelay(
        async (relay, cloud) => {
          assert.match(await send(relay, 5 * MB), /^552 5\.3\.4 .*Mail\.ReadWrite/);
          assert.deepEqual(cloud.inbox.list(), []);
        },
        {},
        { entra: { roles: () => ["Mail.Send"] } },
      );
    });

    it("is sent whole, once, when the app lacks Mail.ReadWrite and Graph accepts it", async () => {
      await withRelay(
        async (relay, cloud) => {
          assert.match(await send(relay, 1 * MB), /^250 2\.0\.0 /);
          assert.equal(cloud.inbox.list().length, 1);
        },
        { GRAPH_REQUEST_LIMIT: "200000" },
        { entra: { roles: () => ["Mail.Send"] } },
      );
    });

    it("is refused with LARGE_MESSAGES=reject", async () => {
      await withRelay(
        async (relay) => assert.match(await send(relay, 5 * MB), /^552 5\.3\.4 .*LARGE_MESSAGES/),
        { LARGE_MESSAGES: "reject" },
      );
    });

    for (const declared of [true, false]) {
      it(`is deferred when MAX_MEMORY has no room, ${declared ? "at MAIL" : "during data"}`, async () => {
        await withRelay(async (relay, cloud) => {
          assert.match(await send(relay, 20 * MB, declared), /^452 4\.3\.1 /);
          assert.match(await send(relay, 5 * MB, declared), /^250 /, "the room is free again");
          assert.equal(cloud.inbox.list().length, 1);
        }, { MAX_MEMORY: "20m" });
      });
    }
  });
}
