/** The current certificate: what is logged about it, when it is replaced, and when it is kept. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, before, describe, it } from "node:test";
import {
  type Certificate,
  CertificateError,
  CertificateUnavailable,
} from "../../src/certificates/certificate.ts";
import {
  CertificateManager,
  type CertificateManagerOptions,
} from "../../src/certificates/certificate_manager.ts";
import type { CertificateSource, ReadRequest, ReadResult } from "../../src/certificates/source.ts";
import { EventLog } from "../../src/observe/event_log.ts";
import { createLog } from "../support/log.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { settingsOf } from "../support/settings.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A source that returns what the test sets, and reports each read. */
class FakeSource implements CertificateSource {
  readonly name = "told";
  readonly interval: number | undefined;
  readonly patience: number;
  next: Certificate | Error | Promise<ReadResult>;
  reads = 0;
  #waiting: (() => void)[] = [];

  constructor(next: Certificate, { interval = 1, patience = 0 } = {}) {
    this.next = next;
    this.interval = interval;
    this.patience = patience;
  }

  async read({ known }: ReadRequest): Promise<ReadResult | undefined> {
    this.reads++;
    for (const resolve of this.#waiting.splice(0)) resolve();
    if (this.next instanceof Promise) return await this.next;
    if (this.next instanceof Error) throw this.next;
    const revision = revisionOf(this.next);
    return revision === known
      ? undefined
      : { certificate: this.next, revision, detail: { version: "v1" } };
  }

  /** Waits until so many more reads have begun; all but the last one have ended. */
  async looks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function revisionOf({ certificate, privateKey }: Certificate): string {
  return createHash("sha256").update(certificate + privateKey).digest("hex");
}

/** Not an assertion of equality, which would print keys. */
function assertServes({ identity }: CertificateManager, { privateKey }: Certificate): void {
  assert.ok(identity.privateKey === privateKey, "it is another certificate that is in force");
}

/** Waits some seconds for a condition without an event. */
async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 5000, "it has not come");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

interface Line {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

describe("the current certificate", () => {
  let runtime: Runtime;
  let one: Chain;
  let other: Chain;
  const managers: CertificateManager[] = [];
  before(async () => {
    runtime = await currentRuntime();
    one = await issueChain({ names: ["one.example"] });
    other = await issueChain({ key: "RSA", names: ["other.example", "third.example"] });
  });
  afterEach(() => {
    for (const manager of managers.splice(0)) manager.close();
  });

  async function open(source: CertificateSource, options: Partial<CertificateManagerOptions> = {}) {
    const lines: Line[] = [];
    let output = "";
    const write = (line: string) => {
      output += line;
      lines.push(JSON.parse(line));
    };
    const log = createLog({ level: "DEBUG", format: "json", write });
    const settings = settingsOf({});
    const { notify } = new EventLog(log);
    const manager = await CertificateManager.open({
      source,
      settings,
      runtime,
      notify,
      ...options,
    });
    managers.push(manager);
    const linesOf = (message: string) => lines.filter((line) => line.message.startsWith(message));
    return { manager, lines, linesOf, output: () => output };
  }

  it("is logged at the start: subject, names, issuer, serial, key, dates, protocols, ciphers", async () => {
    for (
      const [chain, key, names, authentication] of [
        [one, "EC ", "DNS:one.example", "ECDSA"],
        [other, "RSA 2048", "DNS:other.example, DNS:third.example", "RSA"],
      ] as const
    ) {
      const { lines, output } = await open(new FakeSource(chain));
      const [{ level, message, ...fields } = {} as Line] = lines;
      assert.deepEqual([level, message], ["INFO", "Certificate loaded"]);
      assert.match(
        String(fields["subject"]),
        /^(?:CN=\w+\.example, O=Test|O=Test, CN=\w+\.example)$/,
      );
      assert.equal(fields["names"], names);
      assert.equal(fields["issuer"], "CN=Test intermediate");
      assert.equal(fields["serial"], chain.serial);
      assert.ok(String(fields["key"]).startsWith(key), String(fields["key"]));
      assert.equal(fields["days"], 89);
      assert.equal(fields["expires"], new Date(chain.leaf.validTo).toISOString());
      assert.equal(fields["protocols"], "TLSv1.2,TLSv1.3");
      assert.match(
        String(fields["ciphers"]),
        new RegExp(`^ECDHE-${authentication}-[^,]+,TLS_[^,]+$`),
      );
      assert.deepEqual([fields["source"], fields["version"]], ["told", "v1"]);
      assert.ok(!output().includes("PRIVATE KEY"));
      assert.equal(lines.length, 1);
    }
  });

  it("is replaced by a new one for the next handshake, which is logged", async () => {
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source);
    const before = manager.identity;
    source.next = other;
    await source.looks(2);
    assertServes(manager, other);
    assert.ok(before.privateKey === one.privateKey, "connections keep what they have");
    const [line, ...more] = linesOf("Certificate replaced");
    assert.deepEqual([line?.level, line?.["serial"], more], ["INFO", other.serial, []]);
    assert.equal(manager.state.expires, new Date(other.leaf.validTo).toISOString());
  });

  it("is kept when a new one fails its handshake, which is logged once, and again after hours", async () => {
    let elapsed = 0;
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source, { elapsed: () => elapsed });
    source.next = { ...other, privateKey: one.privateKey };
    await source.looks(4);
    assertServes(manager, one);
    const message = "New certificate rejected, keeping the current one";
    const [line, ...more] = linesOf(message);
    assert.deepEqual([line?.level, line?.["days"], more], ["WARNING", 89, []]);
    assert.match(
      String(line?.["reason"]),
      /cannot be used on (?:Bun|Deno) .* with this certificate/,
    );
    elapsed += 6 * HOUR;
    await source.looks(3);
    assert.equal(linesOf(message).length, 2);
    source.next = other;
    await source.looks(2);
    assertServes(manager, other);
  });

