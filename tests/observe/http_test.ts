/** Health for probes, and the password before everything else (RFC 7617). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { Hono } from "hono";
import { type HttpOptions, type HttpService, serveHttp } from "../../src/observe/http.ts";
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
  options: Partial<HttpOptions>,
  test: (
    get: (path: string, init?: RequestInit) => Promise<Response>,
    http: HttpService,
  ) => Promise<void>,
): Promise<void> {
  const http = await serveHttp({
    listen: LISTEN,
    readiness: () => ({}),
    pages: pages(),
    ...options,
  });
  try {
    await test((path, init) => fetch(`http://127.0.0.1:${http.port}${path}`, init), http);
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

describe("GET /readyz", () => {
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
  it("says why it cannot listen", () =>
    withHttp({}, async (_, { port }) => {
      await assert.rejects(
        serveHttp({ listen: { hostname: "127.0.0.1", port }, readiness: () => ({}) }),
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
    const http = await serveHttp({ listen: LISTEN, readiness: () => ({}), pages: app });
    const response = await fetch(`http://127.0.0.1:${http.port}/stream`);
    const reader = response.body!.getReader();
    assert.equal(new TextDecoder().decode((await reader.read()).value), "first");
    await http.close();
    // Either an end or an error: but no more waiting.
    await reader.read().catch(() => {});
    await assert.rejects(fetch(`http://127.0.0.1:${http.port}/healthz`));
  });
});

/** All that is answered to a request line as it stands. */
function raw(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
    });
    socket.on("data", (octets) => answer += octets.toString("latin1"));
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}
