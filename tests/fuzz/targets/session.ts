// The SMTP session: from each of its states, any octets in any segments, with whatever may come
// between them from its owner.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Effect } from "../../../src/smtp/effects.ts";
import { REPLIES, reply } from "../../../src/smtp/reply.ts";
import { type Driver, driverIn, type DriverOptions, STATES } from "../../smtp/driver.ts";
import { inPieces, Input, type Target } from "../engine/target.ts";

/** Begins an event in the input; no text has this octet. */
const MARK = 0xfe;
const NAMES = Object.keys(STATES);
const MEMORY = [1_000_000, 2_500, 700, 0];
const STOPPING = reply(421, "4.3.2", "The relay is being stopped");

/** What happens to a session: octets arrive, or its owner does something. */
type Step =
  | { readonly type: "octets"; readonly octets: Buffer }
  | { readonly type: "answer" | "tls" | "stop" | "abort" | "stray" };

const LONG = Buffer.alloc(12_289, "x");

const EVENTS = ["answer", "tls", "stop", "abort", "stray"] as const;

function stepsOf(input: Input): Step[] {
  const steps: Step[] = [];
  while (!input.ended) {
    const octets = input.until(MARK);
    if (octets.length > 0) steps.push({ type: "octets", octets });
    if (!input.ended) steps.push({ type: input.pick(EVENTS) });
  }
  return steps;
}

/** Judges what the session asks for by the answers that it has had. */
class Watch {
  readonly #driver: Driver;
  #secure: boolean;
  #stopped = false;
  /** Good logins before TLS, which count for nothing after it. */
  #loginsBefore = 0;
  #submissions = 0;
  /** Input that may have an answer. */
  lines = 0;

  constructor(driver: Driver, state: string) {
    this.#driver = driver;
    // What the way to the state has brought about.
    const steps = STATES[state]!;
    this.#secure = steps.includes("<TLS>");
    this.#submissions = driver.submissions.length;
  }

  step(step: Step, cuts: readonly number[]): void {
    const driver = this.#driver;
    switch (step.type) {
      case "octets":
        for (const piece of inPieces(step.octets, cuts)) {
          const dead = driver.closed || driver.awaitsTls;
          const effects = driver.session.receive(piece);
          if (dead) assert.deepEqual(effects, [], "octets in plain text after STARTTLS");
          this.#carryOut(effects);
        }
        for (const octet of step.octets) if (octet === 10) this.lines++;
        break;
      case "answer":
        driver.settle();
        break;
      case "tls":
        if (driver.awaitsTls && !driver.closed) this.#tls();
        break;
      case "stop":
        this.#stopped = true;
        this.#carryOut(driver.session.stop(STOPPING, "a stop"));
        this.lines++;
        break;
      case "abort":
        this.#carryOut(driver.session.abort(STOPPING, "a limit"));
        this.lines++;
        break;
      case "stray": {
        // An answer to nothing, as it comes where the client is gone.
        const { session } = driver;
        if (session.progress.awaits !== "owner" || driver.awaitsTls) {
          assert.deepEqual(session.authenticated(REPLIES.authenticated), []);
          assert.deepEqual(session.submitted(REPLIES.ok), []);
        }
        if (!driver.awaitsTls) assert.deepEqual(session.tlsStarted(), []);
      }
    }
    this.#judge();
  }

  #tls(): void {
    const driver = this.#driver;
    driver.awaitsTls = false;
    this.#secure = true;
    this.#loginsBefore = driver.goodLogins;
    const effects = driver.session.tlsStarted();
    if (this.#stopped) return this.#carryOut(effects);
    assert.deepEqual(effects, [], "input from before the handshake");
    const before = driver.replies;
    this.#carryOut(driver.session.receive(Buffer.from("NOOP\r\n")));
    assert.equal(driver.replies, `${before}250 2.0.0 OK\r\n`, "RFC 3207 §4.2");
    this.lines++;
  }

  #carryOut(effects: readonly Effect[]): void {
    this.#driver.carryOut(effects);
  }

  #judge(): void {
    const { goodLogins, submissions, memory, session, closed } = this.#driver;
    if (submissions.length > this.#submissions) {
      assert.ok(goodLogins > this.#loginsBefore, "a message without a login");
      const { envelope, content, facts } = submissions.at(-1)!;
      assert.ok(envelope.recipients.length >= 1 && envelope.recipients.length <= 3);
      assert.ok(content.length <= 2000, "a message over the limit");
      assert.equal(facts.tls, this.#secure);
      for (const address of [envelope.from, ...envelope.recipients]) {
        // deno-lint-ignore no-control-regex
        assert.doesNotMatch(address, /[\x00-\x1f\x7f]/);
      }
    }
    this.#submissions = submissions.length;
    assert.ok(memory.used >= 0);
    if (closed) assert.equal(session.progress.awaits, "nothing");
  }
}

/** Answers that a client has got: the last lines of replies. */
function answers(text: string): number {
  return text.match(/^\d{3} /gm)?.length ?? 0;
}

