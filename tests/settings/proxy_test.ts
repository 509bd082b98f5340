// HTTPS_PROXY and NO_PROXY as other programs read them, and what is never sent to a proxy.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { loadSettings } from "../../src/settings/load.ts";
import type { Environment } from "../../src/settings/setting.ts";
import { isExempt, proxyOf } from "../../src/settings/proxy.ts";

function load(environment: Environment) {
  const loaded = loadSettings(environment);
  assert(loaded.type === "settings", JSON.stringify(loaded));
  return loaded;
}

function problems(environment: Environment): readonly string[] {
  const loaded = loadSettings(environment);
  assert(loaded.type === "problems", "no problem was found");
  return loaded.problems;
}

/** `host port user:password` */
function proxy(environment: Environment): string | undefined {
  const { HTTPS_PROXY } = load(environment).settings;
  if (HTTPS_PROXY === undefined) return undefined;
  const { hostname, port, authorization } = proxyOf(HTTPS_PROXY);
  const basic = authorization?.reveal().replace(/^Basic /, "") ?? "";
  return `${hostname} ${port} ${Buffer.from(basic, "base64").toString("utf8")}`.trim();
}

describe("HTTPS_PROXY", () => {
  const GOOD: readonly (readonly [string, string])[] = [
    ["http://proxy.example.com:3128", "proxy.example.com 3128"],
    ["http://proxy.example.com:3128/", "proxy.example.com 3128"],
    ["HTTP://Proxy.Example.COM:3128", "proxy.example.com 3128"],
    ["http://proxy.example.com", "proxy.example.com 80"],
    ["proxy.example.com:3128", "proxy.example.com 3128"],
    ["10.0.0.1:3128", "10.0.0.1 3128"],
    ["http://[2001:db8::1]:3128", "2001:db8::1 3128"],
    ["http://relay:s3cret@proxy:3128", "proxy 3128 relay:s3cret"],
    ["relay:s3cret@proxy:3128", "proxy 3128 relay:s3cret"],
    ["http://relay@proxy:3128", "proxy 3128 relay:"],
    ["http://dom%5Cme:p%40s%3As%2F%23%20%C3%B6@proxy", "proxy 80 dom\\me:p@s:s/# ö"],
  ];
  for (const [url, read] of GOOD) {
    it(`${url} is ${read}`, () => assert.equal(proxy({ HTTPS_PROXY: url }), read));
  }

  const BAD = [
    "https://proxy:443",
    "socks5://proxy:1080",
    "http://proxy:3128/path",
    "http://proxy:3128?x",
    "http://proxy:99999",
    "http://proxy:0",
    "http://",
    "http://a b:1",
    "http://relay:pa/ss-hunter2@proxy:3128",
    "http://re%3Alay:hunter2@proxy",
    "http://relay:%0d%0ahunter2@proxy",
    "http://relay:%ff-hunter2@proxy",
  ];
  for (const url of BAD) {
    it(`${url} stops the start, in one line that does not show it`, () => {
      const [problem, ...more] = problems({ HTTPS_PROXY: url });
      assert.deepEqual(more, []);
      assert.match(problem!, /^HTTPS_PROXY must be http:\/\/host:port or /);
      assert.doesNotMatch(problem!, /hunter2|\n/);
    });
  }

  it("may be written in lower case; in capitals it goes first", () => {
    assert.equal(proxy({ https_proxy: "http://lower:1" }), "lower 1");
    assert.equal(
      proxy({ https_proxy: "http://lower:1", HTTPS_PROXY: "http://upper:2" }),
      "upper 2",
    );
    assert.equal(proxy({ https_proxy: "http://lower:1", HTTPS_PROXY: "" }), "lower 1");
  });

  it("is never shown: there may be a password in it", () => {
    const loaded = load({ HTTPS_PROXY: "http://relay:hunter2@proxy:3128" });
    assert.doesNotMatch(inspect(loaded, { depth: 9 }) + JSON.stringify(loaded), /hunter2/);
    const parsed = proxyOf(loaded.settings.HTTPS_PROXY!);
    const pair = Buffer.from("relay:hunter2").toString("base64");
    assert(!(inspect(parsed) + JSON.stringify(parsed)).includes(pair));
  });

  it("is asked for where only HTTP_PROXY is set, which has no effect", () => {
    for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]) {
      const { warnings } = load({ [name]: "http://proxy:3128" });
      assert.deepEqual(warnings, [
        `${name} has no effect, because everything goes out by https: set HTTPS_PROXY`,
      ]);
      assert.deepEqual(
        load({ [name]: "http://proxy:1", HTTPS_PROXY: "http://proxy:1" }).warnings,
        [],
      );
    }
  });
});

