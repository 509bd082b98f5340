/** The process around a relay: its log on standard error, its signals, and what nobody catches. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import { CommandError } from "../../src/exit.ts";
import { withLog } from "../../src/relay/process_log.ts";
import { onHangup, stopSignal, surviveFaults } from "../../src/relay/process_events.ts";
import { plainSettings } from "../support/settings.ts";

/** Runs with another end of the process. @returns the statuses that it would have ended with */
async function withoutExit(action: () => Promise<unknown>): Promise<number[]> {
  const statuses: number[] = [];
  const { exit } = process;
  process.exit = ((status: number) => void statuses.push(status)) as typeof process.exit;
  try {
    await action();
  } finally {
    process.exit = exit;
  }
  return statuses;
}

/** Listens to events of the process, sends some, and listens no more. */
async function withEvents(
  listen: () => unknown,
  send: (emit: (name: string, value?: unknown) => void) => unknown,
): Promise<void> {
  const { on } = process;
  const added = new Map<string, ((value: unknown) => void)[]>();
  process.on = ((name: string, listener: (value: unknown) => void) => {
    added.set(name, [...added.get(name) ?? [], listener]);
    return process;
  }) as typeof process.on;
  try {
    listen();
  } finally {
    process.on = on;
  }
  await send((name, value) => {
    for (const listener of added.get(name) ?? []) listener(value);
  });
}

describe("the log of a process", () => {
  const settings = plainSettings({ LOG_LEVEL: "INFO", LOG_FORMAT: "json" });

  it("has LOG_LEVEL and LOG_FORMAT, and is written before a failed command's own error", async () => {
    const order: string[] = [];
    const write = async (octets: Uint8Array) => {
      await setImmediate();
      for (const line of Buffer.from(octets).toString().trim().split("\n")) {
        order.push(JSON.parse(line).message);
      }
      return octets.length;
    };
    const failing = withLog(settings, ({ log }) => {
      log.debug("left out");
      log.info("first");
      log.info("second");
      return Promise.reject(new CommandError(78, ["a bad setting"]));
    }, write);
    await assert.rejects(failing, (error) => {
      order.push((error as Error).message);
      return error instanceof CommandError;
    });
    assert.deepEqual(order, ["first", "second", "a bad setting"]);
  });

  it("counts lines that its reader did not take, and says so in their place", async () => {
    let written = "";
    const held = Promise.withResolvers<void>();
    const write = async (octets: Uint8Array) => {
      await held.promise;
      written += Buffer.from(octets).toString();
      return octets.length;
    };
    let dropped = 0;
    await withLog(settings, async ({ log, metrics, flush }) => {
      for (let i = 0; i < 20_000; i++) log.info("one of many");
      dropped = metrics.value("log_lines_dropped", {});
      held.resolve();
      assert.equal(await flush(), true);
    }, write);
    assert.ok(dropped > 0 && dropped < 20_000, `${dropped}`);
    const lines = written.trim().split("\n").map((line) => JSON.parse(line).message as string);
    const told = lines.filter((line) => line !== "one of many");
    assert.equal(lines.length - told.length, 20_000 - dropped);
    assert.deepEqual(told, [
      `${dropped} log lines were dropped: standard error was not read fast enough`,
    ]);
  });

  it("does not keep a failed process whose standard error is stuck: it ends with its status", async () => {
    const stuck = () => new Promise<number>(() => {});
    const failing = (error: Error) =>
      withLog(settings, ({ log }) => {
        log.info("a line");
        return Promise.reject(error);
      }, stuck);
    const statuses = await withoutExit(() =>
      Promise.all([failing(new CommandError(69, ["x"])), failing(new Error("a bug"))])
    );
    assert.deepEqual(statuses, [69, 1]);
  });
});

describe("a stop signal", () => {
  it("is the first one; a second one ends the process, once what hurries has been told", async () => {
    const hurried: string[] = [];
    let stopped: Promise<string> | undefined;
    const statuses = await withoutExit(() =>
      withEvents(() => {
        stopped = stopSignal((signal) => {
          hurried.push(signal);
          return Promise.reject(new Error("passed over"));
        });
      }, async (emit) => {
        emit("SIGTERM");
        assert.equal(await stopped, "SIGTERM");
        assert.deepEqual(hurried, []);
        emit("SIGINT");
        await setImmediate();
      })
    );
    assert.deepEqual([hurried, statuses], [["SIGINT"], [1]]);
  });

  it("is not SIGHUP, which may come any number of times", async () => {
    let hangups = 0;
    await withEvents(() => onHangup(() => void hangups++), (emit) => {
      emit("SIGHUP");
      emit("SIGHUP");
    });
    assert.equal(hangups, 2);
  });
});

describe("what nobody has caught", () => {
  it("is told of, exceptions and rejections alike", async () => {
    const told: unknown[] = [];
    await withEvents(() => surviveFaults((error) => void told.push(error)), (emit) => {
      emit("uncaughtException", "one");
      emit("unhandledRejection", "two");
    });
    assert.deepEqual(told, ["one", "two"]);
  });
});
