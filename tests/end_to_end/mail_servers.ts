// Real mail servers, each with configuration and spool of its own, which keep what they are sent. Each
// listens on several ports, whose EHLO leaves out different extensions.

import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { Secret } from "../../src/secret.ts";
import type { Login } from "../../src/smtp_client/mail_client.ts";
import type { ServerCertificate } from "../support/authority.ts";
import { closedPort } from "../support/raw_server.ts";
import { missing } from "./clients.ts";

export interface MailServerProgram {
  readonly name: string;
  /** Why it cannot be used on this machine, if so. */
  readonly absent: string | false;
  /** @param certificate for STARTTLS */
  start(certificate: ServerCertificate): Promise<RunningMailServer>;
}

export interface RunningMailServer {
  /** By the extensions that EHLO leaves out. */
  readonly ports: Readonly<Record<string, number>>;
  /** Every one that it accepts. */
  readonly logins: readonly Login[];
  /** Waits for a message with this text in it. */
  received(text: string): Promise<Buffer>;
  stop(): Promise<void>;
}

/** With these, every message can be sent in more than one way. */
const LEFT_OUT = ["", "CHUNKING", "CHUNKING PIPELINING", "CHUNKING SMTPUTF8 8BITMIME SIZE"];
const USER = "user";
const PASSWORD = "a-secret";
const NONE: Login = { type: "none" };
const BY_PASSWORD: Login = { type: "password", username: USER, password: new Secret(PASSWORD) };

/** Milliseconds between two looks into a directory. */
const LOOK = 20;
/** Milliseconds after which a program does not come up, or a message does not arrive any more. */
const TOO_LONG = 30_000;

/** A directory of the server's, with its certificate, which other users may read. */
function workplace({ certificate, privateKey }: ServerCertificate) {
  const directory = mkdtempSync(join(tmpdir(), "relay-test-"));
  chmodSync(directory, 0o755);
  const cert = join(directory, "cert.pem");
  const key = join(directory, "key.pem");
  writeFileSync(cert, certificate);
  writeFileSync(key, privateKey);
  return { directory, cert, key, remove: () => rmSync(directory, { recursive: true }) };
}

async function portsFor(all: readonly string[]): Promise<Record<string, number>> {
  const ports: Record<string, number> = {};
  for (const leftOut of all) ports[leftOut] = await closedPort();
  return ports;
}

/** Waits until the condition gives something. */
async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  const end = Date.now() + TOO_LONG;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/** The message in a maildir that has this text in it. */
function inMaildir(directory: string, text: string): Promise<Buffer> {
  return eventually(text, () => {
    const folder = join(directory, "new");
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      const file = readFileSync(join(folder, name));
      if (!file.includes(text)) continue;
      rmSync(join(folder, name));
      return file;
    }
    return undefined;
  });
}

/** The id of a user or a group. */
function idOf(kind: "-u" | "-g", name: string): number {
  return Number(spawnSync("id", [kind, name], { encoding: "utf8" }).stdout);
}

