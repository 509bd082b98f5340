// What a client sends before the relay can look at it: how much is taken, in which memory, and when no
// more is read from the socket.

import { Buffer } from "node:buffer";
import type { Connection } from "../runtime/runtime.ts";
import type { Reservation } from "../smtp/reservation.ts";
import type { ClientMemory } from "./memory.ts";

/**
 * Octets that are taken while an answer to the client is awaited, before no more is read: as much as the
 * commands that a client sends after its message. Bun reports nothing of a paused socket, not even that
 * it is closed, so a socket should be paused seldom.
 */
export const MAX_AHEAD = 4 * 1024;
/** Octets of them that need no memory of their own. */
const MAX_UNCOUNTED = 32 * 1024;
/** The most while a login is being checked: what a thousand recipients take, named after MAIL. */
const MAX_AHEAD_OF_LOGIN = 128 * 1024;

/** Octets that came before the greeting. */
export class EarlyInput {
  #pieces: Uint8Array[] = [];
  #length = 0;

  /**
   * Keeps a copy. A client waits for the greeting (RFC 5321 §4.3.1), or has sent its ClientHello;
   * thousands may be in the queue, each with what it sent.
   *
   * @returns false where it is too much
   */
  add(bytes: Uint8Array): boolean {
    this.#length += bytes.length;
    if (this.#length > MAX_AHEAD) return false;
    this.#pieces.push(Uint8Array.from(bytes));
    return true;
  }

  /** All of it, once; undefined where nothing came. */
  take(): Uint8Array | undefined {
    const pieces = this.#pieces.splice(0);
    return pieces.length === 0 ? undefined : Buffer.concat(pieces);
  }
}

/** What has come and is not looked at yet. */
export class ReadAhead {
  readonly #connection: Pick<Connection, "pause" | "resume">;
  readonly #memory: ClientMemory | undefined;
  readonly #giveUp: () => void;
  #room: Reservation | undefined;
  #paused = false;

  /** @param giveUp is called when others need the memory that it has taken */
  constructor(
    connection: Pick<Connection, "pause" | "resume">,
    memory: ClientMemory | undefined,
    giveUp: () => void,
  ) {
    this.#connection = connection;
    this.#memory = memory;
    this.#giveUp = giveUp;
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
   * Finds memory for what has come: one read may bring half a megabyte, and each connection may wait. No
   * client needs to send much after a login that is being checked.
   *
   * @returns `too far` where a client that has not logged in sent too much
   */
  keep(octets: number, loggedIn: boolean): "kept" | "too far" | "no memory" {
    if (octets <= MAX_UNCOUNTED) {
      this.#room?.release();
      this.#room = undefined;
      return "kept";
    }
    if (this.#memory === undefined) return "kept";
    if (!loggedIn && octets > MAX_AHEAD_OF_LOGIN) return "too far";
    const room = this.#room ??= this.#memory.open(octets);
    if (room?.ensure(octets) !== true) {
      this.#room = undefined;
      return "no memory";
    }
    room.giveUp = () => {
      this.#room = undefined;
      this.#giveUp();
    };
    return "kept";
  }

  release(): void {
    this.keep(0, true);
  }
}
