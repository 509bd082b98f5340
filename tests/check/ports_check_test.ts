// Ports: what each error of listening means, and which program has a port already.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { checkPorts, type PortTools, type WantedPort } from "../../src/check/ports_check.ts";
import type { HttpResponse } from "../../src/http/client.ts";

const SMTP: WantedPort = {
  setting: "SMTP_LISTEN",
  address: { hostname: "127.0.0.1", port: 25 },
};
const HTTP = { hostname: "127.0.0.1", port: 8026 };

function response(status: number, body: string): HttpResponse {
  return { type: "response", status, headers: new Map(), body: Buffer.from(body) };
}

/** Tools on a machine where listening fails with a code. */
function tools(code: string, readyz?: HttpResponse): PortTools & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    http: HTTP,
    listen() {
      throw Object.assign(new Error(code), { code });
    },
    get(url) {
      asked.push(url.href);
      const none = { type: "failure", sent: false, code: "ECONNREFUSED", message: "" } as const;
      return Promise.resolve(readyz ?? none);
    },
  };
}

const codes = async (given: PortTools, wanted: readonly WantedPort[] = [SMTP]) =>
  (await checkPorts(wanted, given)).map(({ code }) => code);

describe("a port that cannot be listened on", () => {
  const errors = [
    ["EACCES", "ports.privileged"],
    ["EPERM", "ports.privileged"],
    ["EADDRNOTAVAIL", "ports.address"],
    ["ENOTFOUND", "ports.address"],
    ["EMFILE", "ports.other"],
    ["EADDRINUSE", "ports.taken"],
  ] as const;
  for (const [code, expected] of errors) {
    it(`is ${expected} after ${code}`, async () => {
      assert.deepEqual(await codes(tools(code)), [expected]);
    });
  }

  it("is a warning if it is the default of HTTP_LISTEN: the relay starts without it", async () => {
    const http: WantedPort = { setting: "HTTP_LISTEN", address: HTTP, optional: true };
    for (const code of ["EADDRINUSE", "EADDRNOTAVAIL"]) {
      assert.deepEqual(await codes(tools(code), [http]), ["ports.http-taken"]);
    }
    const set: WantedPort = { ...http, optional: false };
    assert.deepEqual(await codes(tools("EADDRINUSE"), [set]), ["ports.taken"]);
  });

  it("below 1024 names the privilege that it needs", async () => {
    const [finding] = await checkPorts([SMTP], tools("EACCES"));
    assert.match(finding!.what, /^SMTP_LISTEN 127\.0\.0\.1:25: .*CAP_NET_BIND_SERVICE/);
  });
});

describe("a port in use", () => {
  const readyz = (ready: boolean, listening: unknown) =>
    response(ready ? 200 : 503, JSON.stringify({ ready, parts: { smtp: { ready, listening } } }));

  it("is the relay's own if /readyz names it", async () => {
    const asked = tools("EADDRINUSE", readyz(true, ["[::]:25", "[::]:465"]));
    assert.deepEqual(await codes(asked), ["ports.relay"]);
    assert.deepEqual(asked.asked, ["http://127.0.0.1:8026/readyz"]);
  });

  it("has another finding when that relay is not ready", async () => {
    const found = await codes(tools("EADDRINUSE", readyz(false, ["0.0.0.0:25"])));
    assert.deepEqual(found, ["ports.relay-not-ready"]);
  });

  it("of HTTP_LISTEN is the relay's own if it responds like a relay", async () => {
    const http: WantedPort = { setting: "HTTP_LISTEN", address: HTTP };
    assert.deepEqual(await codes(tools("EADDRINUSE", readyz(true, [])), [http]), ["ports.relay"]);
  });

  const strangers: readonly [name: string, response: HttpResponse][] = [
    ["a relay that listens elsewhere", readyz(true, ["[::]:2525"])],
    ["a page of HTML", response(200, "<h1>It works!</h1>")],
    ["JSON of another program", response(200, '{"status":"ok"}')],
    ["null", response(200, "null")],
    ["a list of the wrong kind", readyz(true, "25")],
  ];
  for (const [name, given] of strangers) {
    it(`is another program's if /readyz shows ${name}`, async () => {
      assert.deepEqual(await codes(tools("EADDRINUSE", given)), ["ports.taken"]);
    });
  }

  it("may be the relay's own if HTTP_LISTEN is off, which is reported", async () => {
    const { listen, get } = tools("EADDRINUSE");
    const [finding] = await checkPorts([SMTP], { listen, get, http: undefined });
    assert.equal(finding?.code, "ports.taken");
    assert.match(finding!.what, /or by a running relay, which HTTP_LISTEN=off keeps from being/);
  });

  it("on all addresses is tested at the loopback", async () => {
    const { listen, get, asked } = tools("EADDRINUSE");
    await checkPorts([SMTP], { listen, get, http: { hostname: "::", port: 8026 } });
    assert.deepEqual(asked, ["http://127.0.0.1:8026/readyz"]);
  });
});

describe("free ports", () => {
  it("are all released again, also when one of them is not free", async () => {
    let open = 0;
    const listen = (_: string, port: number) => {
      if (port === 3) throw Object.assign(new Error("EACCES"), { code: "EACCES" });
      open++;
      return { close: () => void open-- };
    };
    const wanted = [1, 2, 3].map((port) =>
      ({ setting: "SMTP_LISTEN", address: { hostname: "::", port } }) as const
    );
    const { get } = tools("");
    const found = await checkPorts(wanted, { listen, get, http: undefined });
    assert.deepEqual(found.map(({ code }) => code), [
      "ports.free",
      "ports.free",
      "ports.privileged",
    ]);
    assert.equal(open, 0);
  });
});
