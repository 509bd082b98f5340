// What scripts that try an executable have in common: its sandbox, and a client that sends a message.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import process from "node:process";
import { connect as connectTls } from "node:tls";

/** Milliseconds for each step. The first start on a new machine is slow: scanners read all of it. */
export const PATIENCE = 120_000;
/** No setting of this machine's; what systems need to start a program. */
const KEPT = ["PATH", "HOME", "SYSTEMROOT", "SystemRoot", "TEMP", "TMP", "TMPDIR", "USERPROFILE"];
export const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => KEPT.includes(name))),
  SMTP_LISTEN: "127.0.0.1:0",
  HTTP_LISTEN: "127.0.0.1:0",
};

/** Starts the sandbox of an executable, on free ports of the loopback. */
export function start(executable, args = [], variables = {}) {
  return spawn(executable, [...args, "sandbox"], {
    env: { ...environment, ...variables },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** @returns where the sandbox listens once it is ready, and a login */
export async function connectionOf(sandbox) {
  const said = await readyText(sandbox);
  const [, server, port] = found(said, /SMTP server +(127\.0\.0\.1):(\d+)/);
  const [, username] = found(said, /Username +(\S+)/);
  const [, password] = found(said, /Password +(\S+)/);
  const [, inbox] = found(said, /Inbox +(http:\S+)/);
  return { server, port: Number(port), username, password, inbox };
}

/** @returns whether a message with this subject is in the sandbox's inbox */
export async function inInbox(inbox, subject) {
  const response = await fetch(`${inbox}api/messages`, { signal: AbortSignal.timeout(PATIENCE) });
  const messages = await response.json();
  return messages.some((message) => message.subject === subject);
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
export async function send({ server, port, username, password }, subject) {
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
    ...[`Date: ${date}`, "From: me@example.com", "To: you@example.org", `Subject: ${subject}`],
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

export async function end(sandbox) {
  if (sandbox.exitCode !== null || sandbox.signalCode !== null) return;
  const ended = once(sandbox, "exit");
  sandbox.kill("SIGTERM");
  const timer = setTimeout(() => sandbox.kill("SIGKILL"), PATIENCE);
  await ended;
  clearTimeout(timer);
}
