/** What a service manager is told of the end, and which of its sockets can be used (sd_listen_fds(3)). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CommandError } from "../../src/exit.ts";
import { socketsFor, underServiceManager } from "../../src/relay/service_manager.ts";
import { ServiceManager } from "../../src/systemd/manager.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";
import { plainSettings } from "../support/settings.ts";

async function run(command: () => Promise<void>): Promise<string[]> {
  const told: string[] = [];
  const messenger = {
    sendDatagram(_: string, text: string) {
      told.push(text);
      return 0;
    },
    monotonic: () => 1n,
  };
  const environment = { NOTIFY_SOCKET: "/run/notify" };
  const open = () => ServiceManager.of(environment, 1, () => Promise.resolve(messenger));
  let failure: unknown;
  await underServiceManager(command, open).catch((error) => failure = error);
  return [...told, String(failure instanceof Error ? failure.message : failure)];
}

describe("a service manager", () => {
  it("is told the first line of why a command does not start", async () => {
    const failing = () => Promise.reject(new CommandError(78, ["SMTP_LISTEN is bad", "and more"]));
    assert.deepEqual(await run(failing), [
      "STATUS=SMTP_LISTEN is bad",
      "SMTP_LISTEN is bad\nand more",
    ]);
  });

  it("is not told the words of a bug, which may be anything", async () => {
    const failing = () => Promise.reject(new Error("a secret"));
    assert.deepEqual(await run(failing), ["STATUS=Internal error: see the log", "a secret"]);
  });

  it("is told nothing by a command that ends well", async () => {
    assert.deepEqual(await run(() => Promise.resolve()), ["undefined"]);
  });
});

describe("sockets that were handed over", () => {
  const socket = (hostname: string) => ({ descriptor: 3, hostname, port: 25 });
  const given = (sockets: Partial<typeof NO_SOCKETS>) => () =>
    Promise.resolve({ type: "sockets", sockets: { ...NO_SOCKETS, ...sockets } } as const);
  const refused = async (
    environment: Readonly<Record<string, string>>,
    sockets: Partial<typeof NO_SOCKETS>,
  ) => {
    try {
      await socketsFor(plainSettings(environment), given(sockets));
    } catch (error) {
      assert.ok(error instanceof CommandError);
      return [error.status, ...error.lines.map((line) => /socket \w+/.exec(line)?.[0])];
    }
    return [];
  };

  it("are used as they are", async () => {
    const sockets = { smtp: [socket("::")], http: [socket("127.0.0.1")] };
    assert.deepEqual(await socketsFor(plainSettings(), given(sockets)), {
      ...NO_SOCKETS,
      ...sockets,
    });
  });

  it("are none where the environment names none", async () => {
    assert.deepEqual(await socketsFor(plainSettings()), NO_SOCKETS);
    await underServiceManager((manager) => {
      assert.ok(manager instanceof ServiceManager);
      return Promise.resolve();
    });
  });

  it("for SMTPS need a certificate", async () => {
    const smtps = [socket("::")];
    assert.deepEqual(await refused({ TLS_SOURCE: "off" }, { smtps }), [78, "socket smtps"]);
    assert.deepEqual(await refused({ TLS_SOURCE: "file" }, { smtps }), []);
  });

  it("for HTTP need a password off the loopback", async () => {
    const http = [socket("127.0.0.1"), socket("192.0.2.1")];
    assert.deepEqual(await refused({}, { http }), [78, "socket http"]);
    assert.deepEqual(await refused({ HTTP_PASSWORD: "a password" }, { http }), []);
    assert.deepEqual(await refused({}, { smtps: [socket("::")], http }), [
      78,
      "socket smtps",
      "socket http",
    ]);
  });

  it("that cannot be used at all are a bad setting, each in a line", async () => {
    const problems = ["one", "two"];
    await assert.rejects(
      socketsFor(plainSettings(), () => Promise.resolve({ type: "problems", problems })),
      (error) =>
        error instanceof CommandError && error.status === 78 &&
        error.lines.join() === problems.join(),
    );
  });
});
