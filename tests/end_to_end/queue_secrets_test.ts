// What a queue keeps is sealed: nothing of a message or a login can be read in the store, neither as it is
// nor in base64, hexadecimal or UTF-16.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { storageClients } from "../../src/azure/storage_clients.ts";
import { QUEUE_NAME } from "../../src/queue/azure/open.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";
import { CONNECTION_STRING } from "../support/azurite.ts";
import { startAzuriteStorage } from "../support/azurite_storage.ts";
import { httpClient } from "../support/http.ts";
import { CLIENT, PROGRAMS, type Relay, TENANT, USERNAME } from "./programs.ts";
import { newKey, QueueWorld, send, untilIs } from "./queue_world.ts";

const SECRET = "a-client-secret-8Q~nobody-may-see";
const SUBJECT = "Quarterly-figures-of-the-factory";
const SENDER = "anna.sender@sender-of-it.example";
const KEY = newKey();
/** What the messages' text has (`content` of queue_world.ts), and what else must not show. */
const SECRETS = [
  SECRET,
  SUBJECT,
  SENDER,
  "b@example.org",
  "a line of the message's text",
  USERNAME,
  TENANT,
  CLIENT,
  // How tokens begin.
  "eyJ0eXAi",
  "Bearer",
  KEY,
];
const REFUSED = "ErrorAccessDenied";

for (const program of PROGRAMS) {
  describe(`a queue's store, on ${program.name}`, () => {
    const ends: (() => void | Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end();
    });

    /** A queue with messages that were tried, that are being sent and that are held. */
    async function filled(environment: Record<string, string>): Promise<Relay> {
      const world = await QueueWorld.open(program, { QUEUE_KEY: KEY, ...environment });
      ends.push(() => world.close());
      // Refused for good, with a new token too: its reason is in the note.
      world.cloud.faults.add({
        on: "sendMail",
        times: 2,
        status: 403,
        code: REFUSED,
        message: `${SENDER} may not send`,
      });
      const relay = await world.start();
      const client = await world.logIn(relay, USERNAME, SECRET);
      assert.match(await send(client, SUBJECT, 100, SENDER), /^250/);
      await relay.running.until("stderr", /Queued message given up/);
      world.holdGraph();
      for (const octets of [100, 350_000, 5000]) {
        assert.match(await send(client, SUBJECT, octets, SENDER), /^250/);
      }
      await untilIs(() => world.held, (held) => held > 0);
      return relay;
    }

    it("in SQLite has nothing in clear, in any of its files", async () => {
      const directory = mkdtempSync(join(tmpdir(), "relay-sealed-"));
      ends.push(() => rmSync(directory, { recursive: true }));
      const relay = await filled({ QUEUE_URL: `sqlite:${join(directory, "queue.db")}` });
      const look = () => {
        const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
          statSync(join(directory, name)).isFile()
        );
        for (const name of names) assertSealed(readFileSync(join(directory, name)), name);
        return names.map((name) => name.replace(/[0-9a-f]{16}$/, "ID")).sort();
      };
      const files = look();
      for (const name of ["queue.db", "queue.db-wal", join("queue.db.d", "ID")]) {
        assert(files.includes(name), files.join());
      }
      assert.equal(await relay.running.stop("SIGKILL"), null);
      look();
    });

    it("in Azure has nothing in clear, in no blob and no pointer", async () => {
      const azurite = await startAzuriteStorage();
      ends.push(() => azurite.stop());
      const { blobs, queues } = azurite.endpoints;
      const relay = await filled({
        QUEUE_URL: "azure-storage:",
        QUEUE_CONNECTION_STRING:
          `${CONNECTION_STRING};BlobEndpoint=${blobs.href};QueueEndpoint=${queues.href}`,
      });
      assert.equal(await relay.running.stop("SIGKILL"), null);
      // The pointers become visible.
      await azurite.pass(130_000);
      const http = httpClient();
      ends.push(() => http.close());
      const { container, queue } = await storageClients({
        http,
        endpoints: azurite.endpoints,
        access: storageAccess.parse(CONNECTION_STRING)!,
        name: QUEUE_NAME,
      });
      const names: string[] = [];
      const options = { includeMetadata: true, includeTags: true };
      for await (const { name, metadata, tags } of container.listBlobsFlat(options)) {
        names.push(name.replace(/\/.*/, ""));
        const content = await container.getBlobClient(name).downloadToBuffer();
        assertSealed(content, name);
        assertSealed(Buffer.from(JSON.stringify([name, metadata, tags])), `${name}'s metadata`);
        // Metadata is in base64.
        for (const value of Object.values(metadata ?? {})) {
          assertSealed(Buffer.from(value, "base64"), `${name}'s metadata`);
        }
      }
      assert.deepEqual(names.filter((name) => name === "messages").length, 4);
      assert(names.includes("notes"), names.join());
      const { peekedMessageItems } = await queue.peekMessages({ numberOfMessages: 32 });
      assert.equal(peekedMessageItems.length, 3);
      for (const { messageText } of peekedMessageItems) {
        assertSealed(Buffer.from(messageText), "a pointer");
        assertSealed(Buffer.from(messageText, "base64"), "a pointer");
      }
    });
  });
}

function assertSealed(octets: Uint8Array, where: string): void {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("latin1")
    .toLowerCase();
  for (const secret of SECRETS) {
    for (const form of formsOf(secret)) {
      assert(!text.includes(form.toLowerCase()), `${where} has ${secret} as ${form}`);
    }
  }
}

/** The text as it may stand in a file: in base64, at each of its three places. */
function formsOf(text: string): string[] {
  const octets = Buffer.from(text);
  const base64 = [0, 1, 2].flatMap((place) => {
    const shifted = Buffer.concat([Buffer.alloc(place), octets]);
    // The first and the last character depend on what is beside it.
    const whole = shifted.subarray(place === 0 ? 0 : 3, shifted.length - shifted.length % 3);
    return [whole.toString("base64"), whole.toString("base64url")];
  });
  return [text, octets.toString("hex"), Buffer.from(text, "utf16le").toString("latin1"), ...base64]
    .filter((form) => form.length > 5);
}
