// Installs, configures, starts, upgrades and removes the .msi package, as an administrator of Windows would:
// `node scripts/try_msi.mjs PACKAGE [OLDER]`. The first message goes through the older one, if there is one,
// the second through the other; the cloud is the sandbox's imitation. Needs openssl. Under Wine, which has no
// event log, no icacls and no restarts, these are left out. Prints a line for each step; exit 0 when all is
// well, 1 when not, 2 for wrong arguments.

import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { connectionOf, environment, inInbox, send } from "./smoke/parts.mjs";
import {
  here,
  msiexec,
  mustRun,
  onWindows,
  run,
  SERVICE,
  serviceGets,
  serviceState,
  started,
  there,
  whyNotHere,
} from "./smoke/windows.mjs";

const PROGRAMS = `C:\\Program Files\\${SERVICE}`;
const DATA = `C:\\ProgramData\\${SERVICE}`;
const RELAY = `${PROGRAMS}\\${SERVICE}.exe`;
const SETTINGS = here(`${DATA}\\relay.env`);
const LOG = here(`${DATA}\\logs\\relay.log`);
const EVENT_SOURCE = `HKLM\\SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\${SERVICE}`;
/** ERROR_INSTALL_FAILURE */
const INSTALL_FAILURE = 1603;
const PORTS = { smtp: 18587, http: 18588 };

const [given, older, ...surplus] = process.argv.slice(2);
if (given === undefined || surplus.length > 0) {
  console.error("usage: node scripts/try_msi.mjs PACKAGE [OLDER]");
  process.exit(2);
}
const [newest, first] = [resolve(given), resolve(older ?? given)];
const work = mkdtempSync(join(tmpdir(), "relay-msi-"));
let cloud;
try {
  const why = whyNotHere();
  if (why !== "") throw new Error(why);
  if (serviceState() !== undefined) throw new Error(`there is a service ${SERVICE} already`);
  await tryOut();
  console.log("ok try_msi");
} catch (error) {
  console.error(`FAIL try_msi: ${error.message}`);
  if (existsSync(LOG)) console.error(readFileSync(LOG, "utf8").split("\n").slice(-20).join("\n"));
  process.exitCode = 1;
} finally {
  cloud?.kill();
  // Windows deletes no program that runs still.
  rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
}

async function tryOut() {
  // As any user could have made it.
  mkdirSync(here(DATA));
  msiexec("/i", first, join(work, "refused.log"), INSTALL_FAILURE);
  if (existsSync(here(RELAY))) throw new Error("installed into a folder that was there");
  rmSync(here(DATA), { recursive: true });
  done("refused where the folder of the data is there already");

  msiexec("/i", first, join(work, "install.log"));
  installed();
  done("installed: not started, and with settings to be filled in");

  // Of a copy: a program that runs cannot be replaced.
  const copy = join(work, "cloud.exe");
  copyFileSync(here(RELAY), copy);
  const options = { env: environment, stdio: ["ignore", "pipe", "pipe"] };
  cloud = started(there(copy), ["sandbox"], options);
  const { inbox, username, password } = await connectionOf(cloud);
  const connection = { server: "127.0.0.1", port: PORTS.smtp, username, password };
  configure(inbox);
  mustRun("sc.exe", "start", SERVICE);
  await serviceGets("RUNNING");
  await send(connection, "Through the service");
  if (!await inInbox(inbox, "Through the service")) throw new Error("the message is not there");
  done("started, and a message sent");

  if (onWindows) {
    mustRun("sc.exe", "control", SERVICE, "paramchange");
    await logged("Reading certificates and LOOKUP_FILE again");
    done("certificates read again");
  }

  const settings = readFileSync(SETTINGS, "utf8");
  if (first !== newest) {
    msiexec("/i", newest, join(work, "upgrade.log"));
    await serviceGets("RUNNING");
    if (readFileSync(SETTINGS, "utf8") !== settings) throw new Error("the settings have changed");
    await send(connection, "After the upgrade");
    if (!await inInbox(inbox, "After the upgrade")) throw new Error("the message is not there");
    done("upgraded: settings kept, started, and a message sent");
  }

  mustRun("sc.exe", "stop", SERVICE);
  const stopped = await serviceGets("STOPPED");
  if (stopped.error !== 0) throw new Error(`stopped with the Windows error ${stopped.error}`);
  await logged("Relay stopped");
  await closed(PORTS.smtp);
  done("stopped in good order");

  writeFileSync(SETTINGS, settings + "LOG_LEVEL=NONSENSE\r\n");
  mustRun("sc.exe", "start", SERVICE);
  const { error, code } = await serviceGets("STOPPED");
  if (error !== 1066 || code !== 78) {
    throw new Error(`a wrong setting ends with the Windows error ${error} and ${code}`);
  }
  await logged("LOG_LEVEL");
  writeFileSync(SETTINGS, settings);
  done("a wrong setting ends with 78");

  if (onWindows) {
    // LOCAL SERVICE, and then the administrators again.
    mustRun("icacls.exe", SETTINGS, "/setowner", "*S-1-5-19");
    mustRun("sc.exe", "start", SERVICE);
    const refused = await serviceGets("STOPPED");
    mustRun("icacls.exe", SETTINGS, "/setowner", "*S-1-5-32-544");
    if (refused.code !== 78) throw new Error(`settings of another user end with ${refused.code}`);
    done("not started with settings of another user");

    events();
    done("in the event log: start, stop, failures and their reasons");
  }

  msiexec("/x", newest, join(work, "remove.log"));
  removed();
  done("removed: settings, certificates and log kept");
}

