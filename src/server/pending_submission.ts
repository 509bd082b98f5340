// A message that is being submitted, and the state of its client for the delivery: whether the
// client has left, and whether the reply reached it.

import type { WaitingClient } from "../delivery/delivery.ts";
import type { Reservation } from "../smtp/reservation.ts";
import type { ReceivedMessage } from "../submission/submission_service.ts";

export class PendingSubmission implements WaitingClient {
  readonly message: ReceivedMessage;
  readonly left: Promise<void>;
  readonly #reservation: Reservation;
  readonly #onWaiting: (isWaiting: boolean) => void;
  readonly #leave: () => void;
  /** Made on demand, because few clients leave. */
  #replied: PromiseWithResolvers<boolean> | undefined;
  /** Whether the reply has reached the client; undefined until that is known. */
  #reached: boolean | undefined;
  /** Made on demand, because few deliveries wait. */
  #controller: AbortController | undefined;
  #waits = false;

  /**
   * @param reservation the message's memory
   * @param onWaiting called when the delivery begins to wait for its turn, and when that wait is
   *   over
   */
  constructor(
    message: ReceivedMessage,
    reservation: Reservation,
    onWaiting: (isWaiting: boolean) => void,
  ) {
    this.message = message;
    this.#reservation = reservation;
    this.#onWaiting = onWaiting;
    let leave!: () => void;
    this.left = new Promise((resolve) => leave = resolve);
    this.#leave = leave;
  }

  get replied(): Promise<boolean> {
    if (this.#replied !== undefined) return this.#replied.promise;
    this.#replied = Promise.withResolvers();
    if (this.#reached !== undefined) this.#replied.resolve(this.#reached);
    return this.#replied.promise;
  }

  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  waiting(isWaiting: boolean): void {
    this.#waits = isWaiting;
    // Only a message that still waits for its turn can be made to give up its memory.
    this.#reservation.giveUp = isWaiting ? () => this.endWait() : undefined;
    this.#onWaiting(isWaiting);
  }

  /** Ends the delivery's wait for its turn, if any: others need the connection or the memory. */
  endWait(): void {
    if (!this.#waits) return;
    (this.#controller ??= new AbortController()).abort();
  }

  /** The client has gone, or has ended its side. */
  clientLeft(): void {
    this.#leave();
  }

  /** Reports whether the reply reached the client. */
  clientReplied(reached: boolean): void {
    // Only the first report counts.
    this.#reached ??= reached;
    this.#replied?.resolve(this.#reached);
  }

  /** The submission has ended: frees the memory. */
  release(): void {
    this.#waits = false;
    this.#reservation.release();
  }
}
