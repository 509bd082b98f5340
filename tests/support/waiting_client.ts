/** A client that waits for the reply to its message, as a delivery sees it. */
import type { WaitingClient } from "../../src/delivery/delivery.ts";

export class WaitingTestClient implements WaitingClient {
  readonly left: Promise<void>;
  readonly replied: Promise<boolean>;
  /** The delivery's reports about its wait. */
  readonly waits: boolean[] = [];
  readonly #controller = new AbortController();
  readonly #leave: () => void;
  readonly #reply: (reached: boolean) => void;

  constructor() {
    const left = Promise.withResolvers<void>();
    const replied = Promise.withResolvers<boolean>();
    [this.left, this.#leave] = [left.promise, left.resolve];
    [this.replied, this.#reply] = [replied.promise, replied.resolve];
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  waiting(isWaiting: boolean): void {
    this.waits.push(isWaiting);
  }

  /** Others need its connection or its memory. */
  endWait(): void {
    this.#controller.abort();
  }

  /** It goes, or ends its side. @param reached whether the reply reaches it all the same */
  leave(reached?: boolean): void {
    this.#leave();
    if (reached !== undefined) this.#reply(reached);
  }

  /** It has received the reply. */
  read(): void {
    this.#reply(true);
  }
}
