/** The HTTP server that the settings ask for, and listening in general: what cannot be had, and why. */
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { request } from "node:http";
import { afterEach, describe, it } from "node:test";
import { CommandError } from "../../src/exit.ts";
import { createLog } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { listenOrError } from "../../src/relay/bind.ts";
import { openHttp } from "../../src/relay/http.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";
import { handedOver } from "../support/handed_over.ts";
import { plainSettings } from "../support/settings.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A port of the loopback that another program listens on. */
async function takenPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as { port: number }).port;
}

async function open(
  environment: Readonly<Record<string, string>>,
  { optional = false, sockets = NO_SOCKETS.http } = {},
) {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const log = createLog({ level: "DEBUG", format: "json", write });
  const metrics = new Metrics();
  const settings = plainSettings(environment);
  const http = await openHttp({ settings, log, metrics, sockets, optional });
  if (http !== undefined) ends.push(() => http.close());
  return { http, lines };
}

/** The status of a page, asked for by this name of the host. */
function status(port: number, host: string, path = "/metrics"): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on("error", reject).end();
  });
}

describe("the HTTP server", () => {
  it("is none where HTTP_LISTEN is off", async () => {
    assert.equal((await open({ HTTP_LISTEN: "off" })).http, undefined);
  });

  it("shows metrics to localhost and SERVER_HOSTNAME, and asks for HTTP_PASSWORD where it is set", async () => {
    const listen = { HTTP_LISTEN: "127.0.0.1:0", SERVER_HOSTNAME: "relay.example.com" };
    const { port } = (await open(listen)).http!.addresses[0]!;
    assert.equal(await status(port, "localhost"), 200);
    assert.equal(await status(port, "relay.example.com"), 200);
    assert.equal(await status(port, "other.example.com"), 403);
    const locked = (await open({ ...listen, HTTP_PASSWORD: "a password" })).http!.addresses[0]!;
    assert.equal(await status(locked.port, "localhost"), 401);
  });

  it("listens on the sockets that were handed over, in the place of HTTP_LISTEN", async () => {
    const socket = await handedOver();
    const { http } = await open({ HTTP_LISTEN: "off" }, { sockets: [socket] });
    assert.deepEqual(http?.addresses, [{ hostname: "127.0.0.1", port: socket.port }]);
    assert.equal(await status(socket.port, "localhost"), 200);
    const idle = connect(socket.port, "127.0.0.1");
    const ended = new Promise<void>((resolve) => idle.once("close", () => resolve()));
    idle.on("error", () => {}).resume();
    await new Promise<void>((resolve) => idle.once("connect", () => resolve()));
    // One more answer: the idle connection was accepted before it.
    assert.equal(await status(socket.port, "localhost"), 200);
    await http!.close();
    await ended;
  });

  it("that cannot be had is a reason not to start, or a warning where only the default is", async () => {
    const environment = { HTTP_LISTEN: `127.0.0.1:${await takenPort()}` };
    await assert.rejects(
      open(environment),
      (error) =>
        error instanceof CommandError && error.status === 69 &&
        error.lines[0] ===
          `HTTP_LISTEN ${environment.HTTP_LISTEN}: the port is in use by another program`,
    );
    const { http, lines } = await open(environment, { optional: true });
    assert.equal(http, undefined);
    assert.deepEqual(lines.map(({ level }) => level), ["WARNING"]);
    assert.match(String(lines[0]!["reason"]), /in use by another program/);
  });
});

describe("an address that cannot be listened on", () => {
  const failing = (code: string | undefined) => () => {
    throw Object.assign(new Error("a text"), code === undefined ? {} : { code });
  };
  const why = async (hostname: string, code: string) => {
    try {
      await listenOrError("SMTP_LISTEN", { hostname, port: 2525 }, failing(code));
    } catch (error) {
      assert.ok(error instanceof CommandError);
      assert.equal(error.status, 69);
      return error.lines[0];
    }
    throw new Error("it was listened on");
  };

  it("is named with its setting, in an administrator's words", async () => {
    assert.equal(
      await why("127.0.0.1", "EADDRINUSE"),
      "SMTP_LISTEN 127.0.0.1:2525: the port is in use by another program",
    );
    assert.match((await why("::1", "EXYZ"))!, /^SMTP_LISTEN \[::1\]:2525: .*EXYZ: a text$/);
  });

  it("is a name without an address, where that is the cause and Bun says something else", async () => {
    assert.match((await why("no..name", "EADDRINUSE"))!, /the host name cannot be resolved$/);
    assert.match((await why("localhost", "EADDRINUSE"))!, /in use by another program$/);
  });

  it("is a bug where the fault is none of the system's", async () => {
    const address = { hostname: "127.0.0.1", port: 1 };
    await assert.rejects(listenOrError("X", address, failing(undefined)), /^Error: a text$/);
  });
});
