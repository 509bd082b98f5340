/** Health for probes, and the password before everything else (RFC 7617). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { type Context, Hono } from "hono";
import {
  type HttpOptions,
  type HttpService,
  type Readiness,
  serveHttp,
} from "../../src/observe/http.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { Secret } from "../../src/secret.ts";

const LISTEN = { hostname: "127.0.0.1", port: 0 };
const PASSWORD = "s3cret: Grüße";

function pages(): Hono {
  const app = new Hono();
  app.get("/", (context) => context.text("a page"));
  app.post("/", (context) => context.text("posted"));
  app.get("/graph/x", (context) => context.text("imitated"));
  return app;
}

async function withHttp(
  options: Partial<HttpOptions> & {
    readonly readiness?: Readiness;
    readonly unlocked?: readonly string[];
  },
  test: (
    get: (path: string, init?: RequestInit) => Promise<Response>,
    server: { readonly port: number; readonly http: HttpService },
  ) => Promise<void>,
): Promise<void> {
  const { readiness = () => ({}), unlocked = [], ...others } = options;
  const http = await serveHttp({ listen: LISTEN, ...others });
  http.mount(pages(), unlocked);
  http.reportReadiness(readiness);
  const { port } = http.addresses[0]!;
  try {
    await test((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init), { port, http });
  } finally {
    await http.close();
  }
}

function basic(user: string, password: string): RequestInit {
  const credentials = Buffer.from(`${user}:${password}`, "utf8").toString("base64");
  return { headers: { Authorization: `Basic ${credentials}` } };
}

describe("GET /healthz", () => {
  it("is 200 while the process works, whether it is ready or not", () =>
    withHttp({ readiness: () => ({ smtp: { ready: false } }) }, async (get) => {
      const response = await get("/healthz");
      assert.equal(response.status, 200);
      assert.equal(await response.text(), "ok\n");
    }));
});

describe("pages", () => {
  it("can be mounted on a server that has answered requests already", () =>
    withHttp({}, async (get, { http }) => {
      assert.equal((await get("/late")).status, 404);
      http.mount(new Hono().get("/late", (context) => context.text("a later page")));
      assert.equal(await (await get("/late")).text(), "a later page");
      assert.equal(await (await get("/")).text(), "a page");
    }));

  it("answer 404 in their own words, whatever is mounted beside them", () =>
    withHttp({}, async (get, { http }) => {
      const missing = async (context: Context) =>
        context.json({ error: `no ${await context.req.text()}` }, 404);
      http.mount(new Hono().post("/messages", missing));
      http.mount(new Hono().all("*", (context) => context.text("all the rest")));
      const response = await get("/messages", { method: "POST", body: "message 7" });
      assert.equal(response.status, 404);
      assert.deepEqual(await response.json(), { error: "no message 7" });
      assert.equal(await (await get("/other")).text(), "all the rest");
    }));
});

describe("GET /readyz", () => {
  it("is 503 until somebody reports that the relay is ready", async () => {
    const http = await serveHttp({ listen: LISTEN });
    const { port } = http.addresses[0]!;
    const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    assert.equal(await ready(), 503);
    http.reportReadiness(() => ({ smtp: { ready: true } }));
    assert.equal(await ready(), 200);
    await http.close();
  });

  it("is 200 when each part is ready, with each part's state as JSON", () => {
    const parts = { smtp: { ready: true, connections: 3 }, tls: { ready: true, source: "file" } };
    return withHttp({ readiness: () => parts }, async (get) => {
      const response = await get("/readyz");
      assert.equal(response.status, 200);
      assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
      assert.deepEqual(await response.json(), { ready: true, parts });
    });
  });

  it("is 503 as long as one part is not, and asks anew each time", () => {
    let ready = false;
    return withHttp(
      { readiness: () => ({ tls: { ready: true }, smtp: { ready } }) },
      async (get) => {
        const response = await get("/readyz");
        assert.equal(response.status, 503);
        assert.deepEqual(await response.json(), {
          ready: false,
          parts: { tls: { ready: true }, smtp: { ready: false } },
        });
        ready = true;
        const later = await get("/readyz");
        assert.equal(later.status, 200);
        await later.body?.cancel();
      },
    );
  });
});

describe("HTTP_PASSWORD", () => {
  const locked = { password: new Secret(PASSWORD), unlocked: ["/graph/"] };

  it("is asked for by the pages, with a challenge (RFC 7617 §2)", () =>
    withHttp(locked, async (get) => {
      for (const path of ["/", "/missing", "/graph", "/graphs/x", "/healthz/x", "/readyz/"]) {
        const response = await get(path);
        assert.equal(response.status, 401, path);
        assert.match(response.headers.get("www-authenticate") ?? "", /^Basic realm="/);
        assert(!(await response.text()).includes("a page"));
      }
      const posted = await get("/", { method: "POST" });
      assert.equal(posted.status, 401);
      await posted.body?.cancel();
    }));

  it("opens the pages to any user name, and only whole", () =>
    withHttp(locked, async (get) => {
      for (const user of ["", "admin", "Jürgen"]) {
        const response = await get("/", basic(user, PASSWORD));
        assert.equal(await response.text(), "a page");
      }
      for (const wrong of ["", "s3cret", `${PASSWORD} `, PASSWORD.toUpperCase(), `x${PASSWORD}`]) {
        const response = await get("/", basic("admin", wrong));
        assert.equal(response.status, 401, wrong);
        await response.body?.cancel();
      }
      const bearer = await get("/", {
        headers: { Authorization: `Bearer ${PASSWORD.slice(0, 6)}` },
      });
      assert.equal(bearer.status, 401);
      await bearer.body?.cancel();
    }));

  it("is not found out by guesses: an address has 20 a minute, then not even the right one opens", () => {
    const told: string[] = [];
    const clock = { now: () => 0 };
    const guard = { clock, limited: (address: string) => void told.push(address) };
    const listen = { hostname: "0.0.0.0", port: 0 };
    return withHttp(
      { ...locked, listen, guard, readiness: () => ({ smtp: { ready: true } }) },
      async (get) => {
        const statusOf = async (path: string, password: string) => {
          const response = await get(path, basic("admin", password));
          await response.body?.cancel();
          return response.status;
        };
        // Off the loopback, /readyz has its details with the password only, and must not tell it.
        for (let i = 0; i < 10; i++) assert.equal(await statusOf("/readyz", `guess ${i}`), 200);
        const none = await get("/");
        assert.equal(none.status, 401, "no guess");
        await none.body?.cancel();
        for (let i = 0; i < 9; i++) assert.equal(await statusOf("/", `guess ${i}`), 401);
        clock.now = () => 59_000;
        assert.equal(await statusOf("/metrics", "guess"), 401);
        const limited = await get("/", basic("admin", PASSWORD));
        assert.deepEqual([limited.status, limited.headers.get("retry-after")], [429, "60"]);
        await limited.body?.cancel();
        assert.equal(await statusOf("/healthz", "guess"), 200);
        assert.equal(await statusOf("/readyz", "guess"), 200);
        assert.deepEqual(told, ["127.0.0.1"]);
        clock.now = () => 62_000;
        assert.equal(await statusOf("/", PASSWORD), 200);
        for (let i = 0; i < 30; i++) assert.equal(await statusOf("/", `guess ${i}`), 401);
        assert.equal(
          await statusOf("/", PASSWORD),
          200,
          "where it was right before, others guess in vain",
        );
      },
    );
  });

  it("is not asked for by health and readiness, which probes read", () =>
    withHttp(locked, async (get) => {
      for (const path of ["/healthz", "/readyz"]) {
        const response = await get(path);
        assert.equal(response.status, 200);
        await response.body?.cancel();
      }
    }));

  it("is not asked for under the unlocked prefixes, and no path steps out of them", () =>
    withHttp(locked, async (get, { port }) => {
      assert.equal(await (await get("/graph/x")).text(), "imitated");
      // As no client of good manners writes them.
      for (
        const path of ["/graph/../", "/graph/%2e%2e/", "/graph/..%2f", "//graph/x", "/graph/\\../"]
      ) {
        assert(!(await raw(port, path)).includes("a page"), path);
      }
    }));

  it("is not asked for where none is set", () =>
    withHttp({}, async (get) => {
      assert.equal(await (await get("/")).text(), "a page");
    }));
});

describe("the HTTP side", () => {
  it("refuses a Host that no address can be made of (RFC 9112 §3.2), and is no proxy", () =>
    withHttp({}, async (_, { port }) => {
      for (const host of ["localhost/metrics?", "x@localhost", "a b", "localhost:99999", "[::1"]) {
        assert.match(await ask(port, "/", host), /^HTTP\/1\.1 400 /, host);
      }
      const answer = await sent(
        port,
        "CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      );
      assert.doesNotMatch(answer, /^HTTP\/1\.1 2/);
    }));

  it("answers requests one after another on a connection, and keeps no large body", () =>
    withHttp({}, async (_, { port }) => {
      const get = "GET / HTTP/1.1\r\nHost: localhost\r\n";
      const both = await sent(port, `${get}\r\n${get}Connection: close\r\n\r\n`);
      assert.equal(both.match(/a page/g)?.length, 2);
      const body = "x".repeat(100_000);
      const fields = `Host: localhost\r\nContent-Length: ${body.length}\r\nConnection: close\r\n`;
      const posted = await sent(port, `POST / HTTP/1.1\r\n${fields}\r\n${body}`);
      assert.match(posted, /^HTTP\/1\.1 (?:200|413) /);
    }));

  it("says why it cannot listen", () =>
    withHttp({}, async (_, { port }) => {
      await assert.rejects(
        serveHttp({ listen: { hostname: "127.0.0.1", port } }),
        { code: "EADDRINUSE" },
      );
    }));

  it("closes also while a stream is open", async () => {
    const app = new Hono();
    app.get("/stream", () =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("first"));
          },
        }),
      ));
    const http = await serveHttp({ listen: LISTEN });
    http.mount(app);
    const { port } = http.addresses[0]!;
    const response = await fetch(`http://127.0.0.1:${port}/stream`);
    const reader = response.body!.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "first");
    await http.close();
    // Either an end or an error: but no more waiting.
    await reader.read().catch(() => {});
    await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
  });
});

/** What a browser sends that a page has led here (RFC 9110 §7.2). */
function ask(port: number, path: string, host: string, password?: string): Promise<string> {
  const credentials = Buffer.from(`x:${password}`, "utf8").toString("base64");
  const field = password === undefined ? "" : `Authorization: Basic ${credentials}\r\n`;
  return raw(port, path, `Host: ${host}\r\n${field}`);
}

