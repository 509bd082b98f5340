// Whether a text is an IP address. As `isIP` of `node:net`, which would take streams and more along: 1 MiB of
// each process.

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const V4 = `${OCTET}(?:\\.${OCTET}){3}`;
const GROUP = "[\\da-f]{1,4}";
/** RFC 4291 §2.2, by the number of groups before the two colons; IPv4 stands for two groups. */
const V6 = [
  `(?:${GROUP}:){7}(?:${GROUP}|:)`,
  `(?:${GROUP}:){6}(?:${V4}|:${GROUP}|:)`,
  `(?:${GROUP}:){5}(?::${V4}|(?::${GROUP}){1,2}|:)`,
  ...[4, 3, 2, 1].map((before) => {
    const after = 7 - before;
    return `(?:${GROUP}:){${before}}(?:(?::${GROUP}){0,${
      after - 2
    }}:${V4}|(?::${GROUP}){1,${after}}|:)`;
  }),
  `:(?:(?::${GROUP}){0,5}:${V4}|(?::${GROUP}){1,7}|:)`,
];
/** RFC 4007 §11. */
const ZONE = "%[\\da-z.:-]+";

const IPV4 = new RegExp(`^${V4}$`);
const IPV6 = new RegExp(`^(?:${V6.join("|")})(?:${ZONE})?$`, "i");

/** @returns 0 if it is no address */
export function isIP(text: string): 0 | 4 | 6 {
  if (IPV4.test(text)) return 4;
  return text.includes(":") && IPV6.test(text) ? 6 : 0;
}
