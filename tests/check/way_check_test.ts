/** `check` on the ways out by SMTP: it names the fault of a server, and tries the login without sending. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import { CODES } from "../../src/check/codes.ts";
import type { Finding } from "../../src/check/finding.ts";
import { checkWayLogin, wayChecks } from "../../src/check/way_check.ts";
import { WAY_CODES } from "../../src/check/way_codes.ts";
import { mailClient } from "../../src/relay/mail_client.ts";
import type { Fault } from "../../src/sandbox/faults.ts";
import { createAuthority } from "../support/authority.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { TENANT } from "../support/logins.ts";
import { settingsOf } from "../support/settings.ts";
import { ACCOUNT, accountWith, tokenOf } from "../support/submissions.ts";
import { fetchToken } from "../support/tokens.ts";
import type { ProbeResult } from "../../src/smtp_client/mail_client.ts";
import { SmtpClient } from "../../src/smtp_client/smtp_client.ts";
import { noToken } from "../queue/queue_world.ts";

const EXCHANGE = "https://outlook.office365.com/.default";
const seen = new Set<string>();

describe("check of the ways out", () => {
  let cloud: CloudServer;
  let secure: CloudServer;
  let directory: string;
  before(async () => {
    cloud = await startCloud();
    directory = mkdtempSync(join(tmpdir(), "way-check-"));
    const authority = await createAuthority("Mail CA");
    writeFileSync(join(directory, "ca.pem"), authority.certificate);
    const certificate = await authority.issue({ addresses: ["127.0.0.1"] });
    secure = await startCloud({ exchange: { identity: { ...certificate, minVersion: "1.2" } } });
  });
  after(async () => {
    await cloud.close();
    await secure.close();
    rmSync(directory, { recursive: true });
  });

  async function check(
    environment: Record<string, string>,
    faults: readonly Fault[] = [],
    authorities: readonly string[] = [],
  ): Promise<readonly Finding[]> {
    const settings = settingsOf({ ALLOWED_TENANTS: TENANT, ...environment });
    const mail = mailClient(settings, authorities);
    for (const fault of faults) cloud.faults.add(fault);
    const findings: Finding[] = [];
    for (const one of wayChecks(settings, { mail, timeout: 2_000 })) {
      findings.push(...await one.run());
    }
    cloud.faults.clear();
    await mail.close();
    for (const { code } of findings) seen.add(code);
    return findings;
  }

  const exchange = async () => ({
    BACKEND: "exchange",
    EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
  });
  const codes = (findings: readonly Finding[]) => findings.map(({ code }) => code);

  /** Checks of a server with this fault. */
  const failing = ({ code, stage }: { code: string; stage: "greeting" | "STARTTLS" }) => {
    const conversation = { connections: 1, reused: false, tls: false, sent: 0 };
    const result = { type: "failed", code, stage, message: "no", ambiguous: false, conversation };
    const mail = { probe: () => Promise.resolve(result as ProbeResult) };
    return async (name: "smarthost" | "exchange") => {
      const settings = settingsOf({
        BACKEND: name,
        ALLOWED_TENANTS: TENANT,
        SMARTHOST_URL: "smtp://mail.example",
      });
      const [one] = wayChecks(settings, { mail, timeout: 1 });
      return (await one!.run())[0];
    };
  };

  it("says nothing where mail goes by Graph alone", async () => {
    assert.deepEqual(await check({}), []);
  });

  it("finds a sound server, and sends nothing", async () => {
    const [found, ...others] = await check(await exchange());
    assert.deepEqual([found?.code, others], ["way.ok", []]);
    assert.match(
      found!.what,
      /^exchange, 127\.0\.0\.1:\d+, takes mail without TLS, on this machine/,
    );
    assert.equal(cloud.inbox.list().length, 0);
    // For large messages alone as well.
    const { EXCHANGE_SMTP_URL } = await exchange();
    assert.deepEqual(codes(await check({ LARGE_MESSAGES: "exchange", EXCHANGE_SMTP_URL })), [
      "way.ok",
    ]);
  });

  it("names a server that cannot be reached", async () => {
    const environment = { BACKEND: "smarthost", SMARTHOST_URL: "smtp://127.0.0.1:9" };
    const [found] = await check(environment);
    assert.equal(found?.code, "way.unreachable");
    assert.match(found!.what, /^smarthost, 127\.0\.0\.1:9: ECONNREFUSED/);
    assert.match(found!.fix!, /SMARTHOST_URL/);
  });

  it("says what to set when the port begins in the other way", async () => {
    const SMARTHOST_URL = (await cloud.submissionUrl()).replace("smtp:", "smtps:");
    const [found] = await check({ BACKEND: "smarthost", SMARTHOST_URL });
    assert.equal(found?.code, "way.unreachable");
    assert.match(found!.fix!, /^the port begins without TLS: set SMARTHOST_URL to smtp:/);
    const silent = failing({ code: "ETIMEDOUT", stage: "greeting" });
    assert.match((await silent("exchange"))!.fix!, /needs smtps:\/\/ in EXCHANGE_SMTP_URL/);
  });

  it("says what to do about a certificate by what is wrong with it", async () => {
    const fix = async (code: string) => {
      const found = await failing({ code, stage: "STARTTLS" })("smarthost");
      assert.equal(found?.code, "way.certificate");
      return found!.fix!;
    };
    assert.match(await fix("CERT_HAS_EXPIRED"), /^have it renewed/);
    assert.match(await fix("ERR_TLS_CERT_ALTNAME_INVALID"), /^set SMARTHOST_URL to a name/);
    assert.match(await fix("DEPTH_ZERO_SELF_SIGNED_CERT"), /set EXTRA_CA_CERTS_FILEPATH/);
  });

  it("tries the ways that only an entry names, each once, if they are set up", async () => {
    const row = (id: string, backend: string) => ({
      id,
      columns: { tenant_id: TENANT, client_id: TENANT, backend },
    });
    const rows = [row("a", "graph,smarthost"), row("b", "smarthost"), row("c", "acs")];
    const settings = settingsOf({ SMARTHOST_URL: "smtp://127.0.0.1:9" });
    const mail = mailClient(settings, []);
    const tools = { mail, timeout: 2_000 };
    const findings: Finding[] = [];
    for (const one of wayChecks(settings, tools, () => Promise.resolve(rows))) {
      findings.push(...await one.run());
    }
    await mail.close();
    assert.deepEqual(codes(findings), ["way.unreachable"]);
    assert.match(findings[0]!.what, /^smarthost, 127\.0\.0\.1:9/);
  });

  it("names a certificate that is not trusted, and trusts a named authority", async () => {
    const environment = { BACKEND: "exchange", EXCHANGE_SMTP_URL: await secure.submissionUrl() };
    assert.deepEqual(codes(await check(environment)), ["way.certificate"]);
    const { readFileSync } = await import("node:fs");
    const authorities = [readFileSync(join(directory, "ca.pem"), "utf8")];
    const [found] = await check(environment, [], authorities);
    assert.equal(found?.code, "way.ok");
    assert.match(found!.what, /in TLS/);
  });

  it("names a server that refuses this machine, or cannot take mail now", async () => {
    const refusing: Fault = { on: "smtpConnect", status: 554, code: "5.7.1" };
    assert.deepEqual(codes(await check(await exchange(), [refusing])), ["way.refused"]);
    const busy: Fault = { on: "smtpConnect", status: 421, code: "4.3.2" };
    assert.deepEqual(codes(await check(await exchange(), [busy])), ["way.later"]);
  });

  it("names a wrong password of the relay, and a server without a login", async () => {
    const smarthost = {
      BACKEND: "smarthost",
      SMARTHOST_URL: await cloud.submissionUrl(),
      SMARTHOST_USERNAME: "relay@x.test",
      SMARTHOST_PASSWORD: "Wr0ng-wr0ng",
    };
    const wrong: Fault = {
      on: "smtpLogin",
      status: 535,
      code: "5.7.8",
      message: "no: Wr0ng-wr0ng",
    };
    const [found] = await check(smarthost, [wrong]);
    assert.equal(found?.code, "way.password");
    assert.doesNotMatch(JSON.stringify(found), /Wr0ng/);
    assert.match(found!.fix!, /SMARTHOST_USERNAME and SMARTHOST_PASSWORD/);
  });

  it("names a server without STARTTLS, and without a login that the relay can use", async () => {
    const settings = settingsOf({ BACKEND: "exchange", EXCHANGE_SMTP_URL: "smtp://mail.example" });
    const client = new SmtpClient({ name: "relay.test" });
    const answer = await client.probe(
      {
        hostname: "127.0.0.1",
        port: Number(new URL(await cloud.submissionUrl()).port),
        tls: "starttls",
        account: "a",
        limit: { connections: 1 },
      },
      { type: "none" },
      { timeout: 2_000 },
    );
    await client.close();
    const [check] = wayChecks(settings, {
      mail: { probe: () => Promise.resolve(answer) },
      timeout: 1,
    });
    const [noTls] = await check!.run();
    assert.equal(noTls?.code, "way.no-tls");
    const ready = {
      type: "ready",
      extensions: new Map([["AUTH", "LOGIN"]]),
      conversation: { connections: 1, reused: false, tls: true, sent: 0 },
    } as const;
    const [other] = wayChecks(settings, {
      mail: { probe: () => Promise.resolve(ready) },
      timeout: 1,
    });
    const [noAuth] = await other!.run();
    assert.equal(noAuth?.code, "way.no-auth");
    for (const code of ["way.no-tls", "way.no-auth"]) seen.add(code);
  });

  describe("with a login", () => {
    async function login(
      { faults = [], mailbox = "ann@x.test", scope = EXCHANGE, account = ACCOUNT }: {
        readonly faults?: readonly Fault[];
        readonly mailbox?: string | undefined;
        readonly scope?: string;
        readonly account?: Account;
      } = {},
      known = true,
    ): Promise<readonly Finding[]> {
      const settings = settingsOf(await exchange());
      const mail = mailClient(settings, []);
      for (const fault of faults) cloud.faults.add(fault);
      const authorization = accountWith(tokenOf(await fetchToken(cloud.authority, scope)));
      const findings = await checkWayLogin(
        { settings, account, authorization, mailbox: known ? mailbox : undefined },
        { mail, timeout: 2_000 },
      );
      cloud.faults.clear();
      await mail.close();
      for (const { code } of findings) seen.add(code);
      return findings;
    }

    it("proves the permission, without sending a message", async () => {
      const [found] = await login();
      assert.equal(found?.code, "way.ok");
      assert.match(found!.what, /after a login by XOAUTH2 as ann@x\.test/);
      assert.equal(cloud.inbox.list().length, 0);
    });

    it("names a missing permission, and the tenant's switch, which have other remedies", async () => {
      assert.deepEqual(codes(await login({ mailbox: "nobody@x.test" })), ["way.permission"]);
      const off: Fault = { on: "smtpLogin", status: 535, code: "5.7.139", message: "disabled" };
      assert.deepEqual(codes(await login({ faults: [off] })), ["way.switched-off"]);
      const busy: Fault = { on: "smtpLogin", status: 432, code: "4.3.2" };
      assert.deepEqual(codes(await login({ faults: [busy] })), ["way.later"]);
    });

    it("is not tried without a mailbox, nor for an account that goes another way", async () => {
      assert.deepEqual(codes(await login({}, false)), ["way.not-tried"]);
      assert.deepEqual(await login({ account: { ...ACCOUNT, backends: ["graph"] } }), []);
    });

    it("names Entra ID's refusal of a token for Exchange", async () => {
      const settings = settingsOf(await exchange());
      const mail = mailClient(settings, []);
      const authorization = accountWith(noToken("refused", "AADSTS500011"));
      const [found] = await checkWayLogin(
        { settings, account: ACCOUNT, authorization, mailbox: "ann@x.test" },
        { mail, timeout: 2_000 },
      );
      await mail.close();
      assert.equal(found?.code, "way.permission");
      assert.match(found!.what, /AADSTS500011/);
    });
  });

  it("has met each of its findings here", () => {
    assert.deepEqual([...seen].sort(), Object.keys(WAY_CODES).sort());
    assert(Object.keys(WAY_CODES).every((code) => code in CODES));
  });
});