const PARTS = {
  smtp: { ready: true, connections: 3, listening: ["192.0.2.1:25"] },
  tls: { ready: true, source: "file", expires: "2026-12-23T09:24:00.000Z" },
  table: { ready: true, answers: false, code: "TableNotFound" },
};

describe("GET /metrics", () => {
  it("reports the length of each page, which is garbage once it is sent", async () => {
    const lengths: number[] = [];
    const garbage = (characters: number) => void lengths.push(characters);
    await withHttp({ metrics: new Metrics(), garbage }, async (get) => {
      const page = await (await get("/metrics")).text();
      assert.deepEqual(lengths, [page.length]);
      await get("/");
      assert.equal(lengths.length, 1);
    });
  });
});

describe("Host on the loopback (DNS rebinding)", () => {
  const metrics = new Metrics();
  const options = { readiness: () => PARTS, metrics, names: ["relay.example.com"] };
  const OWN = [
    "localhost",
    "LocalHost:8026",
    "localhost.",
    "127.0.0.1:8026",
    "127.8.9.10",
    "[::1]:8026",
    "192.0.2.1:8026",
    "relay.example.com",
    "Relay.Example.COM:8026",
  ];
  const FOREIGN = [
    "evil.example",
    "evil.example:8026",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.example:80",
    "relay.example.com.evil.example",
    "xlocalhost",
  ];

  for (const host of OWN) {
    it(`may be ${host}`, () =>
      withHttp(options, async (_, { port }) => {
        for (const path of ["/", "/metrics", "/readyz", "/healthz"]) {
          assert.match(await ask(port, path, host), /^HTTP\/1\.1 200 /, path);
        }
      }));
  }

  for (const host of FOREIGN) {
    it(`must not be ${host}: another site's page reads nothing`, () =>
      withHttp(options, async (_, { port }) => {
        for (const path of ["/", "/metrics", "/readyz", "/missing"]) {
          const heard = await ask(port, path, host);
          assert.match(heard, /^HTTP\/1\.1 403 /, path);
          assert.doesNotMatch(heard, /a page|192\.0\.2\.1|smtp_oauth_relay/);
        }
        // It says nothing, and probes come under any name.
        assert.match(await ask(port, "/healthz", host), /^HTTP\/1\.1 200 [^]*\r\n\r\n[^]*ok\n/);
      }));
  }

  it("may be any name with the password, which no other site has", () =>
    withHttp({ ...options, password: new Secret(PASSWORD) }, async (_, { port }) => {
      for (const path of ["/", "/metrics", "/readyz"]) {
        assert.match(await ask(port, path, "proxy.example", PASSWORD), /^HTTP\/1\.1 200 /, path);
        assert.match(await ask(port, path, "proxy.example", "wrong"), /^HTTP\/1\.1 403 /, path);
      }
    }));

  it("is looked at by the unlocked pages themselves", () =>
    withHttp({ ...options, unlocked: ["/graph/"] }, async (_, { port }) => {
      assert.match(await ask(port, "/graph/x", "relay-1.example"), /imitated/);
    }));
});

