/** The sandbox's trace of each message, and its list of failures. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Dialogue } from "../../src/sandbox/trace/dialogue.ts";
import { usernameOrHint } from "../../src/sandbox/trace/tracer.ts";
import { openSandbox, type Sandbox, SECRET, USERNAME } from "../support/sandbox.ts";

interface Trace {
  client: string;
  dialogue: { by: string; text: string }[];
  requests: { method: string; path: string; status?: number; sent: number; error?: string }[];
  moreRequests: number;
}

interface Failure {
  id: string;
  type: string;
  reply: string;
  username?: string;
  mechanism?: string;
  from?: string;
  to?: string[];
  client: string;
  at: string;
  trace: Trace;
}

describe("the sandbox", () => {
  let sandbox: Sandbox;
  before(async () => sandbox = await openSandbox({ AUTH_RATE_LIMIT: "off" }));
  after(() => sandbox.stop());

  const list = async () => await sandbox.api("failures") as Failure[];
  const newest = async () => {
    const [{ id } = { id: "" }] = await list();
    return await sandbox.api(`failures/${id}`) as Failure;
  };
  /** The trace of the message with this subject. */
  const traceOf = async (subject: string) => {
    const { id } = sandbox.inbox.list().find((message) => message.subject === subject)!;
    return await sandbox.api(`messages/${id}/trace`) as Trace;
  };
  /** More may follow. */
  const nextEvent = () =>
    new Promise<void>((resolve) => {
      const end = sandbox.tracer.subscribe(() => {
        end();
        resolve();
      });
    });
  const lines = ({ dialogue }: Trace) => dialogue.map(({ text }) => text);

  it("traces a message's dialogue, and the requests that it caused", async () => {
    const client = await sandbox.logIn();
    const reply = await client.send("scanner@example.com", "you@example.org", "traced");
    await client.say("QUIT");
    await client.closed();
    const trace = await traceOf("traced");
    assert.equal(trace.client, "127.0.0.1");
    const said = lines(trace);
    assert.match(said[0]!, /^220 /);
    assert.ok(said.includes("AUTH PLAIN (left out)"));
    const mail = said.indexOf("MAIL FROM:<scanner@example.com>");
    assert.deepEqual(said.slice(mail, mail + 9), [
      "MAIL FROM:<scanner@example.com>",
      "250 2.1.0 Sender OK",
      "RCPT TO:<you@example.org>",
      "250 2.1.5 Recipient OK",
      "DATA",
      "354 End data with <CR><LF>.<CR><LF>",
      "(the message: 77 octets)",
      reply,
      "QUIT",
    ]);
    assert.deepEqual(trace.requests.map(({ method, path, status }) => [method, path, status]), [
      ["POST", "/entra/11111111-1111-1111-1111-111111111111/oauth2/v2.0/token", 200],
      ["POST", "/graph/v1.0/users/scanner%40example.com/sendMail", 202],
    ]);
    assert.ok(trace.requests[1]!.sent > 200);
    const all = JSON.stringify(trace);
    for (const secret of [SECRET, btoa(SECRET), "eyJ", "Bearer", "Subject"]) {
      assert.ok(!all.includes(secret), secret);
    }
  });

  it("has no reply that no client could read", { timeout: 30_000 }, async () => {
    const client = await sandbox.logIn();
    await client.send("scanner@example.com", "you@example.org", "and gone");
    const ended = "(the connection has ended: the client hung up)";
    let more = nextEvent();
    client.end();
    while (lines(await traceOf("and gone")).at(-1) !== ended) {
      await more;
      more = nextEvent();
    }
    assert.ok(!lines(await traceOf("and gone")).some((line) => line.startsWith("421")));
  });

  it("separates the messages of one connection", async () => {
    const client = await sandbox.logIn();
    for (const number of [1, 2, 3]) {
      await client.send(`from${number}@example.com`, "you@example.org", `number ${number}`);
    }
    for (const number of [1, 2, 3]) {
      const trace = await traceOf(`number ${number}`);
      const mails = lines(trace).filter((line) => line.startsWith("MAIL"));
      assert.deepEqual(mails, [`MAIL FROM:<from${number}@example.com>`]);
      const sent = trace.requests.filter(({ path }) => path.endsWith("sendMail"));
      assert.equal(sent.length, 1);
      assert.ok(sent[0]!.path.includes(`from${number}`));
    }
    assert.ok(lines(await traceOf("number 3")).includes("(2 transactions before this)"));
  });

  it("separates concurrent messages", async () => {
    const numbers = Array.from({ length: 12 }, (_, number) => number);
    await Promise.all(numbers.map(async (number) => {
      const client = await sandbox.logIn();
      await client.send(`box${number}@example.com`, "you@example.org", `at once ${number}`);
    }));
    for (const number of numbers) {
      const { requests } = await traceOf(`at once ${number}`);
      const sent = requests.filter(({ path }) => path.startsWith("/graph/"));
      assert.deepEqual(sent.map(({ path }) => path), [
        `/graph/v1.0/users/box${number}%40example.com/sendMail`,
      ]);
    }
  });

  it("shows each request of a large message, and never the upload credential", async () => {
    const client = await sandbox.logIn();
    await client.say("MAIL FROM:<scanner@example.com>");
    await client.say("RCPT TO:<you@example.org>");
    await client.say("DATA");
    const line = "QUJD".repeat(18) + "\r\n";
    const reply = await client.say([
      "From: scanner@example.com",
      "Subject: large",
      "MIME-Version: 1.0",
      "Content-Type: multipart/mixed; boundary=b",
      "",
      "--b",
      "",
      "See the file.",
      "--b",
      "Content-Type: application/pdf; name=scan.pdf",
      "Content-Disposition: attachment; filename=scan.pdf",
      "Content-Transfer-Encoding: base64",
      "",
      line.repeat(70_000) + "--b--",
      ".",
    ].join("\r\n"));
    assert.match(reply, /^250 /);
    const trace = await traceOf("large");
    const asked = trace.requests.map(({ method, path, status }) =>
      `${method} ${path.replace(/AAkA[^/]+|upload\/[^/]+/g, "ID")} ${status}`
    );
    const messages = "/graph/v1.0/users/scanner%40example.com/messages";
    assert.deepEqual(asked.filter((line) => line.includes("/graph/") && !line.startsWith("PUT")), [
      `POST ${messages} 201`,
      `POST ${messages}/ID/attachments/createUploadSession 201`,
      `POST ${messages}/ID/send 202`,
    ]);
    assert.ok(asked.some((line) => line.startsWith("PUT ")));
    assert.doesNotMatch(JSON.stringify(trace), /authtoken|\?/);
    const [{ attachmentCount } = { attachmentCount: 0 }] = sandbox.inbox.list();
    assert.equal(attachmentCount, 1);
  });

  it("shows retries, and requests without a response", async () => {
    sandbox.cloud.faults.add({ on: "sendMail", status: 429 });
    const client = await sandbox.logIn();
    await client.send("scanner@example.com", "you@example.org", "second try");
    const { requests } = await traceOf("second try");
    const sent = requests.filter(({ path }) => path.startsWith("/graph/"));
    assert.deepEqual(sent.map(({ status }) => status), [429, 202]);

    sandbox.cloud.faults.add({ on: "sendMail", after: "take", connection: "close" });
    const reply = await client.send("scanner@example.com", "you@example.org", "taken");
    assert.match(reply, /^451 4\.4\.2 /);
    // It is in the inbox, and its client got an ambiguous reply: both are shown.
    const taken = await traceOf("taken");
    assert.equal(taken.requests.at(-1)!.status, undefined);
    assert.match(taken.requests.at(-1)!.error ?? "", /^[A-Z]+$/);
    assert.ok(lines(taken).includes(reply));
    assert.equal((await newest()).reply, reply);
  });

  it("has no trace of a message that another relay has sent", async () => {
    const { summary } = await sandbox.inbox.add({
      mailbox: "a@example.com",
      raw: new Uint8Array(),
    });
    assert.deepEqual(await sandbox.api(`messages/${summary.id}/trace`), {
      client: "",
      dialogue: [],
      requests: [],
      moreRequests: 0,
    });
  });

  it("lists a failed login: time, address, username, and the text of the reply", async () => {
    const client = await sandbox.connect();
    const reply = await client.say(`AUTH PLAIN ${btoa(`\0${USERNAME}\0wrong-secret`)}`);
    const { trace, at, ...failure } = await newest();
    assert.match(reply, /^535 5\.7\.8 .*7000215/);
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    assert.deepEqual(failure, {
      id: failure.id,
      type: "login",
      client: "127.0.0.1",
      reply,
      username: USERNAME,
      mechanism: "PLAIN",
    });
    assert.ok(lines(trace).includes(reply));
    assert.deepEqual(trace.requests.map(({ path, status }) => [path.slice(0, 7), status]), [
      ["/entra/", 401],
    ]);
    assert.doesNotMatch(JSON.stringify(await newest()), /wrong-secret|d3Jvbmctc2VjcmV0/);
  });

  it("never shows a malformed username whole: it may be the secret", async () => {
    const secret = "Qx8~abcdefghijklmnopqrstuvwxyz0123456789";
    const client = await sandbox.connect();
    await client.say("AUTH LOGIN");
    await client.say(btoa(secret));
    await client.say(btoa("tenant@client"));
    const failure = await newest();
    assert.equal(failure.username, "Qx8… (40 characters, no well-formed username)");
    assert.equal(failure.mechanism, "LOGIN");
    const all = JSON.stringify([failure, await list()]);
    assert.ok(!all.includes(secret.slice(0, 5)) && !all.includes(btoa(secret).slice(0, 8)));
  });

  it("lists a malformed login", async () => {
    const client = await sandbox.connect();
    const reply = await client.say("AUTH PLAIN not-base64!");
    const failure = await newest();
    assert.deepEqual([failure.type, failure.reply, failure.username], ["login", reply, undefined]);
  });

  it("rehearses a missing Mail.Send by the password no-permission", async () => {
    const client = await sandbox.logIn("no-permission");
    const reply = await client.send("scanner@example.com", "you@example.org", "not allowed");
    assert.match(reply, /^550 .*ErrorAccessDenied/);
    const failure = await newest();
    assert.deepEqual([failure.type, failure.reply], ["message", reply]);
    assert.deepEqual([failure.from, failure.to], ["scanner@example.com", ["you@example.org"]]);
    const [token, ...sent] = failure.trace.requests;
    assert.deepEqual([token?.status, sent[0]?.status], [200, 403]);
    assert.ok(!sandbox.inbox.list().some(({ subject }) => subject === "not allowed"));
  });

  it("rehearses a missing mailbox by nobody@…", async () => {
    const client = await sandbox.logIn();
    const reply = await client.send("Nobody@example.com", "you@example.org");
    assert.match(reply, /^550 .*ErrorInvalidUser/);
    const { trace } = await newest();
    assert.equal(trace.requests.at(-1)!.status, 404);
  });

  it("lists refusals of the session itself", async () => {
    const client = await sandbox.connect();
    const reply = await client.say("MAIL FROM:<scanner@example.com>");
    assert.match(reply, /^530 /);
    const failure = await newest();
    assert.deepEqual([failure.type, failure.reply], ["message", reply]);
    assert.ok(lines(failure.trace).includes("MAIL FROM:<scanner@example.com>"));
  });
});