function run(command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}${stdout}`);
}

const notRoot = process.getuid?.() === 0 ? false : "only root can start it";

const postfix: MailServerProgram = {
  name: "Postfix",
  absent: missing("postfix") || notRoot,
  async start(certificate) {
    const { directory, cert, key, remove } = workplace(certificate);
    const ports = await portsFor(LEFT_OUT);
    const [config, spool, data, mail] = ["config", "spool", "data", "mail"]
      .map((name) => join(directory, name)) as [string, string, string, string];
    for (const path of [config, spool, data, mail]) mkdirSync(path);
    chownSync(data, idOf("-u", "postfix"), idOf("-g", "postfix"));
    chownSync(mail, idOf("-u", "nobody"), idOf("-g", "nobody"));
    const settings = {
      compatibility_level: "3.6",
      queue_directory: spool,
      data_directory: data,
      maillog_file: join(directory, "log"),
      maillog_file_prefixes: directory,
      inet_interfaces: "127.0.0.1",
      myhostname: "mail.example",
      mydestination: "",
      mynetworks: "127.0.0.0/8",
      alias_maps: "",
      local_recipient_maps: "",
      smtpd_tls_cert_file: cert,
      smtpd_tls_key_file: key,
      smtpd_tls_security_level: "may",
      smtputf8_enable: "yes",
      message_size_limit: "0",
      virtual_mailbox_domains: "static:all",
      virtual_mailbox_base: mail,
      virtual_mailbox_maps: "static:box/",
      virtual_mailbox_limit: "0",
      virtual_uid_maps: `static:${idOf("-u", "nobody")}`,
      virtual_gid_maps: `static:${idOf("-g", "nobody")}`,
      virtual_transport: "virtual",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    writeFileSync(join(config, "main.cf"), lines.join(""));
    const services = [
      ...Object.entries(ports).map(([leftOut, port]) =>
        `127.0.0.1:${port} inet n - n - - smtpd` +
        ` -o smtpd_discard_ehlo_keywords=${leftOut.replaceAll(" ", ",")}`
      ),
      "cleanup unix n - n - 0 cleanup",
      "qmgr unix n - n 300 1 qmgr",
      "tlsmgr unix - - n 1000? 1 tlsmgr",
      "rewrite unix - - n - - trivial-rewrite",
      ...["bounce", "defer", "trace"].map((name) => `${name} unix - - n - 0 bounce`),
      ...["virtual", "error"].map((name) => `${name} unix - n n - - ${name}`),
      "retry unix - - n - - error",
      "proxymap unix - - n - - proxymap",
      "anvil unix - - n - 1 anvil",
      "postlog unix-dgram n - n - 1 postlogd",
    ];
    writeFileSync(join(config, "master.cf"), services.join("\n") + "\n");
    run("postfix", ["-c", config, "start"]);
    return {
      ports,
      logins: [NONE],
      received: (text) => inMaildir(join(mail, "box"), text),
      stop() {
        run("postfix", ["-c", config, "stop"]);
        remove();
        return Promise.resolve();
      },
    };
  },
};

/** Where the tests' runner unpacks it: it cannot be installed beside Postfix. */
const EXIM = ["/usr/sbin/exim4", "/opt/exim4/usr/sbin/exim4"].find((path) => existsSync(path));

/** Of the user that it wants to be, in its own view of the files. */
const EXIM_ID = 901;

const exim: MailServerProgram = {
  name: "Exim",
  absent: EXIM === undefined ? "exim4 is not installed" : missing("unshare") || notRoot,
  async start(certificate) {
    const { directory, cert, key, remove } = workplace(certificate);
    const ports = await portsFor(["", "CHUNKING", "CHUNKING PIPELINING", "CHUNKING SMTPUTF8"]);
    const config = join(directory, "exim.conf");
    const without = (name: string) => {
      const those = Object.entries(ports).filter(([leftOut]) => leftOut.split(" ").includes(name));
      const list = those.map(([, port]) => port).join(" : ");
      return `\${if inlist{$received_port}{${list}}{}{*}}`;
    };
    writeFileSync(
      config,
      `