  /** A runtime without free sockets for a while; the port in its error differs each time. */
  function scarce() {
    const state = { out: false, handshakes: 0 };
    const listen: Runtime["listen"] = (options) => {
      state.handshakes++;
      if (state.out) throw new Error(`EMFILE: too many open files 127.0.0.1:${state.handshakes}`);
      return runtime.listen(options);
    };
    const short: Runtime = Object.create(runtime, { listen: { value: listen } });
    return { state, runtime: short };
  }

  it("is replaced by a new one whose test handshake failed temporarily, once that is over", async () => {
    const { state, runtime } = scarce();
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source, { runtime });
    state.out = true;
    source.next = other;
    await source.looks(10);
    assertServes(manager, one);
    const [line, ...more] = linesOf("New certificate rejected, keeping the current one");
    assert.match(String(line?.["reason"]), /EMFILE/);
    assert.deepEqual(more, [], "one trouble, whatever its port");
    state.out = false;
    await source.looks(2);
    assertServes(manager, other);
    assert.equal(linesOf("Certificate replaced").length, 1);
    const { handshakes } = state;
    await source.looks(3);
    assert.equal(state.handshakes, handshakes, "what is in force is not tested again");
  });

  it("is replaced by it soon, even if the next read would be much later", async () => {
    const { state, runtime } = scarce();
    const source = new FakeSource(one, { interval: HOUR });
    const { manager, linesOf } = await open(source, { runtime, retry: 1 });
    state.out = true;
    source.next = other;
    await manager.refresh();
    assertServes(manager, one);
    state.out = false;
    await until(() => linesOf("Certificate replaced").length > 0);
    assertServes(manager, other);
  });

  it("is not read that often for ever if the new one is really bad", async () => {
    const source = new FakeSource(one, { interval: HOUR });
    const { manager } = await open(source, { retry: 1 });
    source.next = { ...other, privateKey: one.privateKey };
    const { reads } = source;
    await manager.refresh();
    await until(() => source.reads === reads + 1 + 6);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(source.reads, reads + 1 + 6);
    assertServes(manager, one);
  });

  it("is no longer read that often once the old one is back", async () => {
    const source = new FakeSource(one, { interval: HOUR });
    const { manager } = await open(source, { retry: 1 });
    source.next = { ...other, privateKey: one.privateKey };
    await manager.refresh();
    const { reads } = source;
    source.next = one;
    await until(() => source.reads > reads);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(source.reads, reads + 1);
  });

  it("is reported as unchanged when the old one is back after a bad one", async () => {
    const { state, runtime } = scarce();
    const source = new FakeSource(one, { interval: HOUR });
    const { manager, lines } = await open(source, { runtime });
    state.out = true;
    source.next = other;
    await manager.refresh();
    state.out = false;
    source.next = one;
    await manager.refresh();
    await manager.refresh();
    assertServes(manager, one);
    assert.deepEqual(lines.map(({ level, message }) => `${level} ${message}`), [
      "INFO Certificate loaded",
      "WARNING New certificate rejected, keeping the current one",
      "INFO Certificate readable again, and unchanged",
      "INFO Certificate unchanged",
    ]);
  });

