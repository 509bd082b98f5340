// A message that is being submitted, and its client as the delivery sees it: whether it has left, what it
// waits for, and whether the reply reached it.

import type { WaitingClient } from "../delivery/delivery.ts";
import type { Reservation } from "../smtp/reservation.ts";
import type { ReceivedMessage } from "../submission/submission_service.ts";

export class PendingSubmission implements WaitingClient {
  readonly message: ReceivedMessage;
  readonly left: Promise<void>;
  readonly replied: Promise<boolean>;
  readonly #reservation: Reservation;
  readonly #onWaiting: (isWaiting: boolean) => void;
  readonly #leave: () => void;
  readonly #reply: (reached: boolean) => void;
  /** Made when it is asked for: few deliveries wait. */
  #controller: AbortController | undefined;
  #waits = false;

  /**
   * @param reservation of the memory that the message takes
   * @param onWaiting is told when the delivery begins to wait for its turn, and when that wait is over
   */
  constructor(
    message: ReceivedMessage,
    reservation: Reservation,
    onWaiting: (isWaiting: boolean) => void,
  ) {
    this.message = message;
    this.#reservation = reservation;
    this.#onWaiting = onWaiting;
    const left = Promise.withResolvers<void>();
    const replied = Promise.withResolvers<boolean>();
    [this.left, this.#leave] = [left.promise, left.resolve];
    [this.replied, this.#reply] = [replied.promise, replied.resolve];
  }

  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  waiting(isWaiting: boolean): void {
    this.#waits = isWaiting;
    // Memory is taken back only from a message that has not begun to be sent.
    this.#reservation.giveUp = isWaiting ? () => this.endWait() : undefined;
    this.#onWaiting(isWaiting);
  }

  /** Ends the delivery's wait for its turn, if it waits: others need the connection or the memory. */
  endWait(): void {
    if (!this.#waits) return;
    (this.#controller ??= new AbortController()).abort();
  }

  /** The client has gone, or has ended its side. */
  clientLeft(): void {
    this.#leave();
  }

  /** Whether the reply reached the client is known. */
  clientReplied(reached: boolean): void {
    this.#reply(reached);
  }

  /** The submission has come to its end: gives back the memory. */
  release(): void {
    this.#waits = false;
    this.#reservation.release();
  }
}
