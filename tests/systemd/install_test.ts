// install-service on a simulated machine: what it writes, starts and does not touch. On a real one it
// runs in tests/deploy/systemd_real.sh.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { install, type InstallOptions, type Machine, plan } from "../../src/systemd/install.ts";
import { SERVICE, SOCKETS, UNITS } from "../../src/systemd/units.ts";

const INSTALLED = "/usr/local/bin/smtp-oauth-relay";
const UNIT = "/etc/systemd/system/smtp-oauth-relay.service";
const SOCKET = "/etc/systemd/system/smtp-oauth-relay.socket";
const ENVIRONMENT = "/etc/smtp-oauth-relay/environment";
const CERTIFICATE = {
  "/etc/smtp-oauth-relay/cert.pem": "cert",
  "/etc/smtp-oauth-relay/key.pem": "key",
};
const OPTIONS: InstallOptions = { executable: "/root/relay", socketActivation: false, start: true };

/** A machine whose systemd starts services as requested. */
class Imitated implements Machine {
  readonly files = new Map<string, string>([["/root/relay", "version 2"]]);
  readonly modes = new Map<string, number>();
  readonly active = new Set<string>();
  readonly calls: string[] = [];
  /** The call that fails. */
  fails = "";
  /** Whether the process runs what is in the file now. */
  replaced = false;

  constructor(files: Record<string, string> = {}) {
    for (const [path, text] of Object.entries(files)) this.files.set(path, text);
  }
  read(path: string) {
    return this.files.get(path);
  }
  write(path: string, text: string, mode: number) {
    this.files.set(path, text);
    this.modes.set(path, mode);
  }
  directory() {}
  exists(path: string) {
    return this.files.has(path);
  }
  sameContent(one: string, other: string) {
    return this.files.get(one) === this.files.get(other);
  }
  copy(from: string, to: string, mode: number) {
    this.write(to, this.files.get(from)!, mode);
  }
  executableOf(pid: string) {
    assert.equal(pid, "4711");
    return this.replaced ? undefined : INSTALLED;
  }
  systemctl(...args: readonly string[]) {
    const [verb, ...names] = args;
    const call = args.join(" ");
    if (verb === "is-active") return { ok: this.active.has(names.at(-1)!), output: "" };
    if (call.startsWith("show --property=MainPID ")) return { ok: true, output: "4711" };
    if (verb === "show") return { ok: true, output: "Listening on [::]:8025" };
    this.calls.push(call);
    if (call === this.fails) return { ok: false, output: "Job failed." };
    for (const name of names) {
      if (verb === "stop") this.active.delete(name);
      if (verb === "start" || verb === "restart") this.active.add(name);
    }
    return { ok: true, output: "" };
  }
  /** Calls to systemd since the last time. */
  asked() {
    return this.calls.splice(0);
  }
}

const { name: service } = SERVICE;
const sockets = SOCKETS.map(({ name }) => name).join(" ");

