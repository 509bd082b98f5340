// How clients will judge a certificate and its chain: one fault, one finding.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { before, describe, it } from "node:test";
import { validityOf } from "../../src/certificates/describe.ts";
import { judgeChain } from "../../src/check/chain_findings.ts";
import { type Made, make, type Wishes } from "./certificates.ts";

const HOST = "smtp.example.com";
const NOW = Date.now();
const DAY_MS = 86_400_000;

describe("a chain", () => {
  let root: Made;
  let intermediate: Made;
  before(async () => {
    root = await make({ name: "Root", ca: true, from: -100, until: 1000 });
    intermediate = await make({
      name: "Intermediate",
      ca: true,
      issuer: root,
      from: -100,
      until: 500,
    });
  });

  const leaf = (wishes: Partial<Wishes> = {}) =>
    make({ name: HOST, issuer: intermediate, names: [HOST], ...wishes });
  const judge = (parts: readonly Made[], now = NOW, authorities = [root]) =>
    judgeChain(parts.map(({ certificate }) => certificate).join(""), {
      now,
      named: "it",
      hostname: HOST,
      authorities: () => authorities.map(({ certificate }) => certificate),
    }).map(({ code, what }) => ({ code, what }));
  const codes = (...args: Parameters<typeof judge>) => judge(...args).map(({ code }) => code);

  it("in order has no finding, with or without the root in the file", async () => {
    const good = await leaf();
    assert.deepEqual(judge([good, intermediate]), []);
    assert.deepEqual(judge([good, intermediate, root]), []);
    // With the root in the file, the chain is complete even if the root is unknown.
    assert.deepEqual(judge([good, intermediate, root], NOW, []), []);
  });

  it("without its intermediate certificate is incomplete, and the missing one is named", async () => {
    assert.deepEqual(judge([await leaf()]), [{
      code: "certificate.chain-incomplete",
      what:
        'it comes from "CN=Intermediate", which is neither in the file nor known to this machine',
    }]);
  });

  it("with an intermediate certificate, up to an unknown root, may be of a private authority", async () => {
    const found = judgeChain((await leaf()).certificate + intermediate.certificate, {
      now: NOW,
      named: "it",
      hostname: HOST,
      authorities: () => [],
    });
    assert.deepEqual(found.map(({ code }) => code), ["certificate.chain-incomplete"]);
    assert.equal(
      found[0]!.what,
      'it has a chain that ends with "CN=Intermediate", from "CN=Root", which is not known to this machine',
    );
    assert.match(found[0]!.fix!, /^if that is an authority of your own.*EXTRA_CA_CERTS_FILEPATH/);
  });

  it("needs no intermediate if the machine knows the issuer", async () => {
    assert.deepEqual(judge([await leaf()], NOW, [intermediate]), []);
  });

  it("is not completed by an issuer of the same name with another key", async () => {
    const namesake = await make({ name: "Intermediate", issuer: root });
    assert.ok(codes([await leaf(), namesake]).includes("certificate.chain-incomplete"));
  });

  it("in the wrong order, or with an unrelated certificate, has a finding", async () => {
    const good = await leaf();
    const stranger = await make({ name: "Stranger" });
    assert.deepEqual(codes([good, root, intermediate]), ["certificate.chain-order"]);
    assert.deepEqual(judge([good, stranger, intermediate]), [{
      code: "certificate.chain-order",
      what: "it has a certificate in it that does not belong to the chain, number 2",
    }]);
  });

  it("with an intermediate certificate outside its validity period has a finding", async () => {
    const old = await make({ name: "Old", ca: true, issuer: root, from: -100, until: -1 });
    assert.deepEqual(codes([await leaf({ issuer: old }), old]), ["certificate.chain-expired"]);
  });

  it("of one self-signed certificate has a finding", async () => {
    const own = await make({ name: HOST, names: [HOST] });
    assert.deepEqual(codes([own]), ["certificate.self-signed"]);
  });

  describe("time", () => {
    const at = async (days: number, wishes: Partial<Wishes> = {}) =>
      judge([await leaf(wishes), intermediate], NOW + days * DAY_MS);

    it("that is over is reported with its age", async () => {
      const [found] = await at(95);
      assert.equal(found?.code, "certificate.expired");
      assert.match(found!.what, /^it expired on \d{4}-\d\d-\d\d, [45] days ago$/);
    });

    it("that has not begun is reported with its beginning", async () => {
      const [found] = await at(-50, { from: -1 });
      assert.equal(found?.code, "certificate.not-yet-valid");
    });

    it("that ends is warned about in the last two weeks, not before", async () => {
      assert.deepEqual(await at(75), []);
      const [found] = await at(77);
      assert.equal(found?.code, "certificate.expires-soon");
      assert.match(found!.what, /in 1[23] days$/);
    });

    it("is counted as in the relay's log, with the same warnings", async () => {
      const states = { expired: "expired", early: "not-yet-valid", soon: "expires-soon" };
      for (const until of [6, 90]) {
        const one = await leaf({ until });
        for (const days of [-3, 0, 2, 5.9, 6.1, 76.5, 89.9, 90.1, 92.5]) {
          const now = NOW + days * DAY_MS;
          const of = validityOf(new X509Certificate(one.certificate), now);
          const [found, ...more] = judge([one, intermediate], now);
          assert.deepEqual(more, []);
          const expected = of.state === "good" ? undefined : `certificate.${states[of.state]}`;
          assert.equal(found?.code, expected, `${days} of ${until}`);
          const count = /(\d+) days?\b/.exec(found?.what ?? "")?.[1];
          if (count !== undefined) assert.equal(Number(count), Math.abs(of.days));
        }
      }
    });

    it("of a self-signed certificate is warned about too", async () => {
      const own = await make({ name: HOST, names: [HOST], until: 4.5 });
      assert.deepEqual(codes([own]), ["certificate.expires-soon", "certificate.self-signed"]);
    });
  });

  describe("names", () => {
    const named = async (names: readonly string[]) => judge([await leaf({ names }), intermediate]);

    // RFC 6125 §6.4.3: the asterisk is one whole label.
    for (const names of [[HOST], ["SMTP.example.com"], ["*.example.com"], ["other.org", HOST]]) {
      it(`of the server: ${names.join(", ")}`, async () =>
        assert.deepEqual(await named(names), []));
    }
    for (const names of [["example.com"], ["*.com"], ["other.example.com"]]) {
      it(`of another one: ${names.join(", ")}`, async () => {
        const [found] = await named(names);
        assert.equal(found?.code, "certificate.name");
        assert.ok(found!.what.includes(names[0]!) && found!.what.includes(HOST), found!.what);
      });
    }

    it("are compared with the machine's name if SERVER_HOSTNAME is not set, which is reported", async () => {
      const [found] = judgeChain((await leaf()).certificate, {
        now: NOW,
        named: "it",
        hostname: "vm",
        unnamed: true,
        authorities: () => undefined,
      });
      assert.equal(
        found?.what,
        `it is for ${HOST}, not for the machine's name "vm" (SERVER_HOSTNAME is not set)`,
      );
    });

    it("are shown up to five", async () => {
      const [found] = await named(["a.org", "b.org", "c.org", "d.org", "e.org", "f.org", "g.org"]);
      assert.match(found!.what, /a\.org, b\.org, c\.org, d\.org, e\.org and 2 more/);
    });

    it("may be missing: the common name no longer counts (RFC 9525 §2)", async () => {
      const bare = await make({ name: HOST, issuer: intermediate });
      assert.deepEqual(codes([bare, intermediate]), ["certificate.no-names"]);
    });
  });

  it("with a short RSA key has a finding", async () => {
    assert.deepEqual(codes([await leaf({ bits: 1024 }), intermediate]), ["certificate.weak-key"]);
    assert.deepEqual(codes([await leaf({ bits: 2048 }), intermediate]), []);
  });
});