function play(
  state: string,
  options: Partial<DriverOptions>,
  steps: readonly Step[],
  cuts: readonly number[],
): Driver {
  const driver = driverIn(state, { ...options, late: true });
  driver.late = true;
  const watch = new Watch(driver, state);
  for (const step of steps) watch.step(step, cuts);
  // One more for a message that is given up in the middle, one for a login that was being checked,
  // and one for a message.
  assert.ok(answers(driver.replies) <= watch.lines + 3, "more replies than lines");
  return driver;
}

const ANSWER = "\xfe\x00";
const TLS = "\xfe\x01";
const MESSAGE = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx\r\n.\r\n";

/** Steps from a state on, as an input. */
function inState(state: string, steps: string): string {
  return `${String.fromCharCode(NAMES.indexOf(state))}\0${steps}`;
}

export const session: Target = {
  name: "session",
  run(octets) {
    const input = new Input(octets);
    const state = input.pick(NAMES);
    const choices = input.byte();
    const options = {
      maxMemory: MEMORY[choices & 3]!,
      offerTls: (choices & 4) === 0 || state.includes("TLS"),
    };
    const cut = 1 + (choices >> 3);
    const steps = stepsOf(input);
    const whole = play(state, options, steps, []);
    for (const cuts of [[1], [cut, 1, 7]]) {
      const other = play(state, options, steps, cuts);
      assert.deepEqual(other.outcome(), whole.outcome(), "however the octets are cut up");
    }
    if (whole.session.progress.awaits === "command") {
      // Nothing of a line without an end is kept, whatever it is a part of (RFC 4954 §4: 12288 octets).
      whole.carryOut(whole.session.receive(LONG));
      assert.equal(whole.session.unread, 0, "an endless line is kept");
    }
    if (!whole.closed) whole.carryOut(whole.session.abort(STOPPING, "the end"));
    assert.equal(whole.closed, true);
    assert.equal(whole.memory.used, 0, "room in memory that is not given back");
  },
  seeds: [
    ...NAMES.map((state) => inState(state, "NOOP\r\n")),
    inState(
      "after the greeting",
      `EHLO a\r\nSTARTTLS\r\nNOOP\r\n${TLS}EHLO b\r\nAUTH PLAIN AHVzZXIAZ29vZA==\r\n${ANSWER}` +
        "MAIL FROM:<a@b.test> SIZE=10\r\nRCPT TO:<c@d.test>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\n" +
        `${ANSWER}QUIT\r\n`,
    ),
    inState("logged in", `STARTTLS\r\n${TLS}EHLO b\r\n${MESSAGE}${ANSWER}`),
    inState("logged in", `${MESSAGE}${ANSWER}${MESSAGE}\xfe\x02`),
    inState("after RCPT", `${"RCPT TO:<c@d.test>\r\n".repeat(4)}BDAT 0 LAST\r\n${ANSWER}`),
    inState(
      "after MAIL",
      `RCPT TO:<c@d.test>\r\nBDAT 5\r\nabc\r\nBDAT 3 LAST\r\nxyz${ANSWER}` +
        "RSET\r\nVRFY a\r\nHELP\r\nEXPN x\r\nGET / HTTP/1.1\r\n",
    ),
    inState(
      "at the first challenge of AUTH LOGIN",
      `dXNlcg==\r\nZ29vZA==\r\n${ANSWER}MAIL FROM:<> SMTPUTF8\r\n` +
        `RCPT TO:<\xc3\xbc@\xc3\xa4.test>\r\nBDAT 0 LAST\r\n\xfe\x02${ANSWER}`,
    ),
  ],
  words: [
    ..."\r\n|\n|\r\n.\r\n|\n.\n|\r.\r|..\r\n|\xfe\x00|\xfe\x01|\xfe\x02|\xfe\x03|\xfe\x04".split(
      "|",
    ),
    ..."EHLO a\r\n|HELO\r\n|STARTTLS\r\n|RSET\r\n|NOOP\n|HELP\r\n|VRFY a\r\n|QUIT\r\n".split("|"),
    ..."AUTH PLAIN|AUTH LOGIN| =\r\n|AHVzZXIAZ29vZA==|Z29vZA==\r\n|*\r\n|AUTH PLAIN\r\n".split("|"),
    ..."MAIL FROM:|RCPT TO:|<alice@example.com>|<>| SIZE=1999| BODY=8BITMIME| SMTPUTF8".split("|"),
    ..."<Postmaster>|\xc3\xbc|DATA\r\n|BDAT 3\r\n|BDAT 0 LAST\r\n|BDAT 12 LAST\r\n".split("|"),
    ..."BDAT 2001\r\n|BDAT 99999999\r\n| AUTH=<>|LAST|\0|\x16\x03|GET / HTTP/1.1\r\n".split("|"),
    "x".repeat(600),
    "RCPT TO:<a@b.test>\r\n".repeat(4),
    MESSAGE,
  ],
};
