// Octets as a Buffer, for its searches and encodings.

import { Buffer } from "node:buffer";

/**
 * The same memory as a Buffer. Both runtimes' sockets hand out Buffers already, and asking a small
 * one for its `buffer` makes Bun move it to memory of its own: hence the look first.
 */
export function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets)
    ? octets
    : Buffer.from(octets.buffer, octets.byteOffset, octets.length);
}