describe("a probe without Host", () => {
  const status = async (port: number, version: string, path: string, fields = "") =>
    /^HTTP\/1\.1 (\d+) /.exec(await raw(port, path, fields, version))?.[1];

  for (const hostname of ["127.0.0.1", "0.0.0.0"]) {
    const options = {
      listen: { hostname, port: 0 },
      metrics: new Metrics(),
      password: new Secret(PASSWORD),
    };
    it(`is answered in HTTP/1.0, as haproxy's httpchk sends it, on ${hostname}`, () =>
      withHttp({ ...options, readiness: () => PARTS }, async (_, { port, http }) => {
        assert.match(await raw(port, "/healthz", "", "1.0"), /^HTTP\/1\.1 200 [^]*\r\n\r\nok\n$/);
        assert.match(await raw(port, "/readyz", "", "1.0"), /^HTTP\/1\.1 200 [^]*"ready":true/);
        http.reportReadiness(() => ({ smtp: { ready: false } }));
        assert.equal(await status(port, "1.0", "/readyz"), "503");
      }));

    it(`opens no page, with or without the password, on ${hostname}`, () =>
      withHttp(options, async (_, { port }) => {
        const credentials = Buffer.from(`x:${PASSWORD}`, "utf8").toString("base64");
        for (const path of ["/", "/metrics", "/missing", "/readyz/", "/readyz/../metrics"]) {
          for (const fields of ["", `Authorization: Basic ${credentials}\r\n`]) {
            assert.equal(await status(port, "1.0", path, fields), "400", path);
          }
        }
      }));

    it(`is refused in HTTP/1.1 (RFC 9112 §3.2), on ${hostname}`, () =>
      withHttp(options, async (_, { port }) => {
        for (const path of ["/healthz", "/readyz", "/"]) {
          assert.equal(await status(port, "1.1", path), "400", path);
        }
      }));
  }
});

