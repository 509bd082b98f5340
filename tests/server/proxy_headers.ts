// Headers of version 2 of the PROXY protocol, as a proxy would send them, or would not.

import { Buffer } from "node:buffer";

export const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

export const UNSPECIFIED = 0x00;

export interface V2Header {
  /** Version and command: PROXY by default. */
  readonly command?: number;
  readonly family: number;
  readonly addresses: readonly number[];
  readonly tlvs?: readonly number[];
}

export function v2({ command = 0x21, family, addresses, tlvs = [] }: V2Header): Buffer {
  const length = addresses.length + tlvs.length;
  const fixed = Buffer.of(command, family, length >> 8, length & 0xff);
  return Buffer.concat([V2_SIGNATURE, fixed, Uint8Array.from(addresses), Uint8Array.from(tlvs)]);
}