describe("the list of failures", () => {
  it("keeps the newest 200, and is emptied by DELETE", async () => {
    const sandbox = await openSandbox({ MAX_ERRORS: "1000", MAX_IDLE_COMMANDS: "1000" });
    try {
      const client = await sandbox.connect();
      for (let i = 0; i < 205; i++) await client.say("AUTH PLAIN !");
      const list = await sandbox.api("failures") as Failure[];
      assert.equal(list.length, 200);
      assert.deepEqual([list[0]!.id, list.at(-1)!.id], ["205", "6"]);
      const old = await fetch(`${sandbox.url}api/failures/5`);
      assert.equal(old.status, 404);
      await old.body?.cancel();
      const foreign = { method: "DELETE", headers: { Origin: "http://evil.example" } };
      assert.equal((await fetch(`${sandbox.url}api/failures`, foreign)).status, 403);
      assert.equal((await fetch(`${sandbox.url}api/failures`, { method: "DELETE" })).status, 204);
      assert.deepEqual(await sandbox.api("failures"), []);
    } finally {
      await sandbox.stop();
    }
  });
});

describe("a dialogue that is kept", () => {
  it("is bounded, and keeps its beginning and its end", () => {
    const dialogue = new Dialogue();
    dialogue.reply("220 here\r\n");
    for (let i = 0; i < 10_000; i++) dialogue.command(`NOOP ${i} ${"x".repeat(4000)}`);
    dialogue.command("MAIL FROM:<a@example.com>");
    const excerpt = dialogue.excerpt();
    for (let i = 0; i < 10_000; i++) dialogue.command(`RCPT TO:<${i}@example.com>`);
    dialogue.reply("250 the verdict\r\n");
    const lines = excerpt();
    assert.ok(lines.length < 200);
    assert.ok(JSON.stringify(lines).length < 100_000);
    assert.equal(lines[0]!.text, "220 here");
    assert.equal(lines.at(-1)!.text, "250 the verdict");
    assert.deepEqual(lines.filter(({ by }) => by === "note").map(({ text }) => text), [
      "9911 lines are left out here",
      "9912 lines are left out here",
    ]);
    // Another transaction no longer belongs to it.
    dialogue.command("MAIL FROM:<b@example.com>");
    assert.deepEqual(excerpt(), lines);
  });
});

describe("a username as it is shown", () => {
  const cases: [string, string][] = [
    [USERNAME, USERNAME],
    ["scanner@lookup", "scanner@lookup"],
    ["", "(empty)"],
    ["x", "(not shown: 1 character, no well-formed username)"],
    ["Winter-2026-Winter!", "(not shown: 19 characters, no well-formed username)"],
    ["Winter-2026-Winter!!", "Win… (20 characters, no well-formed username)"],
    [`${USERNAME}@secret`, "111… (80 characters, no well-formed username)"],
    ["😀".repeat(20), "😀😀😀… (20 characters, no well-formed username)"],
  ];
  for (const [username, shown] of cases) {
    it(`is ${shown} for ${JSON.stringify(username)}`, () => {
      assert.equal(usernameOrHint(username, "@"), shown);
    });
  }
});