describe("NO_PROXY", () => {
  const exempt = (list: string, hostname: string, port = 443) =>
    isExempt(load({ NO_PROXY: list }).settings.NO_PROXY?.exemptions ?? [], hostname, port);

  const CASES: readonly (readonly [list: string, yes: readonly string[], no: readonly string[]])[] =
    [
      ["", [], ["graph.microsoft.com", "10.0.0.1", "2001:db8::1"]],
      ["*", ["graph.microsoft.com", "10.0.0.1", "2001:db8::1"], []],
      [
        "example.com",
        ["example.com", "a.example.com", "A.B.EXAMPLE.COM", "example.com."],
        ["badexample.com", "example.com.evil.test", "com"],
      ],
      [".example.com", ["example.com", "a.example.com"], ["badexample.com"]],
      ["*.example.com", ["example.com", "a.example.com"], ["badexample.com"]],
      ["Example.COM.", ["a.example.com"], ["example.org"]],
      ["a.test, b.test c.test;,", ["a.test", "b.test", "c.test"], ["d.test"]],
      ["10.0.0.1", ["10.0.0.1", "::ffff:10.0.0.1"], ["10.0.0.2", "x.10.0.0.1.test"]],
      ["10.0.0.0/8", ["10.1.2.3"], ["11.0.0.1", "a.test", "fd00::1"]],
      ["0.0.0.0/0", ["1.2.3.4"], ["fd00::1"]],
      // Bun takes 10.0.0.1 for ::ffff:10.0.0.1, which is in this network.
      ["::/64", ["::2"], ["10.0.0.1"]],
      ["2001:db8::1", ["2001:db8::1", "2001:0db8:0::1"], ["2001:db8::2"]],
      ["[2001:db8::1]", ["2001:db8::1"], ["2001:db8::2"]],
      ["fd00::/8", ["fd12::1"], ["fe00::1", "10.0.0.1"]],
    ];
  for (const [list, yes, no] of CASES) {
    it(`${JSON.stringify(list)} exempts [${yes}] and not [${no}]`, () => {
      for (const host of yes) assert.equal(exempt(list, host), true, host);
      for (const host of no) assert.equal(exempt(list, host), false, host);
    });
  }

  for (
    const [list, host] of [
      ["example.com:8443", "a.example.com"],
      ["10.0.0.1:8443", "10.0.0.1"],
      ["[2001:db8::1]:8443", "2001:db8::1"],
    ] as const
  ) {
    it(`${list} means that port only`, () => {
      assert.equal(exempt(list, host, 8443), true);
      assert.equal(exempt(list, host, 443), false);
    });
  }

  for (
    const list of [
      "10.0.0.0/33",
      "fd00::/129",
      "10.0.0",
      "192.168.*",
      "http://a.test",
      "a.test:99999",
      "a..test",
      "[a.test]",
      "a.test/8",
      "ok.test,!",
      "<local>",
    ]
  ) {
    it(`${list} is for other programs: it exempts nothing, and is reported if there is a proxy`, () => {
      assert.deepEqual(load({ NO_PROXY: list }).warnings, []);
      const { settings, warnings } = load({ NO_PROXY: list, HTTPS_PROXY: "http://p.test:3128" });
      const unread = list.split(",").at(-1)!;
      assert.deepEqual(warnings, [
        `NO_PROXY ${JSON.stringify(unread)} is not a name, address or network: it has no effect`,
      ]);
      const { exemptions } = settings.NO_PROXY!;
      assert.equal(exemptions.length, list.startsWith("ok.test") ? 1 : 0);
    });
  }

  it("shows no password of a proxy that stands in it by mistake", () => {
    const NO_PROXY = "a.test,http://user:hun@ter/2@proxy.test:8080";
    const { warnings } = load({ NO_PROXY, HTTPS_PROXY: "http://p.test:3128" });
    assert.match(warnings.join(), /^NO_PROXY "http:\/\/user:…@proxy\.test:8080" is not a name/);
  });

  it("may be written in lower case", () => {
    assert.equal(load({ no_proxy: "a.test" }).settings.NO_PROXY!.exemptions.length, 1);
  });

  for (
    const [host, why] of [
      ["localhost", "this machine"],
      ["127.0.0.1", "this machine"],
      ["127.9.9.9", "this machine"],
      ["::1", "this machine"],
      ["169.254.169.254", "where Azure gives out identities"],
      ["fe80::1", "this link"],
    ] as const
  ) {
    it(`is not needed for ${host}: ${why}`, () => assert.equal(exempt("", host), true));
  }
});
