// How long a server may take (RFC 5321 §4.5.3.2). The caller's own time may be shorter.

import type { Stage } from "./mail_client.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Milliseconds for the next reply at each stage, or for the connection or the TLS handshake. */
export const REPLY_TIMES: Readonly<Record<Stage, number>> = {
  connect: 30 * SECOND,
  greeting: 5 * MINUTE,
  EHLO: 5 * MINUTE,
  STARTTLS: MINUTE,
  AUTH: 5 * MINUTE,
  MAIL: 5 * MINUTE,
  RCPT: 5 * MINUTE,
  DATA: 2 * MINUTE,
  content: 10 * MINUTE,
};
/** Milliseconds for the server to take some of the content. */
export const BLOCK_TIME = 3 * MINUTE;
/** Milliseconds for replies that no message waits for. */
export const CLEANUP_TIME = 5 * SECOND;
