// The fields that a relay adds: Received (RFC 5321 §4.4, RFC 3848), Date and Message-ID (RFC 5322).

import { printable } from "../smtp/reply.ts";

export interface Trace {
  /** The client's EHLO argument, as it was sent. */
  readonly helo: string;
  /** The client's IP address. */
  readonly address: string;
  /** The relay's own name. */
  readonly hostname: string;
  readonly esmtp: boolean;
  readonly tls: boolean;
  /** RFC 6531 §4.3 */
  readonly smtputf8: boolean;
  /** It came from a trusted network, without a login. */
  readonly trusted?: boolean;
  readonly id: string;
  readonly at: Date;
}

/** The field with its line end. */
export function receivedField(trace: Trace): string {
  const { hostname, id, at } = trace;
  return `Received: from ${heloName(trace.helo)} (${addressLiteral(trace.address)})\r\n` +
    `\tby ${hostname} with ${protocol(trace)} id ${id};\r\n` +
    `\t${rfc5322Date(at)}\r\n`;
}

/** RFC 3848 and RFC 6531 §4.3: A for a login. A comment says if there was none (RFC 5321 §4.4). */
function protocol({ esmtp, tls, smtputf8, trusted = false }: Trace): string {
  const extended = `${smtputf8 ? "UTF8SMTP" : "ESMTP"}${tls ? "S" : ""}${trusted ? "" : "A"}`;
  return (esmtp ? extended : "SMTP") + (trusted ? " (trusted network)" : "");
}

/** The client's own name, as far as a header field may hold it. */
function heloName(helo: string): string {
  const name = printable(helo).replace(/[^A-Za-z0-9._:[\]-]/g, "").slice(0, 255);
  return name === "" ? "unknown" : name;
}

/** RFC 5321 §4.1.3 */
function addressLiteral(address: string): string {
  return address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
}

/** RFC 5322 §3.6.4; made from the id that is in replies and logs too. */
export function messageId({ id, hostname }: Pick<Trace, "id" | "hostname">): string {
  return `<${id}@${rightHostname(hostname)}>`;
}

/** The name, or one that can never be registered (RFC 6761) if it is not a dot-atom (RFC 5322 §3.2.3). */
export function rightHostname(hostname: string): string {
  return hostname.length <= 255 &&
      /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/.test(hostname)
    ? hostname
    : "relay.invalid";
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** The date that was written last: a message has it twice, and many come in one second. */
let last = { second: NaN, text: "" };

/** RFC 5322 §3.3, in UTC. */
export function rfc5322Date(date: Date): string {
  const second = Math.floor(date.getTime() / 1000);
  if (second !== last.second) last = { second, text: written(date) };
  return last.text;
}

function written(date: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  return `${DAYS[date.getUTCDay()]}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ` +
    `${date.getUTCFullYear()} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:` +
    `${two(date.getUTCSeconds())} +0000`;
}
