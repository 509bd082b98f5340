/** The findings of `check` about trusted networks, their account, and what binds it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { UNBOUND } from "../../src/submission/trusted_login.ts";
import {
  judgeNetworks,
  judgeTrustedLogin,
  judgeTrustedRefusal,
} from "../../src/check/trusted_findings.ts";
import { Networks } from "../../src/networks.ts";
import { reply } from "../../src/smtp/reply.ts";

describe("trusted networks", () => {
  const cases: readonly [list: string, gateways: string[] | undefined, codes: string[]][] = [
    ["10.20.0.0/16", ["172.17.0.1"], ["trusted.networks"]],
    ["172.16.0.0/12", ["172.17.0.1"], ["trusted.gateway"]],
    ["172.17.0.1", ["172.17.0.1"], ["trusted.gateway"]],
    ["172.17.0.2", ["172.17.0.1"], ["trusted.networks"]],
    ["fd00::/32", ["172.17.0.1", "fd00:0:1::1"], ["trusted.gateway"]],
    ["fd00::/32, 172.17.0.0/24", ["172.17.0.1", "fd00::1"], ["trusted.gateway", "trusted.gateway"]],
    ["10.20.0.0/16", [], ["trusted.networks"]],
    ["10.20.0.0/16", undefined, ["trusted.networks"]],
    ["127.0.0.0/8", undefined, ["trusted.loopback"]],
    ["10.20.0.0/16,127.0.0.53", ["10.20.0.1"], ["trusted.gateway", "trusted.loopback"]],
    ["::1", [], ["trusted.loopback"]],
    ["::/32", [], ["trusted.loopback"]],
  ];
  for (const [list, gateways, codes] of cases) {
    it(`${list} with ${gateways?.join(", ") ?? "unknown gateways"}: ${codes.join(", ")}`, () => {
      const found = judgeNetworks(Networks.parse(list)!, gateways);
      assert.deepEqual(found.map(({ code }) => code), codes);
    });
  }

  it("are named with the gateway that they contain, and the fix", () => {
    const [found] = judgeNetworks(Networks.parse("172.16.0.0/12")!, ["172.17.0.1"]);
    assert.match(
      found!.what,
      /^TRUSTED_NETWORKS 172\.16\.0\.0\/12 contains 172\.17\.0\.1, the gateway/,
    );
    assert.match(found!.fix!, /trusted_networks\.md/);
  });
});

describe("the account of trusted networks", () => {
  const ACCOUNT = { tenantId: "contoso.example", clientId: "an-app" };
  const name = { type: "lookup", id: "printers" } as const;

  it("is reported with what binds it", () => {
    const of = (fromEmail: string | undefined) =>
      judgeTrustedLogin(
        { ...ACCOUNT, ...(fromEmail === undefined ? {} : { fromEmail }) },
        ["Mail.Send", "Mail.ReadWrite"],
        true,
      ).map(({ code, what }) => [code, what.slice(what.indexOf("; it") + 5)]);
    assert.deepEqual(of("p@x.test"), [["trusted.account", "sends as p@x.test only"]]);
    assert.deepEqual(of(undefined), [[
      "trusted.account",
      "sends as those in ALLOWED_SENDERS only",
    ]]);
  });

  it("is reported with the permissions that its token lacks", () => {
    const codes = (roles: readonly string[] | undefined) =>
      judgeTrustedLogin(ACCOUNT, roles, true).map(({ code }) => code);
    assert.deepEqual(codes([]), ["trusted.account", "token.no-roles"]);
    assert.deepEqual(codes(["User.Read.All"]), ["trusted.account", "token.no-mail-send"]);
    assert.deepEqual(codes(["Mail.Send"]), ["trusted.account", "token.no-mail-readwrite"]);
    assert.deepEqual(codes(undefined), ["trusted.account"]);
  });

  const refusals: readonly ["refused" | "later", code: string, finding: string, fix: RegExp][] = [
    ["refused", UNBOUND, "trusted.unbound", /^set ALLOWED_SENDERS/],
    ["refused", "AADSTS7000215", "trusted.refused", /^set TRUSTED_PASSWORD to/],
    ["refused", "AADSTS7000222", "trusted.refused", /set TRUSTED_PASSWORD to its value$/],
    ["refused", "NO_ENTRY", "trusted.refused", /./],
    ["later", "ECONNREFUSED", "trusted.later", /./],
  ];
  for (const [type, code, expected, fix] of refusals) {
    it(`that gets ${code} is ${expected}, with a fix`, () => {
      const result = { type, code, reply: reply(550, "5.7.1", "No"), detail: "because" };
      const found = judgeTrustedRefusal(result, name);
      assert.equal(found.code, expected);
      assert.match(found.fix!, fix);
      assert.match(found.what, /because/);
    });
  }
});
