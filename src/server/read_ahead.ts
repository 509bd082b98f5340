// Bounds the octets that a client sends before the relay can process them: in number and in memory.
// Pauses the socket beyond that.

import { Buffer } from "node:buffer";
import type { Connection } from "../runtime/runtime.ts";
import type { Reservation } from "../smtp/reservation.ts";
import type { ClientMemory } from "./memory.ts";

/**
 * Octets that are taken while a login or message is being processed, before the socket is paused:
 * enough for the commands that a client sends after its message. One runtime reports nothing about a
 * paused socket, not even that it is closed, so a socket should be paused rarely.
 */
export const MAX_AHEAD = 4 * 1024;
/** Octets that are not counted for MAX_MEMORY. */
const MAX_UNCOUNTED = 32 * 1024;
/** Octets at most while a login is being checked: enough for MAIL and a thousand recipients. */
const MAX_AHEAD_OF_LOGIN = 128 * 1024;

/** Octets that came before the greeting. */
export class EarlyInput {
  #pieces: Uint8Array[] = [];
  #length = 0;

  /**
   * Keeps a copy. A client has no reason to send more than a ClientHello before the greeting (RFC
   * 5321 §4.3.1), and thousands of clients may be in the queue.
   *
   * @returns false if it is too much
   */
  add(bytes: Uint8Array): boolean {
    this.#length += bytes.length;
    if (this.#length > MAX_AHEAD) return false;
    this.#pieces.push(new Uint8Array(bytes));
    return true;
  }

  /** All octets, once; undefined if none came. */
  take(): Uint8Array | undefined {
    const pieces = this.#pieces.splice(0);
    return pieces.length === 0 ? undefined : Buffer.concat(pieces);
  }
}

/** The connection that has sent the octets. */
export interface ReadAheadOwner {
  /** Others need their memory. */
  giveUpAhead(): void;
}

/** Octets that have come and are not processed yet. */
export class ReadAhead {
  readonly #connection: Pick<Connection, "pause" | "resume">;
  readonly #memory: ClientMemory | undefined;
  readonly #owner: ReadAheadOwner;
  #room: Reservation | undefined;
  #paused = false;

  constructor(
    connection: Pick<Connection, "pause" | "resume">,
    memory: ClientMemory | undefined,
    owner: ReadAheadOwner,
  ) {
    this.#connection = connection;
    this.#memory = memory;
    this.#owner = owner;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Whether octets are read from the socket. */
  pause(pause: boolean): void {
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  /**
   * Takes memory for the octets: one read may bring half a megabyte, and every connection may wait.
   * A client does not need to send much while its login is being checked.
   *
   * @returns `too much` if a client that has not logged in sent too much
   */
  keep(octets: number, loggedIn: boolean): "kept" | "too much" | "no memory" {
    if (octets <= MAX_UNCOUNTED) {
      this.#room?.release();
      this.#room = undefined;
      return "kept";
    }
    if (this.#memory === undefined) return "kept";
    if (!loggedIn && octets > MAX_AHEAD_OF_LOGIN) return "too much";
    const room = this.#room ??= this.#memory.open(octets);
    if (room?.ensure(octets) !== true) {
      this.#room = undefined;
      return "no memory";
    }
    room.giveUp = () => {
      this.#room = undefined;
      this.#owner.giveUpAhead();
    };
    return "kept";
  }

  release(): void {
    this.keep(0, true);
  }
}