primary_hostname = mail.example
spool_directory = ${directory}/spool
log_file_path = ${directory}/spool/log-%s
keep_environment =
exim_path = ${EXIM}
local_interfaces = ${Object.values(ports).map((port) => `127.0.0.1.${port}`).join(" : ")}
exim_user = Debian-exim
exim_group = Debian-exim
tls_certificate = ${cert}
tls_privatekey = ${key}
tls_advertise_hosts = *
chunking_advertise_hosts = ${without("CHUNKING")}
pipelining_advertise_hosts = ${without("PIPELINING")}
smtputf8_advertise_hosts = ${without("SMTPUTF8")}
message_size_limit = 0
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = ${directory}/box
  maildir_format
  create_directory
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = \${if and{{eq{$auth2}{${USER}}}{eq{$auth3}{${PASSWORD}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = \${if and{{eq{$auth1}{${USER}}}{eq{$auth2}{${PASSWORD}}}}}
  server_set_id = $auth1
`,
    );
    chownSync(directory, EXIM_ID, EXIM_ID);
    // It wants its own user, whom only its package's installation makes: in a view of the files of its own.
    const script = `
      for file in passwd group; do
        grep -v '^Debian-exim:' /etc/$file > ${directory}/$file
      done
      echo 'Debian-exim:x:${EXIM_ID}:${EXIM_ID}::/nonexistent:/usr/sbin/nologin' >> ${directory}/passwd
      echo 'Debian-exim:x:${EXIM_ID}:' >> ${directory}/group
      mkdir ${directory}/spool && chown ${EXIM_ID}:${EXIM_ID} ${directory}/spool
      for file in passwd group; do mount --bind ${directory}/$file /etc/$file; done
      exec ${EXIM} -C ${config} -bdf -oP ${directory}/pid
    `;
    const child = spawn("unshare", ["-m", "sh", "-e", "-c", script], { stdio: "pipe" });
    const output = collected(child);
    await listening(Object.values(ports), child, output);
    return {
      ports,
      logins: [NONE, BY_PASSWORD],
      received: (text) => inMaildir(join(directory, "box"), text),
      async stop() {
        await ended(child);
        remove();
      },
    };
  },
};

const AIOSMTPD = `
import ssl, sys, base64, asyncio
from aiosmtpd.smtp import SMTP, AuthResult
from aiosmtpd.controller import Controller
cert, key = sys.argv[1:3]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(cert, key)
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(base64.b64encode(envelope.original_content).decode(), flush=True)
        return "250 2.0.0 Queued"
def authenticate(server, session, envelope, mechanism, data):
    # Without "handled" it leaves the reply to others.
    return AuthResult(handled=False, success=data.login == b"${USER}" and data.password == b"${PASSWORD}")
async def main():
    loop = asyncio.get_running_loop()
    for utf8 in (True, False):
        server = await loop.create_server(
            lambda utf8=utf8: SMTP(Handler(), hostname="mail.example", data_size_limit=2 ** 28,
                tls_context=context, enable_SMTPUTF8=utf8, authenticator=authenticate,
                auth_require_tls=False, loop=loop), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
`;

/** Debian's, whose modules another Python on the path does not have. */
const PYTHON = "/usr/bin/python3";

const aiosmtpd: MailServerProgram = {
  name: "aiosmtpd",
  absent: spawnSync(PYTHON, ["-c", "import aiosmtpd"]).status === 0
    ? false
    : "aiosmtpd is not installed",
  async start(certificate) {
    const { cert, key, remove } = workplace(certificate);
    const child = spawn(PYTHON, ["-c", AIOSMTPD, cert, key], { stdio: "pipe" });
    const output = collected(child);
    const lines = () => output().split("\n").slice(0, -1);
    const [first, second] = await eventually(
      "aiosmtpd's ports",
      () => lines().length >= 2 ? lines().map(Number) : undefined,
    );
    return {
      ports: { "CHUNKING PIPELINING": first!, "CHUNKING PIPELINING SMTPUTF8": second! },
      logins: [NONE, BY_PASSWORD],
      received: (text) =>
        eventually(text, () =>
          lines().slice(2).map((line) => Buffer.from(line, "base64"))
            .find((message) => message.includes(text))),
      async stop() {
        await ended(child);
        remove();
      },
    };
  },
};

const smtpServer: MailServerProgram = {
  name: "smtp-server",
  absent: false,
  async start({ certificate, privateKey }) {
    const messages: Buffer[] = [];
    const servers: SMTPServer[] = [];
    const ports: Record<string, number> = {};
    for (const leftOut of ["CHUNKING", "CHUNKING PIPELINING", "CHUNKING SMTPUTF8 8BITMIME"]) {
      const options: SMTPServerOptions = {
        cert: certificate,
        key: privateKey,
        authOptional: true,
        allowInsecureAuth: true,
        authMethods: ["LOGIN", "PLAIN", "XOAUTH2"],
        hidePIPELINING: leftOut.includes("PIPELINING"),
        hideSMTPUTF8: leftOut.includes("SMTPUTF8"),
        hide8BITMIME: leftOut.includes("8BITMIME"),
        onAuth({ username, password, accessToken }, _, callback) {
          const isKnown = username === USER && (password ?? accessToken) === PASSWORD;
          callback(isKnown ? null : new Error("Invalid credentials"), { user: username });
        },
        onData(stream, _, callback) {
          const parts: Buffer[] = [];
          stream.on("data", (part: Buffer) => parts.push(part));
          stream.on("end", () => {
            messages.push(Buffer.concat(parts));
            callback(null);
          });
        },
      };
      const server = new SMTPServer(options);
      server.on("error", () => {});
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      servers.push(server);
      ports[leftOut] = (server.server.address() as AddressInfo).port;
    }
    const token: Login = { type: "token", username: USER, token: new Secret(PASSWORD) };
    return {
      ports,
      logins: [NONE, BY_PASSWORD, token],
      received: (text) =>
        eventually(text, () => messages.find((message) => message.includes(text))),
      async stop() {
        for (const server of servers) {
          await new Promise<void>((resolve) => server.close(() => resolve()));
        }
      },
    };
  },
};

export const MAIL_SERVERS: readonly MailServerProgram[] = [postfix, exim, aiosmtpd, smtpServer];

function collected(child: ChildProcess): () => string {
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (text: string) => output += text);
  }
  return () => output;
}

/** Waits until the ports are listened on. */
async function listening(
  ports: readonly number[],
  child: ChildProcess,
  output: () => string,
): Promise<void> {
  const { connect } = await import("node:net");
  const isOpen = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
  const end = Date.now() + TOO_LONG;
  for (const port of ports) {
    while (!await isOpen(port)) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`not started: ${output()}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  process.kill(child.pid!, "SIGTERM");
  await exited;
}
