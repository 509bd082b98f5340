/** One timer for the deadlines of many. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Deadlines } from "../../src/http/deadlines.ts";
import { httpClient } from "../support/http.ts";
import { startRawServer } from "../support/raw_server.ts";

/** Something with a deadline so many milliseconds from now; `at` is when it was told. */
function timed(deadlines: Deadlines<Timed>, name: string, milliseconds: number): Timed {
  const { promise, resolve } = Promise.withResolvers<number>();
  return {
    name,
    deadline: performance.now() + milliseconds,
    promise,
    expired() {
      deadlines.forget(this);
      resolve(performance.now() - this.deadline);
    },
  };
}
interface Timed {
  readonly name: string;
  deadline: number;
  /** How late it was told, milliseconds. */
  readonly promise: Promise<number>;
  expired(): void;
}

describe("deadlines", () => {
  it("are told when they are over and not before, in whatever order they were set", async () => {
    const deadlines = new Deadlines<Timed>();
    const items = [300, 40, 0, 160].map((milliseconds) =>
      timed(deadlines, `${milliseconds}`, milliseconds)
    );
    for (const item of items) deadlines.watch(item);
    // How late they are told, and in which order when several are over, is the machine's business.
    for (const item of items) {
      const late = await item.promise;
      assert(late > -2, `${item.name} was told ${-late} ms early`);
    }
    assert.equal(deadlines.items.size, 0);
  });

  it("may be put off without a word, and brought forward with one", async () => {
    const deadlines = new Deadlines<Timed>();
    const later = timed(deadlines, "later", 20);
    deadlines.watch(later);
    later.deadline += 100;
    assert(await later.promise > -2);
    const sooner = timed(deadlines, "sooner", 600_000);
    deadlines.watch(sooner);
    sooner.deadline = performance.now() + 10;
    deadlines.watch(sooner);
    assert(await sooner.promise > -2);
  });

  it("are not told once they are forgotten, and keep no program running", async () => {
    const deadlines = new Deadlines<Timed>();
    const forgotten = timed(deadlines, "forgotten", 20);
    forgotten.expired = () => assert.fail("it was told");
    const other = timed(deadlines, "other", 60);
    deadlines.watch(forgotten);
    deadlines.watch(other);
    deadlines.forget(forgotten);
    await other.promise;
    // A timer that is left would hold this process for ten minutes.
    const last = timed(deadlines, "last", 600_000);
    deadlines.watch(last);
    deadlines.forget(last);
  });
});

describe("a response that has arrived while the thread was busy", () => {
  it("is no time-out, though nobody has looked before its deadline", async () => {
    const server = await startRawServer(async (connection) => {
      await connection.request();
      const response = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
      connection.socket.write(response, () => {
        for (const end = performance.now() + 400; performance.now() < end;);
      });
    });
    const http = httpClient();
    const result = await http.request({
      method: "GET",
      url: server.url,
      headers: {},
      timeout: 200,
    });
    assert.equal(result.type, "response", JSON.stringify(result));
    http.close();
    await server.close();
  });
});
