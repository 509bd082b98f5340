// Starts an executable and sends a message through it, as far as that goes on any system without other
// programs: `node scripts/smoke.mjs EXECUTABLE`. It asks `version`, starts `sandbox` on free loopback
// ports, sends a message by SMTP with STARTTLS and AUTH, finds it in the inbox, asks `healthcheck`, and
// ends the sandbox. Prints one line; exit 0 when all is well, 1 when not, 2 for wrong arguments.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { resolve } from "node:path";
import process from "node:process";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";

const [argument, ...surplus] = process.argv.slice(2);
if (argument === undefined || surplus.length > 0) {
  console.error("usage: node scripts/smoke.mjs EXECUTABLE");
  process.exit(2);
}
const executable = resolve(argument);
/** Milliseconds for each step. The first start on a new machine is slow: scanners read all of it. */
const PATIENCE = 120_000;
const SUBJECT = "A message to try the executable";
/** No setting of this machine's; what systems need to start a program. */
const KEPT = ["PATH", "HOME", "SYSTEMROOT", "SystemRoot", "TEMP", "TMP", "TMPDIR", "USERPROFILE"];
const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => KEPT.includes(name))),
  SMTP_LISTEN: "127.0.0.1:0",
  HTTP_LISTEN: "127.0.0.1:0",
};

try {
  // A download is not executable yet.
  if (process.platform !== "win32" && existsSync(executable)) chmodSync(executable, 0o755);
  console.log(`ok smoke: ${await tryOut()}`);
} catch (error) {
  console.error(`FAIL smoke: ${error.message}`);
  process.exitCode = 1;
}

async function tryOut() {
  const version = await ask("version");
  const { version: expected } = JSON.parse(
    readFileSync(new URL("../package.json", import.meta.url), "utf8"),
  );
  if (!version.startsWith(`smtp-oauth-relay ${expected} (`)) {
    throw new Error(`version says "${version}", and package.json ${expected}`);
  }
  const sandbox = spawn(executable, ["sandbox"], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  try {
    const said = await readyText(sandbox);
    const [, server, port] = found(said, /SMTP server +(127\.0\.0\.1):(\d+)/);
    const [, username] = found(said, /Username +(\S+)/);
    const [, password] = found(said, /Password +(\S+)/);
    const [, inbox] = found(said, /Inbox +(http:\S+)/);
    await send({ server, port: Number(port), username, password });
    // The reply `250` means that the imitated Graph has the message already.
    const response = await fetch(`${inbox}api/messages`, { signal: AbortSignal.timeout(PATIENCE) });
    const list = await response.text();
    if (!list.includes(SUBJECT)) throw new Error(`the inbox does not have the message: ${list}`);
    const { host } = new URL(inbox);
    const health = await ask("healthcheck", { HTTP_LISTEN: host });
    if (health !== "ready") throw new Error(`healthcheck says "${health}"`);
  } finally {
    await end(sandbox);
  }
  // A signal on Windows ends a process at once, without a status of its own.
  if (process.platform !== "win32" && sandbox.exitCode !== 0) {
    throw new Error(`the sandbox ended with ${sandbox.exitCode ?? sandbox.signalCode}`);
  }
  return version;
}

/** @returns what a command of the executable prints */
async function ask(command, variables = {}) {
  try {
    const { stdout } = await promisify(execFile)(executable, [command], {
      env: { ...environment, ...variables },
      timeout: PATIENCE,
    });
    return stdout.trim();
  } catch (error) {
    const said = String(error.stderr ?? "").trim();
    throw new Error(`${command}: ${said === "" ? error.message : said}`);
  }
}

/** @returns what the sandbox prints until it is ready */
function readyText(sandbox) {
  return new Promise((resolve, reject) => {
    let output = "";
    let errors = "";
    const timer = setTimeout(() => fail("is not ready in time"), PATIENCE);
    const fail = (what) => {
      clearTimeout(timer);
      reject(new Error(`the sandbox ${what}: ${`${output}\n${errors}`.trim()}`));
    };
    sandbox.stderr.setEncoding("utf8").on("data", (text) => errors += text);
    sandbox.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (!output.includes("Ctrl-C ends the sandbox.")) return;
      clearTimeout(timer);
      resolve(output);
    });
    sandbox.on("error", ({ message }) => fail(`does not start (${message})`));
    sandbox.on("exit", (status) => fail(`ended with ${status}`));
  });
}

function found(text, pattern) {
  const match = pattern.exec(text);
  if (match === null) throw new Error(`the sandbox does not print ${pattern}: ${text}`);
  return match;
}

/** Sends a message as a client that trusts any certificate. */
async function send({ server, port, username, password }) {
  const plain = connect({ host: server, port });
  const first = dialogue(plain);
  await first(undefined, 220);
  await first("EHLO smoke.example.com", 250);
  await first("STARTTLS", 220);
  // It is the sandbox's own certificate, made a moment ago.
  const socket = connectTls({ socket: plain, rejectUnauthorized: false });
  const say = dialogue(socket);
  const login = Buffer.from(`\0${username}\0${password}`).toString("base64");
  const date = new Date().toUTCString().replace("GMT", "+0000");
  const lines = [
    ...[`Date: ${date}`, "From: me@example.com", "To: you@example.org", `Subject: ${SUBJECT}`],
    ...["", "It works.", "."],
  ];
  await say("EHLO smoke.example.com", 250);
  await say(`AUTH PLAIN ${login}`, 235);
  await say("MAIL FROM:<me@example.com>", 250);
  await say("RCPT TO:<you@example.org>", 250);
  await say("DATA", 354);
  await say(lines.join("\r\n"), 250);
  await say("QUIT", 221);
  socket.destroy();
}

/** @returns a function that sends a line, if there is one, and waits for the reply with a code */
function dialogue(socket) {
  let received = "";
  let problem;
  let wake = () => {};
  socket.setEncoding("utf8");
  socket.on("data", (text) => {
    received += text;
    wake();
  });
  for (const event of ["error", "close"]) {
    socket.on(event, (error) => {
      problem ??= error?.message ?? "the connection is closed";
      wake();
    });
  }
  socket.setTimeout(PATIENCE, () => socket.destroy(new Error("no reply in time")));
  return async (line, code) => {
    if (line !== undefined) socket.write(`${line}\r\n`);
    for (;;) {
      const reply = /^(?:\d{3}-.*\r\n)*(\d{3}) .*\r\n/.exec(received);
      if (reply !== null) {
        received = received.slice(reply[0].length);
        if (Number(reply[1]) === code) {
          // The octets after it belong to TLS.
          if (line === "STARTTLS") socket.removeAllListeners("data");
          return;
        }
        throw new Error(`"${line ?? "(greeting)"}" is answered "${reply[0].trim()}"`);
      }
      if (problem !== undefined) throw new Error(`"${line ?? "(greeting)"}": ${problem}`);
      await new Promise((resolve) => wake = resolve);
    }
  };
}

async function end(sandbox) {
  if (sandbox.exitCode !== null || sandbox.signalCode !== null) return;
  const ended = once(sandbox, "exit");
  sandbox.kill("SIGTERM");
  const timer = setTimeout(() => sandbox.kill("SIGKILL"), PATIENCE);
  await ended;
  clearTimeout(timer);
}
