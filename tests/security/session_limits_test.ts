/**
 * The limits of one session in a whole relay, as its settings give them: below and at the value all
 * is accepted, above it comes the reply, and the counter at /metrics increases by one.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../support/fake_clock.ts";
import { type Door, openDoor, type Talk } from "./door.ts";

interface Limit {
  readonly setting: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Stays within the limit; the session continues. */
  readonly good: (talk: Talk) => Promise<void>;
  /** Exceeds the limit. @param pass lets milliseconds pass once the relay has read what was written */
  readonly bad: (talk: Talk, pass: (time: number) => Promise<void>) => Promise<void>;
  /** The limit applies to unauthenticated clients. */
  readonly stranger?: boolean;
  /** It ends the connection. */
  readonly ends?: boolean;
}

const MIB = 1024 * 1024;
const SENDER = "MAIL FROM:<alice@example.com>";

async function recipients(talk: Talk, count: number): Promise<string[]> {
  assert.match(await talk.say(SENDER), /^250 /);
  const replies: string[] = [];
  for (let i = 0; i < count; i++) replies.push(await talk.say(`RCPT TO:<user${i}@example.net>`));
  assert.match(await talk.say("RSET"), /^250 /);
  return replies;
}

/** A message of so many octets. */
function message(octets: number): string {
  const head = "Subject: x\r\n\r\n";
  return head + "x".repeat(octets - head.length - 2);
}

async function times(talk: Talk, count: number, command: string): Promise<void> {
  for (let i = 0; i < count; i++) await talk.say(command);
}

const LIMITS: readonly Limit[] = [
  {
    setting: "MAX_RECIPIENTS",
    environment: { MAX_RECIPIENTS: "100" },
    async good(talk) {
      for (const count of [99, 100]) {
        for (const reply of await recipients(talk, count)) assert.match(reply, /^250 /);
      }
    },
    async bad(talk) {
      const replies = await recipients(talk, 102);
      assert.deepEqual(replies.slice(100), [
        "452 4.5.3 Too many recipients",
        "452 4.5.3 Too many recipients",
      ]);
    },
  },
  {
    setting: "MAX_MESSAGE_SIZE",
    environment: { MAX_MESSAGE_SIZE: "64k" },
    async good(talk) {
      for (const size of [0xffff, 0x10000]) {
        assert.match(await talk.message(message(size)), /^250 /);
      }
    },
    async bad(talk) {
      assert.match(await talk.message(message(0x10001)), /^552 5\.3\.4 /);
    },
  },
  {
    setting: "MAX_MESSAGE_SIZE",
    environment: { MAX_MESSAGE_SIZE: "64k" },
    async good(talk) {
      assert.match(await talk.say(`${SENDER} SIZE=65536`), /^250 /);
      await talk.say("RSET");
    },
    async bad(talk) {
      assert.match(await talk.say(`${SENDER} SIZE=65537`), /^552 5\.3\.4 /);
    },
  },
  {
    setting: "MAX_MEMORY",
    // A message counts one and a half times.
    environment: { MAX_MEMORY: "30m" },
    async good(talk) {
      for (const size of [20 * MIB - 1, 20 * MIB]) {
        assert.match(await talk.say(`${SENDER} SIZE=${size}`), /^250 /);
        await talk.say("RSET");
      }
    },
    async bad(talk) {
      assert.match(await talk.say(`${SENDER} SIZE=${20 * MIB + 1}`), /^452 4\.3\.1 /);
    },
  },
  {
    setting: "MAX_ERRORS",
    environment: { MAX_ERRORS: "20" },
    stranger: true,
    ends: true,
    async good(talk) {
      await times(talk, 19, "XYZZY");
      assert.match(await talk.say("NOOP"), /^250 /);
    },
    async bad(talk) {
      assert.match(await talk.say("XYZZY"), /^500 /);
      assert.match(await talk.reply(), /^421 4\.7\.0 /);
    },
  },
  {
    setting: "MAX_IDLE_COMMANDS",
    environment: { MAX_IDLE_COMMANDS: "20" },
    stranger: true,
    ends: true,
    async good(talk) {
      await times(talk, 19, "NOOP");
      // The next stage starts again.
      assert.match(await talk.say("EHLO client.example"), /^250/);
      await times(talk, 19, "NOOP");
    },
    async bad(talk) {
      assert.match(await talk.say("NOOP"), /^250 /);
      assert.match(await talk.reply(), /^421 4\.7\.0 /);
    },
  },
  {
    setting: "COMMAND_TIMEOUT",
    environment: { COMMAND_TIMEOUT: "10s" },
    stranger: true,
    ends: true,
    async good(talk) {
      assert.match(await talk.say("NOOP"), /^250 /);
    },
    async bad(talk, pass) {
      talk.write("NO");
      await pass(10_000);
      assert.match(await talk.reply(), /^421 4\.4\.2 Timed out/);
    },
  },
  {
    setting: "DATA_TIMEOUT",
    environment: { DATA_TIMEOUT: "10s", MIN_DATA_RATE: "off" },
    ends: true,
    async good(talk) {
      assert.match(await talk.message("Subject: x\r\n\r\nText"), /^250 /);
    },
    async bad(talk, pass) {
      await talk.begin();
      talk.write("Subject: x");
      await pass(10_000);
      assert.match(await talk.reply(), /^421 4\.4\.2 Timed out/);
    },
  },
  {
    setting: "MIN_DATA_RATE",
    environment: { DATA_TIMEOUT: "10s", MIN_DATA_RATE: "100000" },
    ends: true,
    async good(talk) {
      assert.match(await talk.message("Subject: x\r\n\r\nText"), /^250 /);
    },
    async bad(talk, pass) {
      await talk.begin();
      // The default rate would allow this for ever.
      for (let seconds = 0; seconds < 12; seconds++) {
        talk.write("x".repeat(10_000));
        await pass(1_000);
      }
      assert.match(await talk.reply(), /^421 4\.4\.2 The message comes too slowly/);
    },
  },
];

/** How often the limit was hit. */
async function hits(door: Door, setting: string): Promise<number> {
  const page = await (await fetch(door.metrics!)).text();
  const line = new RegExp(
    `^smtp_oauth_relay_limit_hits_total\\{setting="${setting}"\\} (\\d+)$`,
    "m",
  );
  return Number(line.exec(page)?.[1] ?? 0);
}

for (const { setting, environment, good, bad, stranger = false, ends = false } of LIMITS) {
  const written = Object.entries(environment).map((pair) => pair.join("=")).join(" ");
  describe(`${setting} of a relay with ${written}`, () => {
    it("accepts a session within the limit; one over it gets the reply, and is counted", async () => {
      const clock = new FakeClock();
      const door = await openDoor({
        environment: { ...environment, HTTP_LISTEN: "127.0.0.1:0" },
        clock,
      });
      const pass = async (time: number) => {
        // Another connection's greeting comes after everything before it has been read.
        const other = await door.connect();
        assert.match(await other.say("QUIT"), /^221 /);
        clock.pass(time);
      };
      try {
        const talk = stranger ? await door.connect() : await door.login();
        await good(talk);
        assert.equal(await hits(door, setting), 0);
        await bad(talk, pass);
        assert.equal(await hits(door, setting), 1);
        if (ends) await talk.closed();
        else assert.match(await talk.say("NOOP"), /^250 /);
      } finally {
        await door.close();
      }
    });
  });
}
