// Writes to standard error without blocking. A pipe whose reader has stopped accepts no more octets
// (pipe(7)), and a synchronous write to it would block the process and all its connections.

import { write } from "node:fs";

/** POSIX, stderr(3). */
const STANDARD_ERROR = 2;

/**
 * Writes in one of the runtime's threads, whether standard error is a pipe, file, terminal or socket.
 *
 * @param octets must not change until the promise is settled
 * @returns how many of them were written: all, or fewer
 * @throws Error with a `code`, such as EPIPE; EAGAIN if the descriptor is non-blocking and has no room
 */
export async function writeStandardError(octets: Uint8Array): Promise<number> {
  // Deno's `fs.write` does not return before the octets are written.
  if ("Deno" in globalThis) return await Deno.stderr.write(octets).catch(withCode);
  return await new Promise((resolve, reject) =>
    write(STANDARD_ERROR, octets, 0, octets.length, null, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    })
  );
}

/** Deno's errors have names, but not always a code. */
function withCode(error: Error & { code?: string }): never {
  throw Object.assign(error, { code: error.code ?? CODES[error.name] ?? "EUNKNOWN" });
}

const CODES: Readonly<Record<string, string>> = {
  BrokenPipe: "EPIPE",
  Interrupted: "EINTR",
  WouldBlock: "EAGAIN",
};
