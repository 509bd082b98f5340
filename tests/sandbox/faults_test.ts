/** Scripted faults of the simulated services: what a client sees, and what happens to the message. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { type Fault, Faults, OPERATIONS } from "../../src/sandbox/faults.ts";
import { inboxRoutes } from "../../src/sandbox/inbox/routes.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";
import { base64, GraphClient, MESSAGE } from "./graph_client.ts";

const FORM = new URLSearchParams({
  grant_type: "client_credentials",
  client_id: CLIENT,
  client_secret: "a secret",
  scope: SCOPE,
}).toString();

let cloud: CloudServer;
let token: string;

/** All octets received on a separate connection, and how it ended. */
interface Exchange {
  readonly text: string;
  /** Milliseconds from the first octet to the end. */
  readonly took: number;
  readonly error?: string;
}

function exchange(request: string): Promise<Exchange> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(cloud.url);
    const socket = connect(Number(port), hostname, () => socket.write(request));
    let text = "";
    let begun = 0;
    let error: string | undefined;
    const end = () => {
      socket.destroy();
      const took = begun === 0 ? 0 : performance.now() - begun;
      resolve({ text, took, ...(error === undefined ? {} : { error }) });
    };
    socket.on("data", (data) => {
      begun ||= performance.now();
      text += data.toString("latin1");
    });
    socket.on("error", (problem: NodeJS.ErrnoException) => error = problem.code ?? "");
    socket.on("end", end);
    socket.on("close", end);
  });
}

/** A request to send MESSAGE, with or without its body. */
function sendMail(body = base64(MESSAGE)): string {
  return "POST /graph/v1.0/users/ann@x.test/sendMail HTTP/1.1\r\n" +
    `Host: ${new URL(cloud.url).host}\r\nAuthorization: Bearer ${token}\r\n` +
    "Content-Type: text/plain\r\nConnection: close\r\n" +
    `Content-Length: ${base64(MESSAGE).length}\r\n\r\n${body}`;
}

