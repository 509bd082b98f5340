/** The settings of the queue: what they allow, how they go together, and what they say of mistakes. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { queueAddress, queueEndpoints, queueKeys } from "../../src/settings/queue_settings.ts";
import { loadSettings } from "../../src/settings/load.ts";
import type { Settings } from "../../src/settings/schema.ts";
import type { Environment } from "../../src/settings/setting.ts";
import { storageConnection } from "../../src/settings/storage_access.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const QUEUE = { DELIVERY_MODE: "queue", QUEUE_KEY: KEY };
const AZURE_KEY = "a".repeat(44) + "bbb=";
const CONNECTION = `AccountName=mail;AccountKey=${AZURE_KEY}`;

function load(environment: Environment): { settings: Settings; warnings: readonly string[] } {
  const loaded = loadSettings(environment);
  assert(loaded.type === "settings", JSON.stringify(loaded));
  return loaded;
}

function problems(environment: Environment): readonly string[] {
  const loaded = loadSettings(environment);
  assert(loaded.type === "problems", "no problem was found");
  return loaded.problems;
}

describe("the settings of the queue", () => {
  it("switch the queue on, in any case of the word", () => {
    assert.equal(load({ ...QUEUE, DELIVERY_MODE: "Queue" }).settings.DELIVERY_MODE, "queue");
    assert.equal(
      load({ ...QUEUE, QUEUE_OFFLINE_LOGIN: "off" }).settings.QUEUE_OFFLINE_LOGIN,
      "off",
    );
  });

  it("need a key, and say how to make one", () => {
    const [problem] = problems({ DELIVERY_MODE: "queue" });
    assert.match(
      problem!,
      /^QUEUE_KEY must be set when DELIVERY_MODE is queue.*openssl rand -base64 32$/,
    );
  });

  it("have no effect in direct mode, which is a warning that names each that is set", () => {
    const { warnings } = load({
      QUEUE_KEY: KEY,
      QUEUE_MAX_AGE: "1d",
      QUEUE_CONNECTION_STRING: CONNECTION,
    });
    assert.deepEqual(warnings, [
      "QUEUE_CONNECTION_STRING, QUEUE_KEY, QUEUE_MAX_AGE have no effect, because DELIVERY_MODE is direct",
    ]);
    const [one] = load({ QUEUE_BOUNCE: "true" }).warnings;
    assert.match(one!, /^QUEUE_BOUNCE has no effect/);
  });

  it("are doubtful if the largest message does not fit", () => {
    const [warning] = load({ ...QUEUE, QUEUE_MAX_BYTES: "10m" }).warnings;
    assert.match(warning!, /^QUEUE_MAX_BYTES is less than MAX_MESSAGE_SIZE/);
    assert.deepEqual(
      load({ ...QUEUE, QUEUE_MAX_BYTES: "10m", MAX_MESSAGE_SIZE: "10m" }).warnings,
      [],
    );
  });

  it("take a connection string for azure-storage: alone", () => {
    const [problem] = problems({ ...QUEUE, QUEUE_CONNECTION_STRING: CONNECTION });
    assert.match(problem!, /^QUEUE_CONNECTION_STRING is set, but QUEUE_URL is not azure-storage:/);
    load({ ...QUEUE, QUEUE_URL: "azure-storage:", QUEUE_CONNECTION_STRING: CONNECTION });
  });

  it("must name the storage account", () => {
    const unnamed = { ...QUEUE, QUEUE_URL: "azure-storage:" };
    for (
      const given of [
        unnamed,
        { ...unnamed, QUEUE_CONNECTION_STRING: "SharedAccessSignature=sv=1&sig=x" },
      ]
    ) {
      assert.match(problems(given)[0]!, /^QUEUE_URL azure-storage: does not say which account/);
    }
  });

  it("send an identity's token over https only", () => {
    const QUEUE_URL = "azure-storage:http://127.0.0.1:10000/devstoreaccount1";
    assert.match(problems({ ...QUEUE, QUEUE_URL })[0]!, /^QUEUE_URL with http needs QUEUE_CONN/);
    load({ ...QUEUE, QUEUE_URL, QUEUE_CONNECTION_STRING: "UseDevelopmentStorage=true" });
    load({ ...QUEUE, QUEUE_URL: "azure-storage:https://mail.queue.core.windows.net" });
  });

  it("name the empty file, when a key is missing for that reason", () => {
    const folder = mkdtempSync(join(tmpdir(), "relay-queue-key-"));
    try {
      const QUEUE_KEY_FILE = join(folder, "queue.key");
      writeFileSync(QUEUE_KEY_FILE, "");
      const [problem, hint] = problems({ DELIVERY_MODE: "queue", QUEUE_KEY_FILE });
      assert.match(problem!, /^QUEUE_KEY must be set/);
      assert.match(hint!, /^QUEUE_KEY_FILE ".*queue\.key" is empty/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("say what is wrong with a key, and which file it is in, without any part of it", () => {
    const folder = mkdtempSync(join(tmpdir(), "relay-queue-key-"));
    const file = (text: string) => {
      const path = join(folder, "queue.key");
      writeFileSync(path, text);
      return problems({ DELIVERY_MODE: "queue", QUEUE_KEY_FILE: path })[0]!;
    };
    const short = Buffer.alloc(16, 9).toString("base64");
    try {
      assert.match(
        file(short),
        /^QUEUE_KEY in ".*queue\.key" must be 32 bytes .*; it has 16 bytes$/,
      );
      assert.match(file(`${KEY},${short}`), /; key 2 of 2 has 16 bytes$/);
      assert.match(file(`${KEY},`), /; key 2 of 2 is empty$/);
      assert.match(file(`${KEY}\n${KEY}`), /; it is not base64$/);
      // The same octets in hexadecimal digits.
      assert.match(file("07".repeat(32)), /; it has 48 bytes$/);
      assert(!file(short).includes(short));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("guess no unit for a time of hours or days", () => {
    const lines = problems({ ...QUEUE, QUEUE_MAX_AGE: "2", QUEUE_OFFLINE_LOGIN: "24 hours" });
    assert.match(lines[0]!, /^QUEUE_MAX_AGE "2" must be a number .*, up to 24d$/);
    assert.match(lines[1]!, /; did you mean "24h"\?$/);
  });

  it("show no key and no connection string in a problem", () => {
    const lines = problems({
      DELIVERY_MODE: "queue",
      QUEUE_KEY: "hunter2",
      QUEUE_CONNECTION_STRING: "hunter2",
    });
    assert.equal(lines.length, 2);
    assert(!lines.join().includes("hunter2"));
    assert.match(lines.join(), /QUEUE_KEY must be 32 bytes in base64.*openssl rand -base64 32/);
  });
});

describe("the queue's address", () => {
  it("is a database, by a path of any form", () => {
    for (
      const path of ["queue.db", "/var/lib/smtp-oauth-relay/queue.db", "C:\\mail\\queue.db", "a b"]
    ) {
      assert.deepEqual(queueAddress.parse(`sqlite:${path}`), { type: "sqlite", path });
      assert.deepEqual(queueAddress.parse(`SQLite:${path}`), { type: "sqlite", path });
    }
  });

  it("is no database in memory, no directory and no URI: mail would be lost or elsewhere", () => {
    for (
      const path of [
        "",
        ":memory:",
        "file:queue.db",
        "FILE:q?mode=memory",
        "//queue.db",
        "/var/lib/",
        "a\nb",
      ]
    ) {
      assert.equal(queueAddress.parse(`sqlite:${path}`), undefined, path);
    }
  });

  it("is a storage account, by either of its services", () => {
    for (const host of ["mail.blob.core.windows.net", "mail.queue.core.usgovcloudapi.net"]) {
      const address = queueAddress.parse(`azure-storage:https://${host}`);
      assert(address?.type === "azureStorage");
      assert.equal(address.url?.hostname, host);
    }
    assert.deepEqual(queueAddress.parse("azure-storage:"), { type: "azureStorage" });
  });

  it("is no other service, and has no query, credentials or plain http", () => {
    for (
      const url of [
        "https://mail.table.core.windows.net",
        "https://example.com",
        "https://mail.queue.core.windows.net?sig=x",
        "https://u:p@mail.queue.core.windows.net",
        "http://mail.queue.core.windows.net",
        "mail",
      ]
    ) {
      assert.equal(queueAddress.parse(`azure-storage:${url}`), undefined, url);
    }
    for (const text of ["postgres:x", "redis://x", ""]) {
      assert.equal(queueAddress.parse(text), undefined, text);
    }
  });

  it("says what was probably meant", () => {
    for (
      const [text, meant] of [
        ["queue.db", "sqlite:queue.db"],
        ["/var/lib/queue.db", "sqlite:/var/lib/queue.db"],
        ["sqlite://queue.db", "sqlite:queue.db"],
        ["https://a.queue.core.windows.net", "azure-storage:https://a.queue.core.windows.net"],
        ["https://example.com", undefined],
      ] as const
    ) {
      assert.equal(queueAddress.meant!(text), meant);
    }
  });
});

describe("the queue's endpoints", () => {
  const endpoints = (QUEUE_URL: string, connection?: string) => {
    const found = queueEndpoints({
      QUEUE_URL: queueAddress.parse(QUEUE_URL)!,
      QUEUE_CONNECTION_STRING: connection === undefined
        ? undefined
        : storageConnection.parse(connection)!,
    });
    return found === undefined ? undefined : [found.blobs.href, found.queues.href];
  };

  it("are both services of the account that the URL names", () => {
    const both = ["https://mail.blob.core.windows.net/", "https://mail.queue.core.windows.net/"];
    assert.deepEqual(endpoints("azure-storage:https://mail.blob.core.windows.net"), both);
    assert.deepEqual(endpoints("azure-storage:https://mail.queue.core.windows.net/"), both);
    assert.deepEqual(endpoints("azure-storage:https://mail.z01.queue.storage.azure.net"), [
      "https://mail.z01.blob.storage.azure.net/",
      "https://mail.z01.queue.storage.azure.net/",
    ]);
    // The URL goes before the connection string, which then has the credentials alone.
    assert.deepEqual(
      endpoints("azure-storage:https://mail.blob.core.windows.net", "UseDevelopmentStorage=true"),
      both,
    );
  });

  it("are those of a connection string", () => {
    const from = (text: string) => endpoints("azure-storage:", text);
    const both = ["https://mail.blob.core.windows.net/", "https://mail.queue.core.windows.net/"];
    assert.deepEqual(from(CONNECTION), both);
    assert.deepEqual(from(`${CONNECTION};EndpointSuffix=core.chinacloudapi.cn`), [
      "https://mail.blob.core.chinacloudapi.cn/",
      "https://mail.queue.core.chinacloudapi.cn/",
    ]);
    assert.deepEqual(from("UseDevelopmentStorage=true"), [
      "http://127.0.0.1:10000/devstoreaccount1",
      "http://127.0.0.1:10001/devstoreaccount1",
    ]);
    assert.deepEqual(
      from(
        `${CONNECTION};BlobEndpoint=http://127.0.0.1:5/mail/;QueueEndpoint=http://127.0.0.1:9/mail`,
      ),
      ["http://127.0.0.1:5/mail", "http://127.0.0.1:9/mail"],
    );
    assert.deepEqual(
      from(`QueueEndpoint=https://mail.queue.core.windows.net/;SharedAccessSignature=sv=1&sig=x`),
      both,
    );
  });

  it("are no plain http to another machine", () => {
    for (const more of ["DefaultEndpointsProtocol=http", "BlobEndpoint=http://mail.example"]) {
      assert.equal(storageConnection.parse(`${CONNECTION};${more}`), undefined, more);
    }
  });
});

describe("the queue's keys", () => {
  it("are 32 octets each, in base64 or base64url, padded or not", () => {
    const octets = Buffer.alloc(32, 0xfb);
    for (
      const text of [
        octets.toString("base64"),
        octets.toString("base64").replace("=", ""),
        octets.toString("base64url"),
      ]
    ) {
      const keys = queueKeys.parse(text);
      assert.equal(keys?.length, 1);
      assert.deepEqual(Buffer.from(keys[0]!.reveal(), "base64"), octets);
    }
    assert.deepEqual(
      queueKeys.parse(`${KEY}, ${octets.toString("base64url")}`)?.map((key) => key.reveal()),
      [KEY, octets.toString("base64url")],
    );
  });

  it("are nothing else", () => {
    for (
      const text of [
        "",
        "hunter2",
        `${KEY},`,
        `${KEY}=`,
        Buffer.alloc(31).toString("base64"),
        Buffer.alloc(33).toString("base64"),
        Buffer.alloc(32).toString("hex"),
        `+${"a".repeat(41)}_`,
      ]
    ) {
      assert.equal(queueKeys.parse(text), undefined, text);
    }
  });
});
