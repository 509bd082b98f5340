// install-service on a simulated Windows: what it writes, starts and does not touch.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseEnv } from "node:util";
import type { Command } from "../../src/windows/commands.ts";
import {
  type Files,
  install,
  type Machine,
  plan,
  removalPlan,
  remove,
} from "../../src/windows/install.ts";
import { layoutOf, SETTINGS_FILE } from "../../src/windows/names.ts";

const LAYOUT = layoutOf({});
const PROGRAM = "C:\\Program Files\\smtp-oauth-relay\\smtp-oauth-relay.exe";
const HOST = "C:\\Program Files\\smtp-oauth-relay\\smtp-oauth-relay-service.exe";
const DATA = "C:\\ProgramData\\smtp-oauth-relay";
const SETTINGS = `${DATA}\\relay.env`;
const CERTIFICATE = { [`${DATA}\\certs\\cert.pem`]: "cert", [`${DATA}\\certs\\key.pem`]: "key" };
const OPTIONS = { executable: "D:\\new\\smtp-oauth-relay.exe", layout: LAYOUT, start: true };

/** As sc.exe prints it, in the words of a German Windows. */
const STATES = {
  RUNNING:
    "SERVICE_NAME: x TYP : 10 WIN32_OWN_PROCESS STATUS : 4 RUNNING (STOPPABLE) EXITCODE : 0 (0x0)",
  STOPPED: "SERVICE_NAME: x TYP : 10 WIN32_OWN_PROCESS STATUS : 1 STOPPED EXITCODE : 1066 (0x42a)",
  STOP_PENDING: "SERVICE_NAME: x TYP : 10 WIN32_OWN_PROCESS STATUS : 3 STOP_PENDING (STOPPABLE)",
  START_PENDING: "SERVICE_NAME: x TYP : 10 WIN32_OWN_PROCESS STATUS : 2 START_PENDING",
};
type State = keyof typeof STATES;

class Imitated implements Machine {
  readonly stored = new Map<string, string>();
  readonly ran: string[] = [];
  /** The states to come; the last one stays. Undefined: there is no service. */
  states: State[] | undefined;
  /** What the service comes to when it is started. */
  afterStart: State[] = ["START_PENDING", "RUNNING"];
  /** The beginning of a command that fails. */
  fails = "-";
  locked = "";
  paused = 0;
  /** What had been done at each look at the owners, and what these looks find. */
  readonly looks: (readonly string[])[] = [];
  foreign: readonly (string | undefined)[] = [];

  constructor(files: Record<string, string> = {}, states?: State[]) {
    for (const [path, text] of Object.entries(files)) this.stored.set(path, text);
    this.stored.set("D:\\new\\smtp-oauth-relay.exe", "version 2");
    this.stored.set("D:\\new\\smtp-oauth-relay-service.exe", "host 2");
    this.states = states;
  }
  readonly files: Files = {
    read: (path) => this.stored.get(path),
    write: (path, text) => {
      this.ran.push(`write ${path}`);
      this.stored.set(path, text);
    },
    directory: () => {},
    copy: (from, to) => void this.stored.set(to, this.stored.get(from)!),
    remove: (path) => path !== this.locked && this.stored.delete(path),
  };
  run(command: Command) {
    const [program, verb] = command;
    if (verb === "query") {
      if (this.states === undefined) return { status: 1060, output: "[SC] FEHLER 1060" };
      const state = this.states.length > 1 ? this.states.shift()! : this.states[0]!;
      return { status: 0, output: STATES[state] };
    }
    const line = command.join(" ");
    if (verb === "--check") {
      assert.match(program!, /^[A-Z]:\\.*\\smtp-oauth-relay-service\.exe$/);
      assert.equal(command[2], DATA);
      const found = this.foreign[this.looks.length];
      this.looks.push([...this.ran]);
      return { status: found === undefined ? 0 : 1, output: found ?? "" };
    }
    this.ran.push(`${program} ${verb}`);
    if (line.startsWith(this.fails)) return { status: 5, output: "Zugriff verweigert" };
    if (verb === "create") this.states = ["STOPPED"];
    if (verb === "delete") this.states = undefined;
    if (verb === "start") this.states = this.afterStart;
    if (verb === "stop") this.states = ["STOP_PENDING", "STOP_PENDING", "STOPPED"];
    return { status: 0, output: "" };
  }
  pause(milliseconds: number) {
    this.paused += milliseconds;
  }
}

