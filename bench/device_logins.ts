// Logins of devices with a password of their own.
//
// First, whether the time of a login that fails tells which ids exist: guesses at ids of each kind, in random order.
// A kind's `told apart` is the chance that one of its logins takes longer than one at an id that does not exist (the
// area under the ROC curve): 0.5 tells nothing. It ends with 1 beyond 3.7 standard errors from that (0.5 ± 0.15 with a
// hundred guesses of each kind), which chance alone reaches in one of five hundred runs.
//
// Then 200 devices at 200 addresses that log in at once, each with a hash of scrypt, with right and with wrong
// passwords: what the relay's process takes beyond its memory at rest, and how long an honest client's messages take
// meanwhile. A derivation takes 16 MiB, and two are made at once. RELAY_BENCH_LOGINS makes it shorter.

import { Buffer } from "node:buffer";
import process from "node:process";
import { SmtpClient } from "../tests/end_to_end/smtp_client.ts";
import { CLIENT, TENANT, USERNAME } from "../tests/support/logins.ts";
import { hashOf } from "../tests/support/passwords.ts";
import type { RelayOptions, RelayStarted } from "./device_logins/relay.ts";
import { percentile, Script, seeded, usageOf } from "./processes.ts";

type Rows = RelayOptions["rows"];

const IDS = { tenant_id: TENANT, client_id: CLIENT };
const DEVICE = { ...IDS, credential: "certificate", from_email: "scanner@example.com" };
const SCRYPT = { ...DEVICE, password_hash: hashOf("right", "scrypt") };
const SHA256 = { ...DEVICE, password_hash: hashOf("right", "sha256") };

/** Entries to guess at, and what an unknown id is compared with. */
const ROWS: Rows = {
  scrypt: SCRYPT,
  sha256: SHA256,
  mixed: { ...SCRYPT, password_hash_next: hashOf("next", "sha256") },
  two: { ...SCRYPT, password_hash_next: hashOf("next", "scrypt") },
  disabled: { ...SCRYPT, disabled: true },
  malformed: { ...SCRYPT, credential: "certificat" },
  classic: IDS,
};
const UNKNOWN = "an id that does not exist";
const KINDS: Readonly<Record<string, string>> = {
  [UNKNOWN]: "nobody@lookup",
  "the same, as the whole username": "nobody",
  "a hash of scrypt": "scrypt@lookup",
  "the same, as the whole username ": "scrypt",
  "a hash of SHA-256": "sha256@lookup",
  "one of each": "mixed@lookup",
  "two of scrypt": "two@lookup",
  "a disabled entry": "disabled@lookup",
  "an entry with a mistake": "malformed@lookup",
  "the bare id of an entry without": "classic",
};
const STANDARD_ERRORS = 3.7;
const AT_ONCE = 200;
/** Milliseconds between two messages of the honest client, and how many it sends before the logins. */
const PAUSE = 100;
const QUIET = 20;
/** MB beyond its memory at rest: two derivations, and what 200 connections and the mail of one client take. */
const MOST_MEMORY = 80;
/** Milliseconds that a message of the honest client may take. */
const SERVED = 2_000;

export async function deviceLogins(): Promise<void> {
  const logins = Number(process.env["RELAY_BENCH_LOGINS"] ?? 100);
  const failures = [...await guesses(logins)];
  for (const isRight of [true, false]) failures.push(...await atOnce(isRight));
  if (failures.length > 0) throw new Error(failures.join("; "));
}

async function withRelay<T>(
  options: RelayOptions,
  run: (relay: RelayStarted, script: Script) => Promise<T>,
): Promise<T> {
  const script = new Script("bench/device_logins/relay.ts", options);
  try {
    return await run(await script.object<RelayStarted>(), script);
  } finally {
    await script.end();
  }
}

interface Login {
  /** Milliseconds. */
  readonly took: number;
  readonly reply: string;
}

async function logIn(
  port: number,
  username: string,
  password: string,
  from = "127.0.0.1",
): Promise<Login> {
  const client = new SmtpClient(port, "127.0.0.1", false, from);
  try {
    await client.reply();
    await client.say("EHLO bench.example");
    const octets = Buffer.from(`\0${username}\0${password}`).toString("base64");
    const begun = performance.now();
    const reply = await client.say(`AUTH PLAIN ${octets}`);
    return { took: performance.now() - begun, reply };
  } finally {
    client.destroy();
  }
}

