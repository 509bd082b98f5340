/** The certificate in force: what is told of it, when it is replaced, and when it stays. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, before, describe, it } from "node:test";
import {
  type Certificate,
  CertificateError,
  CertificateUnavailable,
} from "../../src/certificates/certificate.ts";
import { type HolderOptions, IdentityHolder } from "../../src/certificates/holder.ts";
import type { CertificateSource, Found, Look } from "../../src/certificates/source.ts";
import { createLog } from "../../src/observe/log.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { settingsOf } from "../support/settings.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A source that finds what it is told to, and tells of each look. */
class ToldSource implements CertificateSource {
  readonly name = "told";
  readonly interval: number | undefined;
  readonly patience: number;
  next: Certificate | Error | Promise<Found>;
  reads = 0;
  #waiting: (() => void)[] = [];

  constructor(next: Certificate, { interval = 1, patience = 0 } = {}) {
    this.next = next;
    this.interval = interval;
    this.patience = patience;
  }

  async read({ known }: Look): Promise<Found | undefined> {
    this.reads++;
    for (const resolve of this.#waiting.splice(0)) resolve();
    if (this.next instanceof Promise) return await this.next;
    if (this.next instanceof Error) throw this.next;
    const revision = revisionOf(this.next);
    return revision === known
      ? undefined
      : { certificate: this.next, revision, detail: { version: "v1" } };
  }

  /** So many looks from now on have begun; all but the last one are over. */
  async looks(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function revisionOf({ certificate, privateKey }: Certificate): string {
  return createHash("sha256").update(certificate + privateKey).digest("hex");
}

/** Not by an assertion of equality, which would print keys. */
function assertServes({ identity }: IdentityHolder, { privateKey }: Certificate): void {
  assert.ok(identity.privateKey === privateKey, "it is another certificate that is in force");
}

/** Waits for what no event tells of, for some seconds. */
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

describe("the certificate in force", () => {
  let runtime: Runtime;
  let one: Chain;
  let other: Chain;
  const holders: IdentityHolder[] = [];
  before(async () => {
    runtime = await currentRuntime();
    one = await issueChain({ names: ["one.example"] });
    other = await issueChain({ key: "RSA", names: ["other.example", "third.example"] });
  });
  afterEach(() => {
    for (const holder of holders.splice(0)) holder.close();
  });

  async function open(source: CertificateSource, options: Partial<HolderOptions> = {}) {
    const lines: Line[] = [];
    let output = "";
    const write = (line: string) => {
      output += line;
      lines.push(JSON.parse(line));
    };
    const log = createLog({ level: "DEBUG", format: "json", write });
    const settings = settingsOf({});
    const holder = await IdentityHolder.open({ source, settings, runtime, log, ...options });
    holders.push(holder);
    const told = (message: string) => lines.filter((line) => line.message.startsWith(message));
    return { holder, lines, told, output: () => output };
  }

  it("is told of at the start: subject, names, issuer, serial, key, dates, protocols, ciphers", async () => {
    for (
      const [chain, key, names, authentication] of [
        [one, "EC ", "DNS:one.example", "ECDSA"],
        [other, "RSA 2048", "DNS:other.example, DNS:third.example", "RSA"],
      ] as const
    ) {
      const { lines, output } = await open(new ToldSource(chain));
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

  it("gives way to a new one, for the next handshake, and the log has it", async () => {
    const source = new ToldSource(one);
    const { holder, told } = await open(source);
    const before = holder.identity;
    source.next = other;
    await source.looks(2);
    assertServes(holder, other);
    assert.ok(before.privateKey === one.privateKey, "connections keep what they have");
    const [line, ...more] = told("Certificate replaced");
    assert.deepEqual([line?.level, line?.["serial"], more], ["INFO", other.serial, []]);
    assert.equal(holder.state.expires, new Date(other.leaf.validTo).toISOString());
  });

  it("stays when a new one fails its handshake, which is told once, and again after hours", async () => {
    let elapsed = 0;
    const source = new ToldSource(one);
    const { holder, told } = await open(source, { elapsed: () => elapsed });
    source.next = { ...other, privateKey: one.privateKey };
    await source.looks(4);
    assertServes(holder, one);
    const message = "The new certificate cannot be used: the one in force stays";
    const [line, ...more] = told(message);
    assert.deepEqual([line?.level, line?.["days"], more], ["WARNING", 89, []]);
    assert.match(
      String(line?.["reason"]),
      /cannot be used on (?:Bun|Deno) .* with this certificate/,
    );
    elapsed += 6 * HOUR;
    await source.looks(3);
    assert.equal(told(message).length, 2);
    source.next = other;
    await source.looks(2);
    assertServes(holder, other);
  });

  /** A runtime that is out of sockets for a while; the port in its error is another one each time. */
  function scarce() {
    const state = { out: false, proofs: 0 };
    const listen: Runtime["listen"] = (options) => {
      state.proofs++;
      if (state.out) throw new Error(`EMFILE: too many open files 127.0.0.1:${state.proofs}`);
      return runtime.listen(options);
    };
    const short: Runtime = Object.create(runtime, { listen: { value: listen } });
    return { state, runtime: short };
  }

  it("gives way to a new one whose proof has failed for a passing reason, once that has passed", async () => {
    const { state, runtime } = scarce();
    const source = new ToldSource(one);
    const { holder, told } = await open(source, { runtime });
    state.out = true;
    source.next = other;
    await source.looks(10);
    assertServes(holder, one);
    const [line, ...more] = told("The new certificate cannot be used: the one in force stays");
    assert.match(String(line?.["reason"]), /EMFILE/);
    assert.deepEqual(more, [], "one trouble, whatever its port");
    state.out = false;
    await source.looks(2);
    assertServes(holder, other);
    assert.equal(told("Certificate replaced").length, 1);
    const { proofs } = state;
    await source.looks(3);
    assert.equal(state.proofs, proofs, "what is in force is not proved again");
  });

  it("gives way to it soon, where the next look would be far off", async () => {
    const { state, runtime } = scarce();
    const source = new ToldSource(one, { interval: HOUR });
    const { holder, told } = await open(source, { runtime, soon: 1 });
    state.out = true;
    source.next = other;
    await holder.refresh();
    assertServes(holder, one);
    state.out = false;
    await until(() => told("Certificate replaced").length > 0);
    assertServes(holder, other);
  });

  it("is not asked for that soon for ever, where the new one is really bad", async () => {
    const source = new ToldSource(one, { interval: HOUR });
    const { holder } = await open(source, { soon: 1 });
    source.next = { ...other, privateKey: one.privateKey };
    const { reads } = source;
    await holder.refresh();
    await until(() => source.reads === reads + 1 + 6);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(source.reads, reads + 1 + 6);
    assertServes(holder, one);
  });

  it("is unchanged for whoever asks, where the old one is back after a bad one", async () => {
    const { state, runtime } = scarce();
    const source = new ToldSource(one, { interval: HOUR });
    const { holder, lines } = await open(source, { runtime });
    state.out = true;
    source.next = other;
    await holder.refresh();
    state.out = false;
    source.next = one;
    await holder.refresh();
    await holder.refresh();
    assertServes(holder, one);
    assert.deepEqual(lines.map(({ level, message }) => `${level} ${message}`), [
      "INFO Certificate loaded",
      "WARNING The new certificate cannot be used: the one in force stays",
      "INFO The certificate can be read again, and is unchanged",
      "INFO Certificate unchanged",
    ]);
  });

  it("stays when its source cannot be reached, which is told once for each reason", async () => {
    const source = new ToldSource(one);
    const { holder, told } = await open(source);
    source.next = new CertificateUnavailable("no network");
    await source.looks(4);
    source.next = new CertificateUnavailable("forbidden");
    await source.looks(4);
    assertServes(holder, one);
    const lines = told("The certificate could not be refreshed: the one in force stays");
    assert.deepEqual(
      lines.map(({ level, reason, days }) => [level, reason, days]),
      [["WARNING", "no network", 89], ["WARNING", "forbidden", 89]],
    );
    source.next = one;
    await source.looks(3);
    assert.equal(told("The certificate can be read again, and is unchanged").length, 1);
  });

  it("waits with its warning as long as the source has patience, but not when it is asked", async () => {
    const source = new ToldSource(one, { patience: 1, interval: HOUR });
    const { holder, told } = await open(source);
    source.next = new CertificateError("half");
    await holder.refresh();
    assert.equal(told("The new certificate cannot be used").length, 1);

    const patient = new ToldSource(one, { patience: 1 });
    const second = await open(patient);
    patient.next = new CertificateError("half");
    await patient.looks(2);
    assert.deepEqual(second.told("The new certificate cannot be used"), []);
    await patient.looks(2);
    assert.equal(second.told("The new certificate cannot be used").length, 1);
  });

  it("is looked at at once when it is asked, and says so where nothing has changed", async () => {
    const source = new ToldSource(one, { interval: HOUR });
    const { holder, told } = await open(source);
    await holder.refresh();
    assert.equal(told("Certificate unchanged").length, 1);
    source.next = other;
    await Promise.all([holder.refresh(), holder.refresh()]);
    assertServes(holder, other);
    assert.equal(told("Certificate replaced").length, 1);
  });

  for (
    const [name, wishes, message, expired] of [
      ["has expired", { from: -90, until: -1 }, "The certificate has expired", true],
      ["is not valid yet", { from: 1, until: 90 }, "The certificate is not valid yet", false],
      ["expires soon", { from: -80, until: 10 }, "The certificate expires soon", false],
    ] as const
  ) {
    it(`that ${name} is served, and warned about at the start and every day`, async () => {
      let elapsed = 0;
      const source = new ToldSource(await issueChain(wishes));
      const { holder, told } = await open(source, { elapsed: () => elapsed });
      assert.deepEqual([holder.state.ready, holder.state.expired], [true, expired]);
      await source.looks(3);
      const [line, ...more] = told(message);
      assert.deepEqual([line?.level, more], ["WARNING", []]);
      for (let day = 1; day <= 2; day++) {
        elapsed += DAY - 1;
        await source.looks(3);
        assert.equal(told(message).length, day);
        elapsed += 1;
        await source.looks(3);
        assert.equal(told(message).length, day + 1);
      }
      source.next = one;
      await source.looks(3);
      elapsed += DAY;
      await source.looks(3);
      assert.equal(told(message).length, 3, "a good one is not warned about");
    });
  }

  it("comes to its end while it is in force: that is told, and /readyz has it", async () => {
    let now = Date.now();
    const source = new ToldSource(one);
    const { holder, told } = await open(source, { now: () => now });
    assert.equal(holder.state.expired, false);
    now += 91 * DAY;
    await source.looks(3);
    assert.equal(told("The certificate has expired").length, 1);
    assert.equal(holder.state.expired, true);
  });

  it("is waited for, look after look, where a source does not answer", async () => {
    const source = new ToldSource(one);
    const { holder, told } = await open(source, { timeout: 5 });
    const answer = Promise.withResolvers<Found>();
    const reads = source.reads;
    source.next = answer.promise;
    await source.looks(1);
    await until(() => told("The certificate could not be refreshed").length > 0);
    assert.ok(source.reads <= reads + 2, "one read hangs, no more are begun");
    source.next = other;
    answer.resolve({ certificate: other, revision: revisionOf(other) });
    await source.looks(2);
    assertServes(holder, other);
  });

  it("is looked at no more once the relay has stopped", async () => {
    const source = new ToldSource(one);
    const { holder, lines } = await open(source);
    await source.looks(1);
    holder.close();
    const reads = source.reads;
    const told = lines.length;
    source.next = other;
    await holder.refresh();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual([source.reads, lines.length], [reads, told]);
  });
});
