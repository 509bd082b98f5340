/** The sandbox's inbox, through its HTTP routes and its store. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { inboxRoutes, type InboxRoutesOptions } from "../../src/sandbox/inbox/routes.ts";
import { Inbox, type InboxEvent, type InboxLimits } from "../../src/sandbox/inbox/store.ts";

const connection = {
  smtp: "127.0.0.1:8025",
  username: "tenant@client",
  password: "</script>",
  devices: [{ username: "printer", password: "</style>", sender: "printer@example.com" }],
  command: "swaks",
};

/** An inbox and its routes, with helpers. */
function open(options: Partial<InboxRoutesOptions> = {}, limits: InboxLimits = {}) {
  const inbox = new Inbox(limits);
  const routes = inboxRoutes(inbox, { connection, ...options });
  const add = (message: string | Uint8Array) => {
    const raw = typeof message === "string" ? Buffer.from(message.replace(/\n/g, "\r\n")) : message;
    return inbox.add({ mailbox: "box@example.com", raw });
  };
  const get = (path: string, headers: Record<string, string> = {}) =>
    routes.request(path, { headers });
  /** The body of a successful response. */
  const json = async (path: string) => {
    const response = await get(path);
    assert.equal(response.status, 200);
    return await response.json();
  };
  return { inbox, routes, add, get, json };
}

const LETTER = `From: Ann <ann@example.com>
To: Team: bob@example.com, Cy <cy@example.com>;
Cc: dee@example.com
Bcc: eve@example.com
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8

Hello.
--a
Content-Type: text/html; charset=utf-8

<p>Hello.</p><img src="cid:logo@x">
--a--
--m
Content-Type: image/png
Content-ID: <logo@x>
Content-Disposition: inline; filename=logo.png
Content-Transfer-Encoding: base64

AAEC
--m--
`;

/** A message that is one attachment. */
const attachment = (type: string, disposition: string) =>
  `Subject: file\nContent-Type: ${type}\nContent-Disposition: ${disposition}\n\n<script>x</script>`;

/** A message of these parts. */
const mixed = (parts: string) =>
  `Subject: parts\nContent-Type: multipart/mixed; boundary=b\n\n${parts}--b--\n`;

/** A message that is HTML. */
const page = (html: string) => `Subject: page\nContent-Type: text/html\n\n${html}`;

const ROUTES = (id: string) => [
  "/",
  "/api/connection",
  "/api/events",
  "/api/messages",
  "/api/failures",
  `/api/messages/${id}`,
  `/api/messages/${id}/trace`,
  `/api/messages/${id}/raw`,
  `/api/messages/${id}/html`,
  `/api/messages/${id}/attachments/0`,
];

