// What `check --service` reads from a unit: ports as its user, files that its user may read, and
// credentials that are removed afterwards. tests/end_to_end/check_service_test.ts runs the program.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { check } from "../../src/check/check.ts";
import { asUser, serviceToCheck } from "../../src/check/installed_service.ts";
import { checkPorts, type PortTools } from "../../src/check/ports_check.ts";

describe("the ports of a service without CAP_NET_BIND_SERVICE", () => {
  const tools: PortTools = {
    listen: () => ({ close() {} }),
    http: undefined,
    get: () => Promise.reject(new Error("no request is needed")),
  };
  const codes = async (port: number, first: number) => {
    const address = { hostname: "127.0.0.1", port };
    const found = await checkPorts([{ setting: "SMTP_LISTEN", address }], asUser(tools, first));
    return found.map(({ code }) => code);
  };

  it("are privileged below the first one that is not (ip(7)), even for root", async () => {
    assert.deepEqual(await codes(25, 1024), ["ports.privileged"]);
    assert.deepEqual(await codes(8025, 1024), ["ports.free"]);
    // As in containers.
    assert.deepEqual(await codes(25, 0), ["ports.free"]);
    assert.deepEqual(await codes(0, 1024), ["ports.free"]);
  });
});

describe("an installed service", () => {
  const directory = process.cwd();
  const environment = { ...process.env };
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "relay-installed-"));
    chmodSync(folder, 0o755);
  });
  afterEach(() => {
    // Reading a service changes both for the rest of the program.
    process.chdir(directory);
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, environment);
    rmSync(folder, { recursive: true });
  });

  function unit(...lines: readonly string[]): string {
    const path = join(folder, "relay.service");
    const text = ["[Service]", "ExecStart=/bin/true serve", ...lines].join("\n");
    writeFileSync(path, `${text}\n`);
    return path;
  }

  /** Where systemd would put a credential contained in the unit, and the relay reads it. */
  const credential = (id: string) => [
    `SetCredential=${id}:a password`,
    `Environment=HTTP_PASSWORD_FILE=/run/credentials/relay.service/${id}`,
  ];

  it("has its credentials in a file of this user alone, until it is closed", () => {
    const service = serviceToCheck(unit(...credential("password")));
    const path = service.variables["HTTP_PASSWORD_FILE"]!;
    assert.equal(readFileSync(path, "utf8"), "a password");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    service.close();
    assert.equal(existsSync(path), false);
  });

  it("leaves no credentials when the options exclude each other", async () => {
    const id = randomBytes(8).toString("hex");
    const left = () =>
      ["/dev/shm", tmpdir()].filter(existsSync).flatMap((base) =>
        readdirSync(base).filter((name) =>
          name.startsWith("relay-check-") && existsSync(join(base, name, id))
        )
      );
    const findings = check({ service: unit(...credential(id)), username: "scanner@lookup" }, []);
    assert.equal((await findings.next()).value?.code, "service.ok");
    assert.equal(left().length, 1);
    await assert.rejects(async () => {
      for await (const _ of findings);
    }, /--username needs --password-file/);
    assert.deepEqual(left(), []);
  });

  it("may start in a directory that systemd makes, and in no other that does not exist", () => {
    const failures = (...lines: readonly string[]) => {
      const service = serviceToCheck(unit(...lines));
      service.close();
      return service.findings.filter(({ code }) => code === "service.fails").length;
    };
    const name = `relay-${randomBytes(8).toString("hex")}`;
    const working = `WorkingDirectory=%S/${name}`;
    assert.equal(failures(working, "StateDirectory=other"), 1);
    assert.equal(failures(working, `StateDirectory=other ${name}:link`), 0);
    assert.equal(process.cwd(), "/");
  });

  it("has its queue where the unit lets it write", () => {
    const found = (queue: string, ...lines: readonly string[]) => {
      const service = serviceToCheck(
        unit("Environment=DELIVERY_MODE=queue", `Environment=QUEUE_URL=${queue}`, ...lines),
      );
      service.close();
      return service.findings.filter(({ code }) => code === "service.read-only").length;
    };
    const state = ["StateDirectory=relay", "WorkingDirectory=%S/relay"];
    const strict = "ProtectSystem=strict";
    assert.equal(found("sqlite:/srv/queue.db", strict), 1);
    assert.equal(found("sqlite:/srv/queue.db", "DynamicUser=yes", ...state), 1);
    assert.equal(found("sqlite:/srv/queue.db"), 0);
    assert.equal(found("sqlite:/srv/mail/queue.db", strict, "ReadWritePaths=/opt -/srv/mail/"), 0);
    assert.equal(found("sqlite:queue.db", "DynamicUser=yes", ...state), 0);
    assert.equal(found("sqlite:queue.db", "DynamicUser=yes"), 1);
    assert.equal(found("azure-storage:https://a.queue.core.windows.net", strict), 0);
    assert.equal(found("sqlite:/srv/queue.db", strict, "Environment=DELIVERY_MODE=direct"), 0);
  });

  it("may read a file of its groups, and not one of others", { skip: !process.getgid }, () => {
    const key = join(folder, "key.pem");
    writeFileSync(key, "any content");
    chmodSync(key, 0o640);
    const names = ["TLS_KEY_FILEPATH", "CLIENT_KEY_FILEPATH", "LOOKUP_FILE"];
    for (const name of names) {
      const settings = ["User=nobody", `Environment=${name}=${key}`];
      const hidden = (...lines: readonly string[]) => {
        const service = serviceToCheck(unit(...settings, ...lines));
        service.close();
        return service.findings.filter(({ code }) => code === "service.hidden").length;
      };
      assert.equal(hidden(), 1, name);
      assert.equal(hidden(`SupplementaryGroups=${process.getgid!()}`), 0, name);
    }
  });
});