async function fetchToken(): Promise<Response> {
  return await fetch(`${cloud.url}/entra/${TENANT}/oauth2/v2.0/token`, {
    method: "POST",
    body: FORM,
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
}

before(async () => {
  cloud = await startCloud();
  token = (await (await fetchToken()).json() as { access_token: string }).access_token;
});
beforeEach(() => {
  cloud.faults.clear();
  cloud.inbox.clear();
});
after(() => cloud.close());

describe("a fault in the response", () => {
  it("has the given status, code and Retry-After, and refuses the message", async () => {
    cloud.faults.add({ on: "sendMail", status: 429, code: "ApplicationThrottled", retryAfter: 2 });
    const { text } = await exchange(sendMail());
    assert.match(text, /^HTTP\/1\.1 429 /);
    assert.match(text, /^retry-after: 2\r$/mi);
    assert.match(text, /^request-id: [0-9a-f-]{36}\r$/mi);
    assert.match(text, /"code":"ApplicationThrottled"/);
    assert.deepEqual(cloud.inbox.list(), []);
  });

  it("affects the given number of requests, after the given number without a fault", async () => {
    cloud.faults.add({ on: "sendMail", skip: 1, times: 2 });
    const statuses: string[] = [];
    for (let request = 0; request < 4; request++) {
      statuses.push((await exchange(sendMail())).text.slice(9, 12));
    }
    assert.deepEqual(statuses, ["202", "503", "503", "202"]);
    assert.equal(cloud.inbox.list().length, 2);
    assert.deepEqual(cloud.faults.list(), []);
  });

  it("after the message has been accepted leaves it sent", async () => {
    cloud.faults.add({ on: "sendMail", status: 504, after: "take" });
    assert.match((await exchange(sendMail())).text, /^HTTP\/1\.1 504 /);
    assert.equal(cloud.inbox.list().length, 1);
  });

  it("after acceptance does not hide that a message is bad", async () => {
    cloud.faults.add({ on: "sendMail", status: 202, after: "take" });
    const bad = "!".repeat(base64(MESSAGE).length);
    assert.match((await exchange(sendMail(bad))).text, /^HTTP\/1\.1 400 /);
  });

  it("may be an HTML page, a redirection, or an invalid success", async () => {
    cloud.faults.add({ on: "sendMail", status: 502, html: true });
    cloud.faults.add({ on: "sendMail", status: 307, location: "http://127.0.0.1:1/" });
    cloud.faults.add({ on: "sendMail", status: 200 });
    const page = await exchange(sendMail());
    assert.match(page.text, /^HTTP\/1\.1 502 /);
    assert.match(page.text, /text\/html[^]*<h1>/);
    const moved = await exchange(sendMail());
    assert.match(moved.text, /^HTTP\/1\.1 307 [^]*^location: http:\/\/127\.0\.0\.1:1\/\r$/mi);
    assert.match((await exchange(sendMail())).text, /^HTTP\/1\.1 200 /);
    assert.deepEqual(cloud.inbox.list(), []);
  });

  it("comes when its delay is over", async () => {
    cloud.faults.add({ on: "sendMail", delay: 50 });
    const begun = performance.now();
    await exchange(sendMail());
    // Timers may be early by a millisecond.
    assert.ok(performance.now() - begun >= 49);
  });

  it("affects the named operation, and no other", async () => {
    for (const on of OPERATIONS) {
      if (on === "token" || on.startsWith("smtp")) continue;
      const faults = new Faults();
      const client = new GraphClient({ faults });
      const draft = await client.draft();
      const url = await client.upload(draft, 4_000_000);
      faults.add({ on, times: 1, status: 500, code: "Scripted" });
      const responses = {
        sendMail: await client.mime("sendMail", MESSAGE),
        createDraft: await client.mime("messages", MESSAGE),
        attach: await client.json(`${draft}/attachments`, {}),
        createUploadSession: await client.session(draft, { size: 4_000_000 }),
        uploadChunk: await client.put(url, new Uint8Array(10), 0, 4_000_000),
        uploadStatus: await client.ask(url, { method: "GET", token: "" }),
        cancelUpload: await client.ask(url, { method: "DELETE", token: "" }),
        sendDraft: await client.send(draft),
        deleteDraft: await client.ask(await client.draft(), { method: "DELETE" }),
        findMessages: await client.ask("messages", { method: "GET" }),
        getMessage: await client.ask(await client.draft(), { method: "GET" }),
      };
      const hit = Object.entries(responses).filter(([, { line }]) => line === "500 Scripted");
      assert.deepEqual(hit.map(([name]) => name), [on]);
    }
  });
});

describe("a fault of the connection", () => {
  it("closes it without a response", async () => {
    cloud.faults.add({ on: "sendMail", connection: "close" });
    assert.equal((await exchange(sendMail())).text, "");
    assert.deepEqual(cloud.inbox.list(), []);
  });

  it("resets it", async () => {
    cloud.faults.add({ on: "sendMail", connection: "reset" });
    const { text, error } = await exchange(sendMail());
    assert.deepEqual([text, error], ["", "ECONNRESET"]);
  });

  it("resets it after the message is sent", async () => {
    cloud.faults.add({ on: "sendMail", connection: "reset", after: "take" });
    assert.equal((await exchange(sendMail())).text, "");
    assert.equal(cloud.inbox.list().length, 1);
  });

  it("ends it before the body has arrived", async () => {
    cloud.faults.add({ on: "sendMail", connection: "close", after: "head" });
    assert.equal((await exchange(sendMail(""))).text, "");
  });

  it("cuts the response off in its middle", async () => {
    cloud.faults.add({ on: "sendMail", connection: "truncate" });
    const { text } = await exchange(sendMail());
    assert.match(text, /^HTTP\/1\.1 503 /);
    const [head = "", body = ""] = text.split("\r\n\r\n");
    const length = Number(/^content-length: (\d+)/mi.exec(head)?.[1]);
    assert.ok(body.length > 0 && body.length < length, `${body.length} of ${length}`);
  });

  it("sends the response octet by octet", async () => {
    cloud.faults.add({ on: "sendMail", connection: "drip", delay: 1, code: "Drip" });
    const { text, took } = await exchange(sendMail());
    assert.match(text, /"code":"Drip"/);
    assert.ok(took > 50, `${took} ms`);
  });

  it("never answers", async () => {
    cloud.faults.add({ on: "sendMail", connection: "blackhole" });
    const held = exchange(sendMail());
    while (cloud.faults.list().length > 0) await new Promise((resolve) => setImmediate(resolve));
    const next = exchange(sendMail()).then(({ text }) => text.slice(9, 12));
    assert.equal(await Promise.race([held, next]), "202");
    await cloud.close();
    assert.equal((await held).text, "");
    cloud = await startCloud();
    token = (await (await fetchToken()).json() as { access_token: string }).access_token;
  });

  it("is refused if there is no connection", async () => {
    const faults = new Faults();
    faults.add({ on: "sendMail", connection: "reset" });
    const { status, text } = await new GraphClient({ faults }).mime("sendMail", MESSAGE);
    assert.equal(status, 500);
    assert.match(text, /reset needs a connection/);
  });
});

describe("a fault of Entra ID", () => {
  it("has Entra ID's form", async () => {
    const fault = { status: 400, code: "unauthorized_client", number: 700016 };
    cloud.faults.add({ on: "token", ...fault });
    const response = await fetchToken();
    assert.equal(response.status, 400);
    const { error, error_codes, error_description } = await response.json();
    assert.deepEqual([error, error_codes], ["unauthorized_client", [700016]]);
    assert.match(error_description, /^AADSTS700016: /);
    assert.equal((await fetchToken()).status, 200);
  });

  it("is temporary by default, and can have Retry-After", async () => {
    cloud.faults.add({ on: "token", retryAfter: "Fri, 31 Dec 1999 23:59:59 GMT" });
    const response = await fetchToken();
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("retry-after"), "Fri, 31 Dec 1999 23:59:59 GMT");
    assert.equal((await response.json()).error, "temporarily_unavailable");
  });
});

describe("the faults over HTTP", () => {
  const connection = { smtp: "", username: "", password: "", devices: [], command: "" };
  const open = () => {
    const faults = new Faults();
    const routes = inboxRoutes(cloud.inbox, { connection, faults });
    const ask = (method: string, body?: unknown, headers: Record<string, string> = {}) =>
      routes.request("/api/faults", {
        method,
        headers: { "Content-Type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    return { faults, ask };
  };

  it("are added, listed and removed", async () => {
    const { faults, ask } = open();
    const fault: Fault = {
      on: "uploadChunk",
      skip: 2,
      times: 3,
      after: "take",
      status: 429,
      code: "ErrorServerBusy",
      message: "x",
      retryAfter: 2,
      delay: 10,
      connection: "truncate",
    };
    const added = await ask("POST", fault);
    assert.equal(added.status, 201);
    assert.deepEqual(await added.json(), [fault]);
    await ask("POST", { on: "token" });
    const listed = await (await ask("GET")).json();
    assert.deepEqual(listed, [fault, { on: "token", times: 1, skip: 0 }]);
    assert.equal((await ask("DELETE")).status, 204);
    assert.deepEqual(faults.list(), []);
  });

  const WRONG: readonly [fault: unknown, error: RegExp][] = [
    [[], /JSON object/],
    [null, /JSON object/],
    [{}, /^on is missing: token, sendMail/],
    [{ on: "send" }, /^on has to be one of token, sendMail/],
    [{ on: "token", times: 0 }, /^times has to be a whole number from 1/],
    [{ on: "token", skip: -1 }, /^skip has to be/],
    [{ on: "token", after: "then" }, /^after has to be one of head, refuse, take/],
    [{ on: "token", status: 99 }, /^status has to be a whole number from 200 to 599/],
    [{ on: "token", code: 1 }, /^code has to be a string/],
    [{ on: "token", retryAfter: -1 }, /^retryAfter has to be seconds/],
    [{ on: "token", retryAfter: "1\r\nSet-Cookie: x" }, /^retryAfter has to be/],
    [{ on: "token", location: "ü" }, /^location has to be/],
    [{ on: "token", html: 1 }, /^html has to be true or false/],
    [{ on: "token", delay: 1e9 }, /^delay has to be/],
    [{ on: "token", connection: "cut" }, /^connection has to be one of close, reset/],
    [{ on: "token", statsu: 500 }, /^unknown member "statsu": there are on, times/],
    [{ on: "token", toString: 1 }, /^unknown member "toString"/],
  ];
  for (const [fault, error] of WRONG) {
    it(`are refused with the reason: ${JSON.stringify(fault)}`, async () => {
      const { faults, ask } = open();
      const response = await ask("POST", fault);
      assert.equal(response.status, 400);
      assert.match((await response.json()).error, error);
      assert.deepEqual(faults.list(), []);
    });
  }

  it("are refused from another site, and as a form", async () => {
    const { faults, ask } = open();
    const fault = { on: "token" };
    const foreign = await ask("POST", fault, { Origin: "http://evil.example" });
    assert.equal(foreign.status, 403);
    assert.equal((await ask("POST", fault, { "Content-Type": "text/plain" })).status, 400);
    assert.equal((await ask("PUT", fault)).status, 405);
    assert.deepEqual(faults.list(), []);
  });

  it("are bounded", async () => {
    const { faults, ask } = open();
    for (let at = 0; at < 1000; at++) faults.add({ on: "token" });
    assert.equal((await ask("POST", { on: "token" })).status, 400);
    assert.equal((await ask("POST", { on: "token", message: "x".repeat(70_000) })).status, 413);
  });
});
