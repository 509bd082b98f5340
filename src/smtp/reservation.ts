// Room in memory for one message while it arrives. The room is all connections' (MAX_MEMORY); what
// divides it is outside of the session, and known to it by these two interfaces.

/** The memory that one client may take for its messages. */
export interface Memory {
  /**
   * Opens a reservation for one message.
   *
   * @param announced octets by MAIL's SIZE (RFC 1870); 0 where the client does not say
   * @returns undefined where there is no room for as many
   */
  open(announced: number): Reservation | undefined;
}

/** What one message has taken, and gives back exactly once. */
export interface Reservation {
  /**
   * Keeps room for a message of so many octets, while they come.
   *
   * @returns false where there is none: then all that it had is given back
   */
  expect(octets: number): boolean;
  /**
   * Takes room until there is some for a message of so many octets.
   *
   * @returns false where there is none: then all that it had is given back
   */
  ensure(octets: number): boolean;
  /** The message has come, with so many octets: what was taken beyond is given back. */
  settle(octets: number): void;
  /** Gives all of it back. */
  release(): void;
  /**
   * Gives the message up, so that its room can go to others: called once, behind which there is
   * none. Undefined while the message cannot be given up.
   */
  giveUp: (() => void) | undefined;
}

/** For a session that nobody has given a limit. */
export const UNLIMITED: Memory = {
  open: () => ({
    expect: () => true,
    ensure: () => true,
    settle() {},
    release() {},
    giveUp: undefined,
  }),
};