  it("is kept when its source cannot be reached, which is logged once for each reason", async () => {
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source);
    source.next = new CertificateUnavailable("no network");
    await source.looks(4);
    source.next = new CertificateUnavailable("forbidden");
    await source.looks(4);
    assertServes(manager, one);
    const lines = linesOf("Certificate not refreshed, keeping the current one");
    assert.deepEqual(
      lines.map(({ level, reason, days }) => [level, reason, days]),
      [["WARNING", "no network", 89], ["WARNING", "forbidden", 89]],
    );
    source.next = one;
    await source.looks(3);
    assert.equal(linesOf("Certificate readable again, and unchanged").length, 1);
  });

  it("delays its warning as long as the source allows, except on request", async () => {
    const source = new FakeSource(one, { patience: 1, interval: HOUR });
    const { manager, linesOf } = await open(source);
    source.next = new CertificateError("half");
    await manager.refresh();
    assert.equal(linesOf("New certificate rejected").length, 1);

    const slow = new FakeSource(one, { patience: 1 });
    const second = await open(slow);
    slow.next = new CertificateError("half");
    await slow.looks(2);
    assert.deepEqual(second.linesOf("New certificate rejected"), []);
    await slow.looks(2);
    assert.equal(second.linesOf("New certificate rejected").length, 1);
  });

  it("is read immediately on request, and logged as unchanged if nothing has changed", async () => {
    const source = new FakeSource(one, { interval: HOUR });
    const { manager, linesOf } = await open(source);
    await manager.refresh();
    assert.equal(linesOf("Certificate unchanged").length, 1);
    source.next = other;
    await Promise.all([manager.refresh(), manager.refresh()]);
    assertServes(manager, other);
    assert.equal(linesOf("Certificate replaced").length, 1);
  });

  for (
    const [name, wishes, message, expired] of [
      ["has expired", { from: -90, until: -1 }, "Certificate expired", true],
      ["is not valid yet", { from: 1, until: 90 }, "Certificate not valid yet", false],
      ["expires soon", { from: -80, until: 10 }, "Certificate expires soon", false],
    ] as const
  ) {
    it(`that ${name} is used, and warned about at the start and every day`, async () => {
      let elapsed = 0;
      const source = new FakeSource(await issueChain(wishes));
      const { manager, linesOf } = await open(source, { elapsed: () => elapsed });
      assert.deepEqual([manager.state.ready, manager.state.expired], [true, expired]);
      await source.looks(3);
      const [line, ...more] = linesOf(message);
      assert.deepEqual([line?.level, more], ["WARNING", []]);
      for (let day = 1; day <= 2; day++) {
        elapsed += DAY - 1;
        await source.looks(3);
        assert.equal(linesOf(message).length, day);
        elapsed += 1;
        await source.looks(3);
        assert.equal(linesOf(message).length, day + 1);
      }
      source.next = one;
      await source.looks(3);
      elapsed += DAY;
      await source.looks(3);
      assert.equal(linesOf(message).length, 3, "a good one is not warned about");
    });
  }

  it("may expire while it is current, which is logged and shown by /readyz", async () => {
    let now = Date.now();
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source, { now: () => now });
    assert.equal(manager.state.expired, false);
    now += 91 * DAY;
    await source.looks(3);
    assert.equal(linesOf("Certificate expired").length, 1);
    assert.equal(manager.state.expired, true);
  });

  it("is awaited, read after read, when a source does not respond", async () => {
    const source = new FakeSource(one);
    const { manager, linesOf } = await open(source, { timeout: 5 });
    const answer = Promise.withResolvers<ReadResult>();
    const reads = source.reads;
    source.next = answer.promise;
    await source.looks(1);
    await until(() => linesOf("Certificate not refreshed").length > 0);
    assert.ok(source.reads <= reads + 2, "one read hangs, no more are begun");
    source.next = other;
    answer.resolve({ certificate: other, revision: revisionOf(other) });
    await source.looks(2);
    assertServes(manager, other);
  });

  it("is no longer read once the relay has stopped", async () => {
    const source = new FakeSource(one);
    const { manager, lines } = await open(source);
    await source.looks(1);
    manager.close();
    const reads = source.reads;
    const logged = lines.length;
    source.next = other;
    await manager.refresh();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([source.reads, lines.length], [reads, logged]);
  });
});
