// A pointer that belongs to this relay: it is hidden from all others for a time, which is renewed.

import type { Clock } from "../../clock.ts";
import type { PointerText } from "./pointer_text.ts";
import type { Handle, Pointers } from "./pointers.ts";

/**
 * Seconds that a pointer is hidden for. A relay that dies holds its messages up for so long; one that stands
 * still for longer between the renewal and the request that sends (a suspended machine) lets another relay
 * send the same message, and no renewal can prevent that.
 */
export const LEASE = 120;

export class Lease {
  readonly handle: Handle;
  /** As stored last. */
  text: PointerText;
  /** How often the pointer has been received; 0 if this relay made it. */
  readonly received: number;
  /** Whether the pointer is known to belong to no relay, or to another one. */
  lost = false;
  readonly #pointers: Pointers;
  readonly #clock: Pick<Clock, "now">;
  readonly #seconds: number;
  /** When the request was begun that hid the pointer last: it is hidden for at least as long from then. */
  #since: number;

  /** @param since the clock's `now()` before the request that hid the pointer */
  constructor(
    pointers: Pointers,
    clock: Pick<Clock, "now">,
    seconds: number,
    pointer: { readonly handle: Handle; readonly text: PointerText; readonly received: number },
    since: number,
  ) {
    this.#pointers = pointers;
    this.#clock = clock;
    this.#seconds = seconds;
    this.handle = pointer.handle;
    this.text = pointer.text;
    this.received = pointer.received;
    this.#since = since;
  }

  /** The part of its time that is over, 0 to 1 and more. */
  get used(): number {
    return (this.#clock.now() - this.#since) / (this.#seconds * 1000);
  }

  /** Milliseconds until the given part of its time is over; negative if it is. */
  until(part: number): number {
    return this.#since + part * this.#seconds * 1000 - this.#clock.now();
  }

  /**
   * Hides the pointer anew.
   *
   * @returns false if it does not belong to this relay any more
   * @throws ServiceError
   */
  async renew(text: PointerText = this.text): Promise<boolean> {
    if (this.lost) return false;
    const since = this.#clock.now();
    if (await this.#pointers.update(this.handle, text, this.#seconds)) {
      this.text = text;
      this.#since = since;
      return true;
    }
    this.lost = true;
    return false;
  }

  /**
   * Ends the ownership.
   *
   * @param hidden seconds until the pointer is visible
   * @returns as for {@link renew}
   * @throws ServiceError
   */
  async release(text: PointerText, hidden: number): Promise<boolean> {
    if (this.lost) return false;
    const done = await this.#pointers.update(this.handle, text, hidden);
    this.lost = true;
    return done;
  }

  /** Deletes the pointer. If that fails, it is left over, and dropped by the relay that receives it. */
  async drop(): Promise<void> {
    if (this.lost) return;
    this.lost = true;
    await this.#pointers.delete(this.handle).catch(() => false);
  }
}
