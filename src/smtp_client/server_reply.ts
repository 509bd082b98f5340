// A server's reply as it may be shown: its enhanced status code by itself (RFC 2034, RFC 3463), its text
// as words.

import { serviceWords } from "../service_text.ts";
import { printable } from "../smtp/reply.ts";
import type { ServerReply } from "./mail_client.ts";
import type { RawReply } from "./reply_reader.ts";

/** RFC 3463 §2. Its class is the first digit of the reply's code; others are text. */
const ENHANCED = /^([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)/;

/** @param sent credentials that the server has got on this connection */
export function serverReply({ code, lines }: RawReply, sent: readonly string[]): ServerReply {
  let enhanced: string | undefined;
  const texts = lines.map((line) => {
    const [all = "", found] = ENHANCED.exec(line) ?? [];
    if (found === undefined || Number(found[0]) !== Math.floor(code / 100)) return line;
    enhanced ??= found;
    // RFC 2034 §4: each line has the same one.
    return found === enhanced ? line.slice(all.length) : line;
  });
  const text = words(texts.join(" "), sent) ?? "";
  return { code, ...(enhanced === undefined ? {} : { enhanced }), text };
}

/** A server's text in one line of printable ASCII; undefined if it is empty. */
export function words(text: string, sent: readonly string[]): string | undefined {
  const found = serviceWords(text, sent);
  // `…` is not ASCII.
  return found === undefined ? undefined : printable(found.replace(/…$/, "..."));
}