describe("install-service on Windows", () => {
  it("copies both programs, makes the service, writes the settings and starts", () => {
    const machine = new Imitated(CERTIFICATE);
    const { lines, problem } = install(OPTIONS, machine);
    assert.equal(problem, undefined);
    assert.equal(machine.stored.get(PROGRAM), "version 2");
    assert.equal(machine.stored.get(HOST), "host 2");
    assert.equal(machine.stored.get(SETTINGS), SETTINGS_FILE);
    assert.equal(lines.at(-1), "smtp-oauth-relay started");
    assert.equal(machine.ran[0], "sc.exe create");
    // Only after nobody else may write there.
    const locked = machine.ran.lastIndexOf("icacls.exe C:\\ProgramData\\smtp-oauth-relay");
    assert.ok(locked > 0 && machine.ran.indexOf(`write ${SETTINGS}`) > locked);
  });

  it("does not start without a certificate, and names the missing files", () => {
    const machine = new Imitated();
    const { lines, problem } = install(OPTIONS, machine);
    assert.equal(problem, undefined);
    assert.match(
      lines.at(-1)!,
      /^not started: .*certs\\cert\.pem and .*certs\\key\.pem are missing/,
    );
    assert.ok(!machine.ran.includes("sc.exe start"));
  });

  it("starts without these files where the settings need none", () => {
    for (
      const settings of ["TLS_SOURCE=off", "TLS_SOURCE = keyvault", "TLS_CERT_FILEPATH=D:\\c.pem"]
    ) {
      const machine = new Imitated({ [SETTINGS]: `LOG_LEVEL=INFO\r\n${settings}\r\n` });
      assert.equal(install(OPTIONS, machine).lines.at(-1), "smtp-oauth-relay started", settings);
    }
  });

  it("brings a running service to this version: waits for its end, and keeps the settings", () => {
    const machine = new Imitated({ [PROGRAM]: "version 1", [SETTINGS]: "LOG_LEVEL=DEBUG" }, [
      "RUNNING",
    ]);
    const { lines, problem } = install(OPTIONS, machine);
    assert.equal(problem, undefined);
    assert.deepEqual(machine.ran.slice(0, 2), ["sc.exe stop", "sc.exe config"]);
    assert.equal(machine.paused, 1500);
    assert.equal(machine.stored.get(PROGRAM), "version 2");
    assert.equal(machine.stored.get(SETTINGS), "LOG_LEVEL=DEBUG");
    assert.equal(lines.at(-1), "smtp-oauth-relay started");
  });

  it("copies nothing onto itself", () => {
    const machine = new Imitated(CERTIFICATE);
    const { lines } = install({ ...OPTIONS, executable: PROGRAM.toUpperCase() }, machine);
    assert.ok(!lines.some((line) => line.includes("copied")));
  });

  it("says that it has stopped the service if a program cannot be replaced", () => {
    const machine = new Imitated(CERTIFICATE, ["RUNNING"]);
    machine.files.copy = () => {
      throw new Error("ENOSPC: no space left on device");
    };
    const { lines, problem } = install(OPTIONS, machine);
    assert.deepEqual(lines, ["smtp-oauth-relay stopped"]);
    assert.equal(problem, `${PROGRAM} cannot be replaced: ENOSPC: no space left on device`);
  });

  it("names the command that fails, and stops there", () => {
    const machine = new Imitated(CERTIFICATE);
    machine.fails = "sc.exe failure ";
    const { problem } = install(OPTIONS, machine);
    assert.match(problem!, /^sc\.exe failure .*: status 5: Zugriff verweigert$/);
    assert.ok(!machine.ran.some((command) => command.startsWith("icacls")));
  });

  it("does nothing where another user has made the folder", () => {
    const machine = new Imitated({ ...CERTIFICATE, [SETTINGS]: "GRAPH_ENDPOINT=planted" }, [
      "RUNNING",
    ]);
    machine.foreign = [`${SETTINGS} belongs to S-1-5-21-1`];
    const { lines, problem } = install(OPTIONS, machine);
    assert.match(problem!, /--check .*: status 1: .*relay\.env belongs to S-1-5-21-1$/);
    assert.deepEqual(lines, []);
    assert.deepEqual(machine.ran, []);
    assert.ok(!machine.stored.has(PROGRAM));
  });

  it("starts nothing if another user has put something there until the folder was closed", () => {
    const machine = new Imitated(CERTIFICATE);
    machine.foreign = [undefined, `${SETTINGS} belongs to S-1-5-21-1`];
    assert.match(install(OPTIONS, machine).problem!, /belongs to S-1-5-21-1$/);
    assert.ok(machine.looks[1]!.some((command) => command.startsWith("icacls.exe")));
    assert.equal(machine.ran.at(-1), `icacls.exe ${DATA}\\queue`);
  });

  it("says where the log is if the service does not start", () => {
    const machine = new Imitated(CERTIFICATE);
    machine.afterStart = ["START_PENDING", "STOPPED"];
    assert.match(
      install(OPTIONS, machine).problem!,
      /does not start: .*logs\\relay\.log says why$/,
    );
  });

  it("prints its commands, and does not start with --no-start", () => {
    const lines = plan({ ...OPTIONS, start: false });
    assert.ok(
      lines.every((line) => /^(?:# |(?:sc|reg|icacls)\.exe )/.test(line)),
      lines.join("\n"),
    );
    assert.ok(!lines.some((line) => line.includes("sc.exe start")));
    assert.ok(plan(OPTIONS).includes("sc.exe start smtp-oauth-relay"));
    const machine = new Imitated(CERTIFICATE);
    const done = install({ ...OPTIONS, start: false }, machine);
    assert.equal(done.lines.at(-1), "to start: sc.exe start smtp-oauth-relay");
  });

  it("writes settings that the relay can read", () => {
    assert.deepEqual({ ...parseEnv(SETTINGS_FILE) }, {
      LOG_LEVEL: "INFO",
      SMTP_LISTEN: ":25,:587",
    });
  });
});

describe("install-service --remove", () => {
  it("stops and deletes the service, and keeps the data", () => {
    const machine = new Imitated({ ...CERTIFICATE, [PROGRAM]: "1", [HOST]: "1", [SETTINGS]: "" }, [
      "RUNNING",
    ]);
    machine.locked = PROGRAM;
    const { lines, problem } = remove(LAYOUT, machine);
    assert.equal(problem, undefined);
    assert.deepEqual(machine.ran, ["sc.exe stop", "sc.exe delete", "reg.exe delete"]);
    assert.ok(machine.stored.has(SETTINGS));
    assert.ok(!machine.stored.has(HOST));
    assert.ok(lines.includes(`${PROGRAM} stays while it runs: delete it afterwards`));
  });

  it("says that there is none", () => {
    assert.equal(remove(LAYOUT, new Imitated()).problem, "there is no service smtp-oauth-relay");
  });

  it("prints what it does", () => {
    assert.ok(removalPlan(LAYOUT).includes("sc.exe delete smtp-oauth-relay"));
    assert.ok(removalPlan(LAYOUT).includes(`# keep ${DATA}`));
  });
});