describe("off the loopback", () => {
  const options = {
    listen: { hostname: "0.0.0.0", port: 0 },
    readiness: () => PARTS,
    metrics: new Metrics(),
    password: new Secret(PASSWORD),
  };

  it("/readyz tells a stranger whether each part is ready, and no addresses or counts", () =>
    withHttp(options, async (get) => {
      for (const init of [{}, basic("x", "wrong"), { headers: { Authorization: "Bearer x" } }]) {
        const response = await get("/readyz", init);
        assert.equal(response.status, 200);
        assert.deepEqual(await response.json(), {
          ready: true,
          parts: { smtp: { ready: true }, tls: { ready: true }, table: { ready: true } },
        });
      }
    }));

  it("/readyz tells all to who has the password", () =>
    withHttp(options, async (get) => {
      const response = await get("/readyz", basic("x", PASSWORD));
      assert.deepEqual(await response.json(), { ready: true, parts: PARTS });
    }));

  it("/readyz is 503 to a stranger, too, as long as a part is not ready", () =>
    withHttp({ ...options, readiness: () => ({ smtp: { ready: false, x: 1 } }) }, async (get) => {
      const response = await get("/readyz");
      assert.equal(response.status, 503);
      assert.deepEqual(await response.json(), { ready: false, parts: { smtp: { ready: false } } });
    }));

  it("any Host will do, as services and probes call it, and the pages ask for the password", () =>
    withHttp(options, async (_, { port }) => {
      for (const host of ["relay.mail.svc.cluster.local:8026", "10.0.0.7", "[2001:db8::1]:8026"]) {
        for (const path of ["/healthz", "/readyz"]) {
          assert.match(await ask(port, path, host), /^HTTP\/1\.1 200 /);
        }
        for (const path of ["/", "/metrics"]) {
          assert.match(await ask(port, path, host), /^HTTP\/1\.1 401 /);
          assert.match(await ask(port, path, host, PASSWORD), /^HTTP\/1\.1 200 /);
        }
      }
    }));
});

/** All that is answered to a request line as it stands. */
function raw(
  port: number,
  path: string,
  fields = "Host: 127.0.0.1\r\n",
  version = "1.1",
): Promise<string> {
  return sent(port, `GET ${path} HTTP/${version}\r\n${fields}Connection: close\r\n\r\n`);
}

/** All that is answered until the connection ends. */
function sent(port: number, octets: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(octets);
    });
    socket.on("data", (octets) => answer += octets.toString("latin1"));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}
