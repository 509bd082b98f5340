// Retry-After (RFC 9110 §10.2.3): seconds, or an HTTP-date.

/** A day: longer times make no difference to a relay, and some servers send nonsense. */
const LONGEST = 86_400_000;

/**
 * How long to wait, in milliseconds; undefined if the field is missing or invalid.
 *
 * A date is compared with the response's own Date, if it has one, so that a wrong clock on either
 * side has no effect.
 *
 * @param now milliseconds since 1970
 */
export function retryAfter(
  headers: ReadonlyMap<string, string>,
  now: number,
): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (value === undefined) return undefined;
  // The RFC has whole seconds; a fraction is accepted.
  if (/^\d+(?:\.\d+)?$/.test(value)) return Math.min(Number(value) * 1000, LONGEST);
  const date = parseHttpDate(value, now);
  if (date === undefined) return undefined;
  const sentAt = headers.get("date");
  const from = sentAt === undefined ? now : parseHttpDate(sentAt.trim(), now) ?? now;
  return Math.max(0, Math.min(date - from, LONGEST));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MONTH = MONTHS.join("|");
const TIME = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`;
const FORMS = [
  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
  String.raw`[A-Z][a-z]{2}, (?<day>\d\d) (?<month>${MONTH}) (?<year>\d{4}) ${TIME} GMT`,
  // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
  String.raw`[A-Z][a-z]+, (?<day>\d\d)-(?<month>${MONTH})-(?<year>\d\d) ${TIME} GMT`,
  // asctime: Sun Nov  6 08:49:37 1994
  String.raw`[A-Z][a-z]{2} (?<month>${MONTH}) (?<day>[ \d]\d) ${TIME} (?<year>\d{4})`,
].map((form) => new RegExp(`^${form}$`));

/**
 * The three forms of RFC 9110 §5.6.7, all of them UTC. Not by `Date.parse`, which takes the last
 * one for local time.
 */
function parseHttpDate(text: string, now: number): number | undefined {
  for (const form of FORMS) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const number = (name: string) => Number(parts[name]);
    let year = number("year");
    if (parts["year"]!.length === 2) {
      const thisYear = new Date(now).getUTCFullYear();
      year += thisYear - thisYear % 100;
      // More than 50 years ahead means the past century.
      if (year > thisYear + 50) year -= 100;
    }
    const month = MONTHS.indexOf(parts["month"]!);
    return Date.UTC(
      year,
      month,
      number("day"),
      number("hour"),
      number("minute"),
      number("second"),
    );
  }
  return undefined;
}
