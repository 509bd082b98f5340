/** A client that waits for its reply, and does what the test says. */
import type { WaitingClient } from "../../src/delivery/delivery.ts";

export class TestClient implements WaitingClient {
  readonly #controller = new AbortController();
  readonly #left = Promise.withResolvers<void>();
  readonly #replied = Promise.withResolvers<boolean>();
  readonly signal = this.#controller.signal;
  readonly left = this.#left.promise;
  readonly replied = this.#replied.promise;
  /** What it was told of its waits. */
  readonly waits: boolean[] = [];

  /** One that has gone, and was not there for its reply. */
  static gone(): TestClient {
    return new TestClient().leave().reply(false);
  }

  waiting(isWaiting: boolean): void {
    this.waits.push(isWaiting);
  }

  leave(): this {
    this.#left.resolve();
    return this;
  }

  /** @param isThere whether the reply reaches it */
  reply(isThere: boolean): this {
    this.#replied.resolve(isThere);
    return this;
  }

  makeRoom(): void {
    this.#controller.abort();
  }
}

/** Lets promises that are settled have their say. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}
