/** One timer for the deadlines of many. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Deadlines } from "../../src/http/deadlines.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { scriptedService } from "./scripted.ts";

/** Deadlines on a clock that the test moves, and what has expired so far, in order. */
function open() {
  const clock = new FakeClock();
  const deadlines = new Deadlines<Timed>(clock);
  const expired: string[] = [];
  const timed = (name: string, milliseconds: number): Timed => ({
    deadline: clock.now() + milliseconds,
    expired() {
      assert(clock.now() >= this.deadline - 1, `${name} expired early`);
      deadlines.forget(this);
      expired.push(name);
    },
  });
  return { clock, deadlines, expired, timed };
}
interface Timed {
  deadline: number;
  expired(): void;
}

describe("deadlines", () => {
  it("expire on time and not before, in whatever order they were set", () => {
    const { clock, deadlines, expired, timed } = open();
    for (const milliseconds of [300, 40, 0, 160]) {
      deadlines.watch(timed(`${milliseconds}`, milliseconds));
    }
    clock.pass(1);
    assert.deepEqual(expired, ["0"]);
    // The next check is 100 ms later, or at the next deadline if that is later.
    clock.pass(99);
    assert.deepEqual(expired, ["0"]);
    clock.pass(2);
    assert.deepEqual(expired, ["0", "40"]);
    clock.pass(101);
    assert.deepEqual(expired, ["0", "40", "160"]);
    clock.pass(101);
    assert.deepEqual(expired, ["0", "40", "160", "300"]);
    assert.equal(deadlines.items.size, 0);
  });

  it("expire together if they are over together", () => {
    const { clock, deadlines, expired, timed } = open();
    for (const name of ["a", "b", "c"]) deadlines.watch(timed(name, 50));
    clock.pass(50);
    assert.deepEqual(expired, ["a", "b", "c"]);
    assert.equal(clock.alarms, 0);
  });

  it("may be extended without a new timer, and shortened with one", () => {
    const { clock, deadlines, expired, timed } = open();
    const later = timed("later", 20);
    deadlines.watch(later);
    later.deadline += 200;
    clock.pass(219);
    assert.deepEqual(expired, []);
    clock.pass(1);
    assert.deepEqual(expired, ["later"]);
    const sooner = timed("sooner", 600_000);
    deadlines.watch(sooner);
    sooner.deadline = clock.now() + 10;
    deadlines.watch(sooner);
    clock.pass(10);
    assert.deepEqual(expired, ["later", "sooner"]);
  });

  it("do not expire once they are removed", () => {
    const { clock, deadlines, expired, timed } = open();
    const forgotten = timed("forgotten", 20);
    deadlines.watch(forgotten);
    deadlines.watch(timed("other", 60));
    deadlines.forget(forgotten);
    clock.pass(1000);
    assert.deepEqual(expired, ["other"]);
  });

  it("have no more than one timer, and none when nothing is watched", () => {
    const { clock, deadlines, timed } = open();
    const items = [300, 200, 100].map((milliseconds) => timed(`${milliseconds}`, milliseconds));
    for (const item of items) deadlines.watch(item);
    assert.equal(clock.alarms, 1);
    for (const item of items) deadlines.forget(item);
    // A remaining timer would keep the process running.
    assert.equal(clock.alarms, 0);
    deadlines.watch(timed("next", 50));
    assert.equal(clock.alarms, 1);
  });

  it("do not keep a program running that waits for none of them, on the system clock", async () => {
    const deadlines = new Deadlines<Timed>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const item = {
      deadline: performance.now() + 1,
      expired() {
        deadlines.forget(this);
        resolve();
      },
    };
    deadlines.watch(item);
    await promise;
    // A remaining timer would hold this process for ten minutes.
    const last = { deadline: performance.now() + 600_000, expired() {} };
    deadlines.watch(last);
    deadlines.forget(last);
  });
});

describe("a response that has arrived while the thread was busy", () => {
  const request = {
    method: "GET",
    url: new URL("http://127.0.0.1/"),
    headers: {},
    timeout: 200,
  };

  it("is not a timeout, although it was not read before its deadline", async () => {
    const clock = new FakeClock();
    const { http, connections } = scriptedService({ clock });
    const result = http.request(request);
    connections[0]!.connect();
    clock.skip(600);
    // The timer runs late, and the socket is read after it.
    clock.pass(0);
    connections[0]!.say("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    clock.pass(10);
    assert.equal((await result).type, "response");
    http.close();
  });

  it("has 10 ms to be read: after that it is a timeout", async () => {
    const clock = new FakeClock();
    const { http, connections } = scriptedService({ clock });
    const result = http.request(request);
    connections[0]!.connect();
    clock.skip(600);
    clock.pass(9);
    assert.equal(connections[0]!.destroyed, false);
    clock.pass(1);
    const failure = await result;
    assert(failure.type === "failure");
    assert.equal(failure.code, "ETIMEDOUT");
  });
});
