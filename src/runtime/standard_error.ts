// Writes to standard error that nothing waits for. A pipe whose reader has stopped takes no more octets
// (pipe(7)), and a process that writes to it synchronously stands still, with all its connections.

import { write } from "node:fs";

/** POSIX, stderr(3). */
const STANDARD_ERROR = 2;

/**
 * Writes in a thread of the runtime's, whatever standard error is: a pipe, a file, a terminal, a socket.
 *
 * @param octets must not change until it is settled
 * @returns how many of them were written: all, or fewer
 * @throws Error with a `code`, such as EPIPE; or EAGAIN, where the descriptor does not block and has no
 *   room
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

/** Deno's errors have names, and a code in some cases only. */
function withCode(error: Error & { code?: string }): never {
  throw Object.assign(error, { code: error.code ?? CODES[error.name] ?? "EUNKNOWN" });
}

const CODES: Readonly<Record<string, string>> = {
  BrokenPipe: "EPIPE",
  Interrupted: "EINTR",
  WouldBlock: "EAGAIN",
};
