// The form of a rate: so many in so much time.

import type { Rate } from "../limits/rate_limit.ts";
import { duration, type Parser } from "./parsers.ts";

/** More than this is no limit. */
const MOST = 1_000_000;

/** Such as `10/1m` or `500/1h`, or `off`. */
export const rateOrOff: Parser<Rate | "off"> = {
  allowed: `a number from 1 to ${MOST}, "/", and a time such as "1m" or "1h" ("s", "m", "h" or ` +
    '"d", up to 24d), as in "10/1m"; or "off"',
  parse(text) {
    if (text.toLowerCase() === "off") return "off";
    const match = /^(\d{1,7}) *\/ *(\S+)$/.exec(text);
    if (match === null) return undefined;
    const most = Number(match[1]);
    const window = duration.parse(match[2]!);
    return most >= 1 && most <= MOST && window !== undefined ? { most, window } : undefined;
  },
};