describe("install-service", () => {
  it("copies the executable, writes unit and settings, enables and starts", () => {
    const machine = new Imitated(CERTIFICATE);
    const { lines, problem } = install(OPTIONS, machine);
    assert.equal(problem, undefined);
    assert.equal(machine.files.get(INSTALLED), "version 2");
    assert.equal(machine.modes.get(INSTALLED), 0o755);
    assert.equal(machine.files.get(UNIT), SERVICE.text);
    assert.equal(machine.modes.get(UNIT), 0o644);
    for (const { name, text } of UNITS) {
      assert.equal(machine.files.get(`/etc/systemd/system/${name}`), text);
    }
    assert.ok(!machine.files.has(SOCKET));
    // Nothing in it is set: it is an example.
    assert.match(machine.files.get(ENVIRONMENT)!, /^(?:#.*\n)+$/);
    assert.deepEqual(machine.asked(), ["daemon-reload", `enable ${service}`, `restart ${service}`]);
    assert.equal(lines.at(-1), `${service} started: Listening on [::]:8025`);
  });

  it("changes and restarts nothing the second time, and an update once", () => {
    const machine = new Imitated(CERTIFICATE);
    install(OPTIONS, machine);
    machine.write(ENVIRONMENT, "LOG_LEVEL=INFO\n", 0o600);
    machine.asked();
    const again = install({ ...OPTIONS, executable: INSTALLED }, machine);
    assert.deepEqual(machine.asked(), ["daemon-reload", `enable ${service}`]);
    assert.match(again.lines.at(-1)!, / runs on: /);
    assert.equal(machine.files.get(ENVIRONMENT), "LOG_LEVEL=INFO\n", "settings are the owner's");

    // A new version was copied there by hand.
    machine.replaced = true;
    install({ ...OPTIONS, executable: INSTALLED }, machine);
    assert.ok(machine.asked().includes(`restart ${service}`));
    machine.replaced = false;

    machine.files.set("/root/relay", "version 3");
    install(OPTIONS, machine);
    assert.equal(machine.files.get(INSTALLED), "version 3");
    assert.ok(machine.asked().includes(`restart ${service}`));
  });

  it("keeps a unit that was edited", () => {
    const machine = new Imitated({ ...CERTIFICATE, [UNIT]: "mine" });
    const { lines } = install(OPTIONS, machine);
    assert.equal(machine.files.get(UNIT), SERVICE.text);
    assert.equal(machine.files.get(`${UNIT}.old`), "mine");
    assert.ok(lines.some((line) => line.includes("smtp-oauth-relay.service.old")));
  });

  it("does not start without the certificate's files, unless the settings need none", () => {
    const machine = new Imitated({ "/etc/smtp-oauth-relay/cert.pem": "cert" });
    const { lines, problem } = install(OPTIONS, machine);
    assert.equal(problem, undefined);
    assert.ok(!machine.active.has(service));
    assert.match(
      lines.at(-1)!,
      /^not started: \/etc\/smtp-oauth-relay\/key\.pem is missing .*start/,
    );
    for (
      const [text, started] of [
        ["TLS_SOURCE=off\nREQUIRE_TLS=false\n", true],
        ['A=b\nTLS_SOURCE="keyvault"\n', true],
        ["#TLS_SOURCE=off\n", false],
        ["TLS_SOURCE=file\n", false],
      ] as const
    ) {
      const other = new Imitated({ [ENVIRONMENT]: text });
      install(OPTIONS, other);
      assert.equal(other.active.has(service), started, text);
    }
  });

  it("opens the sockets before the service, which it stops for that", () => {
    const machine = new Imitated(CERTIFICATE);
    machine.active.add(service);
    install({ ...OPTIONS, socketActivation: true }, machine);
    assert.equal(machine.files.get(SOCKET), SOCKETS[0]!.text);
    assert.deepEqual(machine.asked(), [
      "daemon-reload",
      `enable ${service} ${sockets}`,
      `stop ${service}`,
      `start ${sockets}`,
      `restart ${service}`,
    ]);
    // An update without the option leaves them open, and keeps them up to date.
    machine.files.set(SOCKET, "version 1");
    install(OPTIONS, machine);
    assert.equal(machine.files.get(SOCKET), SOCKETS[0]!.text);
    assert.deepEqual(machine.asked(), ["daemon-reload", `enable ${service}`, `restart ${service}`]);
  });

  it("only enables with --no-start", () => {
    const machine = new Imitated(CERTIFICATE);
    const { lines } = install({ ...OPTIONS, start: false }, machine);
    assert.deepEqual(machine.asked(), ["daemon-reload", `enable ${service}`]);
    assert.equal(lines.at(-1), `to start: systemctl start ${service}`);
  });

  it("reports what failed, with the relay's own message", () => {
    for (const call of ["daemon-reload", `restart ${service}`]) {
      const machine = new Imitated(CERTIFICATE);
      machine.fails = call;
      const { problem } = install(OPTIONS, machine);
      assert.match(problem!, new RegExp(`^systemctl ${call}: `));
    }
  });

  it("plans what it does", () => {
    const machine = new Imitated(CERTIFICATE);
    const options = { ...OPTIONS, socketActivation: true };
    const planned = plan(options).join("\n");
    install(options, machine);
    for (const path of machine.modes.keys()) assert.ok(planned.includes(path), path);
    assert.ok(planned.includes(`systemctl enable --now ${service} ${sockets}`));
    assert.ok(!plan({ ...OPTIONS, executable: INSTALLED }).join("\n").includes("copy"));
  });
});
