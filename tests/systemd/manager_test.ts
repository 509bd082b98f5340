// sd_notify(3): what is sent, in which order, and what happens on errors.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Messenger, ServiceManager } from "../../src/systemd/manager.ts";
import { type RelayState, statusLine } from "../../src/systemd/status.ts";

const PID = 4711;
const STATE: RelayState = {
  listening: ["[::]:25", "[::]:465"],
  connections: 1,
  sent: 12,
  refused: 2,
  deferred: 0,
  ambiguous: 0,
};

/** Records what the service manager is sent. */
class RecordingMessenger implements Messenger {
  readonly texts: string[] = [];
  /** The errno of the next datagrams; then 0. */
  readonly errnos: number[] = [];
  #waiting: (() => void)[] = [];

  sendDatagram(path: string, text: string): number {
    assert.equal(path, "/run/notify");
    const errno = this.errnos.shift() ?? 0;
    if (errno === 0) this.texts.push(text);
    for (const resolve of this.#waiting.splice(0)) resolve();
    return errno;
  }
  monotonic() {
    return 1234567n;
  }
  async until(condition: () => boolean) {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

async function managed(variables: Record<string, string> = {}, canAccept = () => true) {
  const messenger = new RecordingMessenger();
  const environment: Record<string, string | undefined> = {
    NOTIFY_SOCKET: "/run/notify",
    ...variables,
  };
  const load = () => Promise.resolve(messenger);
  const manager = await ServiceManager.of(environment, PID, load, canAccept);
  assert.deepEqual(environment, {}, "no child speaks in our name");
  const warnings: unknown[] = [];
  manager.logTo((message, fields) => warnings.push([message, fields]));
  return { messenger, manager, warnings };
}

describe("the service manager", () => {
  it("is notified that the relay is ready, reloads, stops and ends", async () => {
    const { messenger, manager } = await managed();
    manager.ready(() => STATE);
    await manager.reloading(() => Promise.resolve());
    manager.stopping();
    manager.ended();
    const status = `STATUS=${statusLine(STATE)}`;
    assert.deepEqual(messenger.texts, [
      `READY=1\n${status}`,
      "RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=Reloading",
      `READY=1\n${status}`,
      "STOPPING=1",
      "EXTEND_TIMEOUT_USEC=20000000\nSTATUS=Stopping: 1 connection still open",
      "STATUS=Stopped",
    ]);
  });

  it("gets no reload before the relay is ready, nor READY while it stops", async () => {
    const { messenger, manager } = await managed();
    await manager.reloading(() => Promise.resolve());
    assert.equal(messenger.texts.length, 0);
    manager.ready(() => STATE);
    const { promise, resolve } = Promise.withResolvers<void>();
    const reload = manager.reloading(() => promise);
    manager.stopping();
    resolve();
    await reload;
    manager.ended();
    assert.equal(messenger.texts.filter((text) => text.startsWith("READY=1")).length, 1);
  });

  it("gets READY once after overlapping reloads, also when one fails", async () => {
    const { messenger, manager } = await managed();
    manager.ready(() => STATE);
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const both = [manager.reloading(() => first.promise), manager.reloading(() => second.promise)];
    first.resolve();
    await both[0];
    assert.doesNotMatch(messenger.texts.at(-1)!, /READY/);
    second.reject(new Error("no"));
    await assert.rejects(both[1]!, /no/);
    assert.match(messenger.texts.at(-1)!, /^READY=1\n/);
    manager.ended();
  });

  it("is sent heartbeats every half of WATCHDOG_USEC (sd_watchdog_enabled(3))", async () => {
    const { manager } = await managed({ WATCHDOG_USEC: "30000000" });
    const { setInterval } = globalThis;
    const delays: unknown[] = [];
    globalThis.setInterval = ((run: () => void, delay: number) => {
      delays.push(delay);
      return setInterval(run, delay);
    }) as typeof setInterval;
    try {
      manager.ready(() => STATE);
    } finally {
      globalThis.setInterval = setInterval;
      manager.ended();
    }
    assert.ok(delays.includes(15_000), delays.join());
  });

  it("gets a heartbeat if WATCHDOG_USEC is meant for this process", async () => {
    const { messenger, manager } = await managed({
      WATCHDOG_USEC: "20000",
      WATCHDOG_PID: String(PID),
    });
    const beats = () => messenger.texts.filter((text) => text === "WATCHDOG=1").length;
    assert.equal(beats(), 0, "none before it is ready");
    manager.ready(() => STATE);
    await messenger.until(() => beats() >= 3);
    manager.stopping();
    const before = beats();
    await messenger.until(() => beats() > before);
    manager.ended();
    for (
      const variables of [{ WATCHDOG_USEC: "20000", WATCHDOG_PID: "1" }, { WATCHDOG_USEC: "0" }]
    ) {
      const other = await managed(variables);
      other.manager.ready(() => STATE);
      other.manager.ended();
      assert.ok(!other.messenger.texts.includes("WATCHDOG=1"));
    }
  });

  it("gets no heartbeat while no connection could be accepted", async () => {
    let accepts = false;
    let asked = 0;
    const { messenger, manager } = await managed({ WATCHDOG_USEC: "2000" }, () => {
      asked++;
      if (asked === 5) {
        assert.ok(!messenger.texts.includes("WATCHDOG=1"));
        accepts = true;
      }
      return accepts;
    });
    manager.ready(() => STATE);
    await messenger.until(() => messenger.texts.includes("WATCHDOG=1"));
    assert.ok(asked >= 5);
    manager.ended();
  });

  it("is notified again, in order, when its queue is full", async () => {
    const { messenger, manager, warnings } = await managed();
    const EAGAIN = 11;
    messenger.errnos.push(EAGAIN, EAGAIN);
    manager.ready(() => STATE);
    await manager.reloading(() => Promise.resolve());
    assert.equal(messenger.texts.length, 0);
    await messenger.until(() => messenger.texts.length === 3);
    assert.deepEqual(messenger.texts.map((text) => text.split("\n")[0]), [
      "READY=1",
      "RELOADING=1",
      "READY=1",
    ]);
    assert.deepEqual(warnings, []);
    manager.ended();
  });

  it("may be unreachable: one warning, until it works again", async () => {
    const { messenger, manager, warnings } = await managed();
    messenger.errnos.push(111, 111, 0, 2);
    manager.ready(() => STATE);
    for (let i = 0; i < 2; i++) await manager.reloading(() => Promise.resolve());
    manager.ended();
    const text = "Cannot notify the service manager (NOTIFY_SOCKET)";
    assert.deepEqual(warnings, [
      [text, { socket: "/run/notify", error: "errno 111" }],
      [text, { socket: "/run/notify", error: "errno 2" }],
    ]);
    const warned: unknown[] = [];
    const none = await ServiceManager.of({ NOTIFY_SOCKET: "/x" }, PID, () => {
      throw new Error("no libc");
    });
    none.logTo((_, fields) => warned.push(fields["error"]));
    none.ready(() => STATE);
    none.ended();
    assert.deepEqual(warned, ["no libc"]);
  });

  it("gets a status of one line, whatever an error contains", async () => {
    const { messenger, manager } = await managed();
    manager.ended("first\nREADY=1\r\nlast");
    assert.deepEqual(messenger.texts, ["STATUS=first READY=1 last"]);
  });

  it("is not notified if there is none", async () => {
    const manager = await ServiceManager.of({}, PID, () => {
      throw new Error("nothing is loaded");
    });
    manager.ready(() => STATE);
    await manager.reloading(() => Promise.resolve());
    manager.stopping();
    manager.ended();
  });
});

describe("the status line", () => {
  it("shows people where the relay listens and what it has done", () => {
    assert.equal(
      statusLine(STATE),
      "Listening on [::]:25, [::]:465; 1 connection open; since the start 12 messages sent, " +
        "2 refused, 0 deferred",
    );
    assert.match(
      statusLine({ ...STATE, connections: 0, sent: 1, ambiguous: 3 }),
      /; 0 connections open; since the start 1 message sent, .*, 3 perhaps sent$/,
    );
  });
});
