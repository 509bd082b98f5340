// Room in memory for one message while it arrives. All connections share the room (MAX_MEMORY);
// these two interfaces are all that the session knows of it.

/** The memory for the messages of one client. */
export interface Memory {
  /**
   * Opens a reservation for one message.
   *
   * @param announced octets by MAIL's SIZE (RFC 1870); 0 if the client announces none
   * @returns undefined if there is no room for that many
   */
  open(announced: number): Reservation | undefined;
}

/** The room of one message; it is given back exactly once. */
export interface Reservation {
  /**
   * Keeps room for a message of so many octets, while they arrive.
   *
   * @returns false if there is not enough: then the whole reservation has been given back
   */
  expect(octets: number): boolean;
  /**
   * Takes more room, until a message of so many octets has enough.
   *
   * @returns false if there is not enough: then the whole reservation has been given back
   */
  ensure(octets: number): boolean;
  /** The message has arrived, with so many octets: gives back the room beyond them. */
  settle(octets: number): void;
  /** Gives back the whole reservation. */
  release(): void;
  /**
   * Gives the message up, so that other messages can have its room. Called once at most; undefined
   * while the message cannot be given up.
   */
  giveUp: (() => void) | undefined;
}

/** For a session without a limit. */
export const UNLIMITED: Memory = {
  open: () => ({
    expect: () => true,
    ensure: () => true,
    settle() {},
    release() {},
    giveUp: undefined,
  }),
};
