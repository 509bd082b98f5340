/** Reads what a TLS client asks for in its first message (RFC 8446 §4.1.2). */
import { Buffer } from "node:buffer";

export interface ClientHello {
  /** RFC 6066 §3 */
  readonly serverName: string | undefined;
  /** RFC 7301 §3.1 */
  readonly protocols: readonly string[];
  /** RFC 8446 §4.2.1; 0x0303 is TLS 1.2. */
  readonly versions: readonly number[];
}

/** @returns undefined while it has not come in whole; it must be in one record */
export function readClientHello(octets: Buffer): ClientHello | undefined {
  if (octets.length < 5 || octets.length < 5 + octets.readUInt16BE(3)) return undefined;
  const legacyVersion = octets.readUInt16BE(9);
  // Record header 5, message header 4, version 2, random 32.
  let at = 43;
  at += 1 + octets[at]!;
  at += 2 + octets.readUInt16BE(at);
  at += 1 + octets[at]!;
  const end = at + 2 + octets.readUInt16BE(at);
  at += 2;
  let serverName: string | undefined;
  const protocols: string[] = [];
  let versions = [legacyVersion];
  while (at < end) {
    const type = octets.readUInt16BE(at);
    const body = octets.subarray(at + 4, at + 4 + octets.readUInt16BE(at + 2));
    at += 4 + body.length;
    if (type === 0) serverName = body.toString("latin1", 5);
    if (type === 16) {
      for (let i = 2; i < body.length; i += 1 + body[i]!) {
        protocols.push(body.toString("latin1", i + 1, i + 1 + body[i]!));
      }
    }
    if (type === 43) {
      versions = [];
      for (let i = 1; i < body.length; i += 2) versions.push(body.readUInt16BE(i));
    }
  }
  // RFC 8701: values that mean nothing, to keep servers tolerant.
  return { serverName, protocols, versions: versions.filter((v) => (v & 0x0f0f) !== 0x0a0a) };
}