function done(what) {
  console.log(`ok ${what}`);
}

function installed() {
  const state = serviceState();
  if (state?.name !== "STOPPED") throw new Error(`after the installation, it is ${state?.name}`);
  for (const path of [SETTINGS, here(RELAY)]) {
    if (!existsSync(path)) throw new Error(`${path} is missing`);
  }
  if (!onWindows) return;
  const config = mustRun("sc.exe", "qc", SERVICE);
  for (
    const part of [`"${PROGRAMS}\\${SERVICE}-service.exe" "${DATA}"`, `NT SERVICE\\${SERVICE}`]
  ) {
    if (!config.includes(part)) throw new Error(`sc.exe qc has no ${part}: ${config}`);
  }
  if (!/DELAYED/.test(config)) throw new Error(`the start is not delayed: ${config}`);
  const failure = mustRun("sc.exe", "qfailure", SERVICE);
  if (failure.match(/RESTART/g)?.length !== 3) throw new Error(`no restarts: ${failure}`);
  if (!/TRUE/.test(mustRun("sc.exe", "qfailureflag", SERVICE))) throw new Error("no failure flag");
  const access = mustRun("icacls.exe", DATA);
  if (/Users|Everyone|\(I\)/.test(access)) throw new Error(`others may read: ${access}`);
  if (!access.includes(`NT SERVICE\\${SERVICE}:(OI)(CI)(RX)`)) {
    throw new Error(`the service may not read: ${access}`);
  }
}

function configure(inbox) {
  const certs = here(`${DATA}\\certs`);
  execFileSync("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"],
    ...["-addext", "subjectAltName=DNS:localhost"],
    ...["-keyout", join(certs, "key.pem"), "-out", join(certs, "cert.pem")],
  ], { stdio: "ignore", env: { ...process.env, MSYS_NO_PATHCONV: "1" } });
  const lines = [
    `SMTP_LISTEN=127.0.0.1:${PORTS.smtp}`,
    `HTTP_LISTEN=127.0.0.1:${PORTS.http}`,
    `AZURE_AUTHORITY_HOST=${inbox}entra`,
    `GRAPH_ENDPOINT=${inbox}graph`,
  ];
  // The later line goes before the earlier one.
  writeFileSync(SETTINGS, readFileSync(SETTINGS, "utf8") + lines.join("\r\n") + "\r\n");
}

/** Waits for a line of the log, which is written in the background. */
async function logged(text) {
  for (let looks = 0; looks < 40; looks++) {
    if (existsSync(LOG) && readFileSync(LOG, "utf8").includes(text)) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`the log has no "${text}"`);
}

/** @throws Error if the port is open */
function closed(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", resolve);
    socket.on("connect", () => {
      socket.destroy();
      reject(new Error(`port ${port} is open still`));
    });
  });
}

function events() {
  const query = `*[System[Provider[@Name='${SERVICE}']]]`;
  const text = mustRun("wevtutil.exe", "qe", "Application", `/q:${query}`, "/f:text");
  for (const id of [1, 2, 3, 4, 11]) {
    if (!new RegExp(`Event ID: ${id}\\r?\\n`).test(text)) {
      throw new Error(`no event ${id}: ${text}`);
    }
  }
  for (const part of ["Relay started", "Relay stopped", "exit status 78", "NONSENSE", "S-1-5-19"]) {
    if (!text.includes(part)) throw new Error(`the event log has no "${part}": ${text}`);
  }
}

function removed() {
  if (serviceState() !== undefined) throw new Error("the service is there still");
  if (existsSync(here(RELAY))) throw new Error("the program is there still");
  for (const path of [SETTINGS, LOG, here(`${DATA}\\certs\\key.pem`)]) {
    if (!existsSync(path)) throw new Error(`${path} is gone`);
  }
  if (run("reg.exe", "query", EVENT_SOURCE).status === 0) {
    throw new Error("the source is there still");
  }
}