/** @returns what does not hold */
async function guesses(each: number): Promise<string[]> {
  const random = seeded(17);
  return await withRelay(
    { rows: ROWS, environment: { AUTH_RATE_LIMIT: "off" } },
    async ({ port }) => {
      const names = Object.keys(KINDS);
      const times = new Map<string, number[]>(names.map((name) => [name, []]));
      for (let round = -3; round < each; round++) {
        const order = names.map((name) => ({ name, place: random() }))
          .sort((a, b) => a.place - b.place);
        for (const { name } of order) {
          const { took, reply } = await logIn(port, KINDS[name]!, `guess ${round}`);
          if (!reply.startsWith("535")) throw new Error(`${name}: ${reply}`);
          if (round >= 0) times.get(name)!.push(took);
        }
      }
      const unknown = times.get(UNKNOWN)!;
      console.log(` ${each} wrong passwords for each kind, one after the other`);
      const failures: string[] = [];
      for (const [name, taken] of times) {
        const area = areaOf(taken, unknown);
        console.log(
          `  ${name.padEnd(34)} ${figures(taken)}; told apart ${area.toFixed(2)}`,
        );
        // Of the Mann-Whitney statistic, where both come from one distribution.
        const error = Math.sqrt((2 * each + 1) / (12 * each * each));
        if (Math.abs(area - 0.5) > STANDARD_ERRORS * error) {
          failures.push(
            `${name.trim()} can be told from ${UNKNOWN}`,
          );
        }
      }
      return failures;
    },
  );
}

function figures(times: readonly number[]): string {
  const [low, middle, high] = [10, 50, 90].map((part) => percentile(times, part).toFixed(1));
  return `${middle} ms median (${low} to ${high} for 80 %)`;
}

/** The chance that one of these is larger than one of those. */
function areaOf(these: readonly number[], those: readonly number[]): number {
  let larger = 0;
  for (const one of these) {
    for (const other of those) larger += one > other ? 1 : one === other ? 0.5 : 0;
  }
  return larger / (these.length * those.length);
}

/** @returns what does not hold */
async function atOnce(isRight: boolean): Promise<string[]> {
  const rows: Rows = {};
  for (let i = 0; i < AT_ONCE; i++) {
    rows[`device${i}`] = { ...DEVICE, password_hash: hashOf(`password ${i}`, "scrypt") };
  }
  return await withRelay({ rows, environment: {} }, async ({ port }, { child }) => {
    const honest = new SmtpClient(port);
    const first = await honest.login(USERNAME, "a secret");
    if (!first.startsWith("235")) throw new Error(first);
    let left = QUIET;
    const quiet = await messages(honest, () => left-- === 0);
    // What a first login loads is there by now.
    const { resident } = usageOf(child.pid!);
    const peak = new Peak(child.pid!, resident);
    let over = false;
    const busy = messages(honest, () => over);
    const begun = performance.now();
    const logins = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, i) => {
        const username = i % 2 === 0 ? `device${i}` : `device${i}@lookup`;
        const password = isRight ? `password ${i}` : "wrong";
        return logIn(port, username, password, `127.1.${i >> 7}.${(i & 127) + 1}`);
      }),
    );
    const took = performance.now() - begun;
    over = true;
    const served = await busy;
    honest.destroy();
    const more = peak.end() - resident;
    console.log(
      ` ${AT_ONCE} logins at once with ${isRight ? "right" : "wrong"} passwords: ` +
        `${(took / 1000).toFixed(1)} s in all, ${figures(logins.map((login) => login.took))}, ` +
        `${JSON.stringify(codesOf(logins))}\n` +
        `  memory ${resident.toFixed(0)} MB at rest, ${more.toFixed(0)} MB more at most\n` +
        `  an honest client's messages: ${figures(quiet)} before, ${figures(served)} and ` +
        `${Math.max(...served).toFixed(0)} ms at most meanwhile`,
    );
    const code = isRight ? "235" : "535";
    // On a machine that is busy, some wait too long.
    const odd = logins.find(({ reply }) => !reply.startsWith(code) && !reply.startsWith("454"));
    return [
      ...(odd === undefined ? [] : [odd.reply]),
      ...(more > MOST_MEMORY ? [`${more.toFixed(0)} MB more for ${AT_ONCE} logins`] : []),
      ...(Math.max(...served) > SERVED ? ["the honest client was not served in time"] : []),
    ];
  });
}

function codesOf(logins: readonly Login[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reply } of logins) {
    const code = reply.slice(0, 3);
    counts[code] = (counts[code] ?? 0) + 1;
  }
  return counts;
}

/** The most memory that a process has, in MB. */
class Peak {
  #most: number;
  readonly #look: () => void;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(pid: number, atRest: number) {
    this.#most = atRest;
    this.#look = () => this.#most = Math.max(this.#most, usageOf(pid).resident);
    this.#timer = setInterval(this.#look, 20);
  }

  end(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#most;
  }
}

/** Milliseconds of each message, until the end. */
async function messages(client: SmtpClient, isOver: () => boolean): Promise<number[]> {
  const times: number[] = [];
  while (!isOver()) {
    const begun = performance.now();
    const reply = await client.send("honest@example.com", "b@example.org");
    if (!reply.startsWith("250")) throw new Error(reply);
    times.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  return times;
}