describe("the inbox's list", () => {
  it("has the contract's fields and some more, newest first", async () => {
    const { add, json } = open();
    const first = await add(LETTER);
    await add("Subject: second\n\n");
    const list = await json("/api/messages");
    assert.deepEqual(list.map(({ subject }: { subject: string }) => subject), ["second", "Grüße"]);
    assert.deepEqual(list[1], {
      id: first.summary.id,
      from: "ann@example.com",
      to: ["bob@example.com", "cy@example.com"],
      cc: ["dee@example.com"],
      bcc: ["eve@example.com"],
      subject: "Grüße",
      size: first.raw.length,
      receivedAt: first.summary.receivedAt,
      fromName: "Ann",
      toNames: ["", "Cy"],
      ccNames: [""],
      bccNames: [""],
      attachmentCount: 0,
    });
    assert.match(list[1].receivedAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.match(list[1].id, /^[a-z0-9]{10}$/);
  });

  it("keeps the order of overlapping adds, and distinct ids", async () => {
    const { inbox, add } = open();
    const names = Array.from({ length: 50 }, (_, at) => `${at}`);
    // Earlier ones take longer to read.
    const header = (at: number) => "X: y\n".repeat(10 * (50 - at));
    await Promise.all(names.map((name, at) => add(`${header(at)}Subject: ${name}\n`)));
    assert.deepEqual(inbox.list().map(({ subject }) => subject).reverse(), names);
    assert.equal(new Set(inbox.list().map(({ id }) => id)).size, 50);
  });

  it("drops the oldest when there are too many, and reports it", async () => {
    const { inbox, add } = open({}, { maxMessages: 2 });
    const events: InboxEvent[] = [];
    inbox.subscribe((event) => events.push(event));
    const oldest = await add("Subject: 1\n\n");
    await add("Subject: 2\n\n");
    await add("Subject: 3\n\n");
    assert.deepEqual(inbox.list().map(({ subject }) => subject), ["3", "2"]);
    assert.equal(inbox.get(oldest.summary.id), undefined);
    assert.deepEqual(events.at(-1), { type: "dropped", id: oldest.summary.id });
  });

  it("drops the oldest when they are too large, and refuses one larger than itself", async () => {
    const { inbox, add } = open({}, { maxBytes: 100 });
    for (const size of [40, 40, 70]) await add(new Uint8Array(size));
    assert.deepEqual(inbox.list().map(({ size }) => size), [70]);
    await add(new Uint8Array(30));
    assert.deepEqual(inbox.list().map(({ size }) => size), [30, 70]);
    await assert.rejects(add(new Uint8Array(101)), RangeError);
    assert.equal(inbox.list().length, 2);
  });

  it("lists data that is not a message, or that no parser accepts", async () => {
    const { add, get, json } = open();
    const tooDeep = Array.from(
      { length: 300 },
      (_, at) => `Content-Type: multipart/mixed; boundary=b${at}\n\n--b${at}\n`,
    ).join("");
    const header = "X-Filler: " + "x".repeat(3_000_000);
    for (const raw of ["", "\n", "\0\xff: \n\n\n", `Subject: deep\n${tooDeep}`, header]) {
      const { summary } = await add(raw);
      const { to, error, headers } = await json(`/api/messages/${summary.id}`);
      assert.deepEqual(to, []);
      if (raw.includes("b299")) {
        assert.match(error, /nesting/i);
        assert.equal(headers[0].value, "deep");
      }
      assert.equal((await get(`/api/messages/${summary.id}/raw`)).status, 200);
    }
    assert.equal((await json("/api/messages")).length, 5);
  });

  it("lists names and addresses with bidirectional controls and markup unchanged", async () => {
    const { add, json } = open();
    const name = '\u202E<b>"Bank"</b>\u200B';
    await add(
      `From: =?utf-8?b?${Buffer.from(name).toString("base64")}?= <a\u200B@example.com>\n\n`,
    );
    const [{ from, fromName }] = await json("/api/messages");
    assert.deepEqual([from, fromName], ["a\u200B@example.com", name]);
  });

  const part = (header: string) => `--b\n${header}\n\nx\n`;
  const counts: [string, number, string][] = [
    ["no attachment", 0, "Subject: x\n\ntext"],
    ["a file that is the whole message", 1, attachment("application/pdf", "attachment")],
    ["a text that is a file", 1, attachment("text/csv", "attachment; filename=a.csv")],
    ["a text", 0, page("<p>x")],
    [
      "a text, an image of the HTML, a file and a message",
      2,
      mixed(
        part("") + part("Content-Type: image/png\nContent-Disposition: inline") +
          part("Content-Type: application/pdf; name=a.pdf") + part("Content-Type: message/rfc822"),
      ),
    ],
    ["a text with a name", 1, mixed(part("Content-Type: text/plain; name=log.txt"))],
    ["nothing but boundaries", 0, mixed(part("").repeat(1000))],
  ];
  for (const [what, count, message] of counts) {
    it(`counts the attachments of a message with ${what}`, async () => {
      const { add, json } = open();
      await add(message);
      const [{ attachmentCount }] = await json("/api/messages");
      assert.equal(attachmentCount, count);
    });
  }

  it("counts uploads of the message, except those that its HTML shows", async () => {
    const { inbox } = open();
    const file = {
      name: "a",
      contentType: "a/b",
      size: 1,
      sha256: "",
      chunks: [new Uint8Array(1)],
    };
    const uploads = [{ ...file, inline: false }, { ...file, inline: true }];
    const { summary } = await inbox.add({ mailbox: "a@b.example", raw: new Uint8Array(), uploads });
    assert.equal(summary.attachmentCount, 1);
  });

  it("lacks one message after its DELETE, and makes room", async () => {
    const { inbox, routes, add, get } = open({}, { maxBytes: 100 });
    const events: InboxEvent[] = [];
    await add(new Uint8Array(40));
    const { summary } = await add(new Uint8Array(40));
    inbox.subscribe((event) => events.push(event));
    const path = `/api/messages/${summary.id}`;
    assert.equal((await routes.request(path, { method: "DELETE" })).status, 204);
    assert.equal((await routes.request(path, { method: "DELETE" })).status, 404);
    assert.deepEqual(events, [{ type: "deleted", id: summary.id }]);
    assert.equal((await get(`${path}/raw`)).status, 404);
    assert.equal(inbox.list().length, 1);
    await add(new Uint8Array(60));
    assert.equal(inbox.list().length, 2);
  });

  it("is empty after DELETE", async () => {
    const { routes, add, get, json } = open();
    const { summary } = await add(LETTER);
    const response = await routes.request("/api/messages", { method: "DELETE" });
    assert.equal(response.status, 204);
    assert.deepEqual(await json("/api/messages"), []);
    assert.equal((await get(`/api/messages/${summary.id}/html`)).status, 404);
  });
});

describe("a message in the inbox", () => {
  it("is returned octet for octet, whatever happens to the caller's buffer", async () => {
    const { add, get } = open();
    const raw = Uint8Array.from({ length: 1024 }, (_, at) => at & 0xff);
    const { summary } = await add(raw.subarray(0, 512));
    const expected = raw.slice(0, 512);
    raw.fill(0);
    const response = await get(`/api/messages/${summary.id}/raw`);
    assert.equal(response.headers.get("content-type"), "message/rfc822");
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), expected);
  });

  it("is shown with its headers, bodies and attachments", async () => {
    const { add, json } = open();
    const { summary } = await add(LETTER);
    const message = await json(`/api/messages/${summary.id}`);
    assert.equal(message.subject, "Grüße");
    assert.equal(message.mailbox, "box@example.com");
    assert.deepEqual(message.headers[0], { name: "From", value: "Ann <ann@example.com>" });
    assert.equal(message.text.trim(), "Hello.");
    assert.match(message.html, /^<p>Hello/);
    assert.deepEqual(message.attachments, [{
      index: 0,
      filename: "logo.png",
      contentType: "image/png",
      disposition: "inline",
      contentId: "logo@x",
      size: 3,
      sha256: createHash("sha256").update(new Uint8Array([0, 1, 2])).digest("hex"),
      uploaded: false,
    }]);
  });

  it("is shown as HTML that can neither run nor load anything", async () => {
    const { add, get } = open();
    const { summary } = await add(page(
      `<script>x</script><LINK rel=preconnect href=//e.example><meta http-equiv=refresh content=0>` +
        `<base href=//e.example><img src=//e.example/x.png>`,
    ));
    const response = await get(`/api/messages/${summary.id}/html`);
    assert.equal(
      response.headers.get("content-security-policy"),
      "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    );
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("x-dns-prefetch-control"), "off");
    assert.equal(response.headers.get("x-frame-options"), "SAMEORIGIN");
    assert.equal(response.headers.get("content-type"), "text/html; charset=UTF-8");
    assert.doesNotMatch(await response.text(), /<link|<meta http|<base href|<script/i);
  });

  it("may load external images on request, and nothing else", async () => {
    const { add, get } = open();
    const { summary } = await add(page(
      `<img\nsrc="https://e.example/x.png"><img src = 'cid:y'><img src=data:z><td background=//e.example/y><p>src="https://e.example"` +
        `<style>p{background:url('https://e.example/z')}@import "https://e.example/s"</style>`,
    ));
    const path = `/api/messages/${summary.id}/html`;
    const closed = await (await get(path)).text();
    assert.match(closed, /<img\ndata-remote-src="https:.*<td data-remote-background=/s);
    assert.match(closed, /<img src = 'cid:y'><img src=data:z>/);
    assert.match(closed, /<p>src="https:/);
    assert.doesNotMatch(closed, /url\(.{0,3}https|@import/);
    for (const other of ["?images=no", "?images", "?images=remote2"]) {
      assert.doesNotMatch(
        (await get(path + other)).headers.get("content-security-policy") ?? "",
        /http/,
      );
    }
    const response = await get(`${path}?images=remote`);
    assert.equal(
      response.headers.get("content-security-policy"),
      "sandbox; default-src 'none'; img-src data: https: http:; style-src 'unsafe-inline'",
    );
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    assert.match(await response.text(), /<img\nsrc="https:.*url\('https:/s);
  });

  it("has its attached images in its HTML", async () => {
    const { add, get } = open();
    const { summary } = await add(LETTER);
    const html = await (await get(`/api/messages/${summary.id}/html`)).text();
    assert.ok(html.includes(`<img src="data:image/png;base64,AAEC">`), html);
  });

  it("does not grow without bound by referring to one image over and over", async () => {
    const { add, get } = open();
    const html = `<img src="cid:logo@x">`;
    const image = `Content-Transfer-Encoding: base64\n\n${"AAAA".repeat(1_000_000)}\n--m--`;
    const { summary } = await add(
      LETTER.replace(html, html.repeat(500)).replace(/Content-Transfer[^]*$/, image),
    );
    const text = await (await get(`/api/messages/${summary.id}/html`)).text();
    const mib = text.length / 1024 ** 2;
    assert.ok(mib > 3 && mib < 64, `${mib} MiB`);
  });

  it("is served as a download by each attachment, never as a document", async () => {
    const cases = [
      ["text/html", "attachment; filename=a.html", "application/octet-stream", "a.html"],
      ["image/svg+xml", "attachment; filename=a.svg", "application/octet-stream", "a.svg"],
      ["image/png", "attachment; filename=a.png", "image/png", "a.png"],
      ["a/b", `attachment; filename*=utf-8''x%0D%0ASet-Cookie:%20a%22b`, "", "x__Set-Cookie_ a_b"],
      ["a/b", `attachment; filename="../../etc/passwd"`, "", "_.._etc_passwd"],
      [
        "a/b",
        `attachment; filename*=utf-8''%E2%82%AC%20rates'%E2%80%AEgpj.exe`,
        "",
        "€ rates'_gpj.exe",
      ],
      ["a/b", "attachment", "", "attachment-1.bin"],
      ["a/b", `attachment; filename="${"x".repeat(5000)}"`, "", "x".repeat(150)],
    ] as const;
    const { add, get } = open();
    for (const [type, disposition, served, name] of cases) {
      const { summary } = await add(attachment(type, disposition));
      const { headers, status } = await get(`/api/messages/${summary.id}/attachments/0`);
      assert.equal(status, 200);
      assert.equal(headers.get("content-type"), served || "application/octet-stream");
      assert.equal(headers.get("x-content-type-options"), "nosniff");
      assert.equal(headers.get("set-cookie"), null);
      const shown = headers.get("content-disposition") ?? "";
      const parts = /^attachment; filename="[\x20-\x7e]*"; filename\*=UTF-8''([\w.~%!-]+)$/.exec(
        shown,
      );
      assert.equal(decodeURIComponent(parts?.[1] ?? shown), name);
    }
  });
});

describe("the inbox page", () => {
  it("runs only its own script and style", async () => {
    const response = await open().get("/");
    const html = await response.text();
    const policy = response.headers.get("content-security-policy") ?? "";
    for (const name of ["script", "style"]) {
      const inline = [...html.matchAll(new RegExp(`<${name}\\b[^>]*>([^]*?)</${name}>`, "g"))];
      assert.equal(inline.length, 1);
      const hash = createHash("sha256").update(inline[0]?.[1] ?? "").digest("base64");
      assert.ok(policy.includes(`${name}-src 'sha256-${hash}';`), policy);
    }
    assert.match(policy, /^default-src 'none';.* frame-src 'self';.* frame-ancestors 'none'$/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(response.headers.get("x-frame-options"), "DENY");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    assert.doesNotMatch(html, /innerHTML|insertAdjacentHTML|document\.write/);
    for (const hook of ["message-list", "message-item", "subject"]) assert.ok(html.includes(hook));
  });

  it("gets values to copy from the API, so that nothing has to be escaped", async () => {
    assert.deepEqual(await open().json("/api/connection"), connection);
  });
});

describe("the inbox's events", () => {
  /** The lines of the stream, one event per call. */
  async function listen(box: ReturnType<typeof open>) {
    const response = await box.get("/api/events");
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    assert.ok(reader);
    assert.equal((await reader.read()).value, "retry: 2000\n\n");
    return { reader, next: async () => (await reader.read()).value };
  }

  it("report each new message and a clear", async () => {
    const box = open();
    const { reader, next } = await listen(box);
    const { summary } = await box.add("Subject: a\n\tb\u2028\n\n");
    assert.equal(await next(), `event: message\ndata: ${JSON.stringify(summary)}\n\n`);
    await box.routes.request("/api/messages", { method: "DELETE" });
    assert.equal(await next(), "event: cleared\ndata: {}\n\n");
    await reader.cancel();
  });

  it("keep an idle connection alive", async () => {
    const { reader, next } = await listen(open({ keepAlive: 5 }));
    assert.equal(await next(), ": still here\n\n");
    await reader.cancel();
  });

  it("end with the client and with the server", async () => {
    const stop = new AbortController();
    const box = open({ signal: stop.signal });
    let listeners = 0;
    const subscribe = box.inbox.subscribe.bind(box.inbox);
    box.inbox.subscribe = (listener) => {
      const unsubscribe = subscribe(listener);
      listeners++;
      return () => (listeners--, unsubscribe());
    };
    await (await box.get("/api/events")).body?.cancel();
    assert.equal(listeners, 0);
    await box.routes.request("/api/events", { method: "HEAD" });
    assert.equal(listeners, 0);
    const { reader } = await listen(box);
    assert.equal(listeners, 1);
    stop.abort();
    assert.equal((await reader.read()).done, true);
    assert.equal(listeners, 0);
  });

  it("close a client that does not read, and release a failing one", async () => {
    const box = open();
    const { body } = await box.get("/api/events");
    box.inbox.subscribe(() => {
      throw new Error("broken");
    });
    for (let at = 0; at < 5; at++) await box.add(`To: ${"a@b.example, ".repeat(35_000)}\n\n`);
    assert.equal(box.inbox.list().length, 5);
    const events = (await new Response(body).text()).match(/event: message/g) ?? [];
    assert.ok(events.length > 0 && events.length < 5, `${events.length} events waited for it`);
  });
});

describe("access to the inbox", () => {
  const hosts: [string, boolean][] = [
    ["localhost", true],
    ["LOCALHOST:8026", true],
    ["127.0.0.1:8026", true],
    ["[::1]:8026", true],
    ["mail.test:8026", true],
    ["other.test:1", true],
    ["other.test:2", false],
    ["evil.example", false],
    ["evil.localhost", false],
    ["localhost.evil.example", false],
    ["127.0.0.1.evil.example", false],
    ["127.0.0.2", false],
    ["localhost.", false],
    ["evil@localhost", false],
    ["", false],
  ];
  for (const [host, welcome] of hosts) {
    it(`${welcome ? "accepts" : "refuses"} Host ${JSON.stringify(host)} on every route`, async () => {
      const { add, get } = open({ allowedHosts: ["mail.test", "other.test:1"] });
      const { summary } = await add(LETTER);
      for (const path of ROUTES(summary.id)) {
        const response = await get(path, { host });
        assert.equal(response.status, welcome ? 200 : 403, path);
        if (welcome) await response.body?.cancel();
        else assert.match((await response.json()).error, /^Host .*[^\n]*$/);
      }
    });
  }

  const strangers: Record<string, string>[] = [
    { origin: "http://evil.example" },
    { origin: "http://localhost:3000" },
    { origin: "http://localhost:8026.evil.example" },
    { origin: "http://localhost:8026@evil.example" },
    { origin: "ftp://localhost:8026" },
    { origin: "null" },
    { origin: "" },
    { "sec-fetch-site": "cross-site" },
  ];
  for (const headers of strangers) {
    it(`refuses ${JSON.stringify(headers)} without doing anything`, async () => {
      const { routes, inbox, add } = open();
      const { summary } = await add(LETTER);
      for (const path of ["/api/messages", `/api/messages/${summary.id}`, "/api/failures"]) {
        const response = await routes.request(path, {
          method: "DELETE",
          headers: { host: "localhost:8026", ...headers },
        });
        assert.equal(response.status, 403);
        assert.equal(typeof (await response.json()).error, "string");
      }
      assert.equal(inbox.list().length, 1);
    });
  }

  it("accepts its own page's requests", async () => {
    const { routes } = open();
    for (
      const [host, origin] of [["localhost:8026", "http://localhost:8026"], [
        "[::1]",
        "http://[::1]:80",
      ]]
    ) {
      const headers = { host: `${host}`, origin: `${origin}`, "sec-fetch-site": "same-origin" };
      assert.equal(
        (await routes.request("/api/messages", { method: "DELETE", headers })).status,
        204,
      );
    }
  });

  it("does not affect other routes", async () => {
    const { routes } = open();
    routes.get("/graph", (c) => c.text("graph"));
    const response = await routes.request("/graph", { headers: { host: "sandbox:8026" } });
    assert.equal(await response.text(), "graph");
  });

  it("cannot be built with an invalid host", () => {
    for (const host of ["", "*", "http://a", "a/b", "a b"]) {
      assert.throws(() => open({ allowedHosts: [host] }), TypeError);
    }
  });

  it("refuses other methods, messages and paths", async () => {
    const { routes, add, get } = open();
    const { summary } = await add("Subject: x\n\nplain");
    for (const path of ROUTES(summary.id)) {
      const response = await routes.request(path, { method: "POST" });
      assert.equal(response.status, 405, path);
      assert.match(response.headers.get("allow") ?? "", /^GET, HEAD/);
    }
    const unknown = [...ROUTES("nosuch").slice(5), ...ROUTES(summary.id).slice(8), "/api/nosuch"];
    unknown.push(`/api/messages/${summary.id}/attachments/-1`, "/api/failures/1");
    for (const path of unknown) {
      const response = await get(path);
      assert.equal(response.status, 404, path);
      assert.deepEqual(Object.keys(await response.json()), ["error"]);
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    }
  });
});
