// Third-party mail clients, each sending a given file.

import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createTransport } from "nodemailer";

export interface Sending {
  readonly port: number;
  /** TLS from the first octet, else STARTTLS. */
  readonly implicitTls: boolean;
  readonly username: string;
  readonly password: string;
  readonly from: string;
  readonly to: readonly string[];
  /** The message, lines ended by CRLF. */
  readonly message: Uint8Array;
}

export interface MailClient {
  readonly name: string;
  /** Why it cannot be used on this machine, if so. */
  readonly absent: string | false;
  /** What the client itself appends to the message. */
  readonly appends: string;
  /** @throws Error with what the client printed */
  send(sending: Sending): Promise<void>;
}

export const CLIENTS: readonly MailClient[] = [
  {
    name: "swaks",
    absent: missing("swaks"),
    // It ends the data with its own line end, whatever the file ends in.
    appends: "\r\n",
    send: (sending) =>
      withFile(sending.message, (file) =>
        execute("swaks", [
          "--server",
          `127.0.0.1:${sending.port}`,
          sending.implicitTls ? "--tls-on-connect" : "--tls",
          "--auth",
          "LOGIN",
          "--auth-user",
          sending.username,
          "--auth-password",
          sending.password,
          "--from",
          sending.from,
          "--to",
          sending.to.join(","),
          "--data",
          `@${file}`,
        ])),
  },
  {
    name: "curl",
    absent: missing("curl"),
    appends: "",
    send: (sending) =>
      withFile(sending.message, (file) =>
        execute("curl", [
          "--silent",
          "--show-error",
          "--insecure",
          "--ssl-reqd",
          "--url",
          `${sending.implicitTls ? "smtps" : "smtp"}://127.0.0.1:${sending.port}`,
          "--user",
          `${sending.username}:${sending.password}`,
          "--mail-from",
          sending.from,
          ...sending.to.flatMap((to) => ["--mail-rcpt", to]),
          "--upload-file",
          file,
        ])),
  },
  {
    name: "msmtp",
    absent: missing("msmtp"),
    appends: "",
    send: ({ port, implicitTls, username, password, from, to, message }) =>
      execute("msmtp", [
        "--file=/dev/null",
        "--host=127.0.0.1",
        `--port=${port}`,
        "--auth=plain",
        `--user=${username}`,
        `--passwordeval=printf '%s' '${password}'`,
        "--tls=on",
        `--tls-starttls=${implicitTls ? "off" : "on"}`,
        "--tls-certcheck=off",
        "--set-date-header=off",
        "--set-msgid-header=off",
        `--from=${from}`,
        ...to,
      ], message),
  },
  {
    name: "smtplib",
    absent: missing("python3"),
    appends: "",
    send: ({ port, implicitTls, username, password, from, to, message }) =>
      execute("python3", [
        "-c",
        SMTPLIB,
        String(port),
        String(implicitTls),
        username,
        password,
        from,
        ...to,
      ], message),
  },
  {
    name: "nodemailer",
    absent: false,
    appends: "",
    async send({ port, implicitTls, username, password, from, to, message }) {
      const transport = createTransport({
        host: "127.0.0.1",
        port,
        secure: implicitTls,
        requireTLS: !implicitTls,
        tls: { rejectUnauthorized: false },
        auth: { user: username, pass: password },
      });
      await transport.sendMail({ envelope: { from, to: [...to] }, raw: Buffer.from(message) });
      transport.close();
    },
  },
];

const SMTPLIB = `
import smtplib, ssl, sys
port, implicit, user, password, sender, *to = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if implicit == "true":
    smtp = smtplib.SMTP_SSL("127.0.0.1", int(port), context=context)
else:
    smtp = smtplib.SMTP("127.0.0.1", int(port))
    smtp.starttls(context=context)
smtp.login(user, password)
smtp.sendmail(sender, to, sys.stdin.buffer.read(), mail_options=["BODY=8BITMIME"])
smtp.quit()
`;

/** Why a program cannot be run here. */
export function missing(program: string): string | false {
  const found = spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
  return found ? false : `${program} is not installed`;
}

async function withFile(message: Uint8Array, use: (path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "relay-test-"));
  const path = join(directory, "message.eml");
  try {
    writeFileSync(path, message);
    await use(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs a client to its end. @throws Error with its output if it fails */
export function execute(
  command: string,
  args: readonly string[],
  input?: Uint8Array | string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"] },
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    // It may exit before it has read all of it.
    child.stdin.on("error", () => {});
    child.once("error", reject);
    child.once(
      "close",
      (code) =>
        code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}: ${output}`)),
    );
    child.stdin.end(input);
  });
}
