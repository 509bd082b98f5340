// Messages made to be costly to read, from clients without a login on a trusted network, one
// after the other, while an honest client sends: it is served quickly each time, and so is a probe of
// /healthz. Each of these messages once kept a relay busy for half a minute.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startCloud } from "../support/cloud.ts";
import { PROGRAMS, type Relay, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const TRUSTED = "127.0.0.2";
const HONEST_MESSAGES = 12;
/** Milliseconds within which the honest client gets its 250, and the probe its response. */
const MOMENT = 2000;

const HEAD = "From: <scan@example.com>\r\nTo: <to@example.org>\r\n";
/** Combining marks in descending class (UAX #15), one character per octet. */
const MARKS = "\xcd\x85".repeat(20_000) + "\xcc\x81".repeat(20_000) + "\xcc\xa7".repeat(20_000);

const COSTLY: readonly string[] = [
  // Each line that is no field examined all the folded lines.
  `${HEAD}Content-Transfer-Encoding: base64\r\n${" x\r\n".repeat(16_000)}${
    "!\r\n".repeat(12_000)
  }` +
  "\r\nQUJD\r\n.\r\n",
  `From: <scan@example.com>\r\nTo: <a${MARKS}@example.org>\r\n\r\nText\r\n.\r\n`,
  `From: <a${MARKS}@example.com>\r\nTo: <to@example.org>\r\n\r\nText\r\n.\r\n`,
  // More than MAX_HEADER_SIZE, which is noticed before any of it is read twice.
  `${HEAD}${"To:\r\n".repeat(100_000)}\r\nText\r\n.\r\n`,
];

/** Sends such messages until it is stopped. @returns how many were answered */
async function attack(port: number, first: number, signal: AbortSignal): Promise<number> {
  const client = new SmtpClient(port, "127.0.0.1", false, TRUSTED);
  signal.addEventListener("abort", () => client.destroy());
  let answered = 0;
  try {
    await client.reply();
    await client.say("EHLO attacker.example");
    while (!signal.aborted) {
      await client.say("MAIL FROM:<scan@example.com>");
      await client.say("RCPT TO:<to@example.org>");
      assert.match(await client.say("DATA"), /^354/);
      client.write(COSTLY[(first + answered) % COSTLY.length]!);
      assert.match(await client.reply(), /^(?:250|55\d) /);
      answered++;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return answered;
}

async function honestMessage(port: number): Promise<string> {
  const client = new SmtpClient(port);
  try {
    const login = await client.login(USERNAME, SECRET);
    return login.startsWith("235")
      ? await client.send("honest@example.com", "to@example.org")
      : login;
  } finally {
    client.destroy();
  }
}

/** Milliseconds until it has happened. @throws Error if that takes too long */
async function inAMoment(what: string, action: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} waits for ${MOMENT} ms`)), MOMENT);
  });
  action.catch(() => {});
  try {
    await Promise.race([action, late]);
    return performance.now() - begun;
  } finally {
    clearTimeout(timer);
  }
}

async function serveAttacked(relay: Relay): Promise<void> {
  const end = new AbortController();
  // Two in flight at any time: while one is read, the other one arrives.
  const attackers = [attack(relay.smtp, 0, end.signal), attack(relay.smtp, 2, end.signal)];
  for (const attacker of attackers) attacker.catch(() => {});
  try {
    for (let i = 0; i < HONEST_MESSAGES; i++) {
      const reply = honestMessage(relay.smtp);
      const health = fetch(`http://127.0.0.1:${relay.http}/healthz`)
        .then((response) => response.text());
      await Promise.all([inAMoment("the honest client", reply), inAMoment("the probe", health)]);
      assert.match(await reply, /^250 /);
    }
  } finally {
    end.abort();
  }
  const answered = await Promise.all(attackers);
  assert.ok(
    answered.every((count) => count > COSTLY.length),
    `${answered} of theirs were answered`,
  );
}

for (const program of PROGRAMS) {
  describe(`messages that are costly to read, on ${program.name}`, () => {
    it("do not delay other clients", async () => {
      // The receiver does not read them: only the relay is to be busy with them.
      const cloud = await startCloud({
        graph: {
          intercept: (_, operation) =>
            operation === "sendMail" ? new Response(null, { status: 202 }) : undefined,
        },
      });
      const relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        GRAPH_CONCURRENCY: "16",
        TRUSTED_NETWORKS: TRUSTED,
        TRUSTED_USERNAME: USERNAME,
        TRUSTED_PASSWORD: SECRET,
        ALLOWED_SENDERS: "scan@example.com,honest@example.com",
      });
      try {
        await honestMessage(relay.smtp);
        await serveAttacked(relay);
      } finally {
        // SIGKILL: a busy relay would not notice a polite signal for half a minute.
        await relay.running.stop("SIGKILL");
        await cloud.close();
      }
    });
  });
}
