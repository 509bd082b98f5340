// Inputs that have broken a rule once. What was wrong has tests of its own in its room; here each one
// is run again as it was found.

export interface KnownFinding {
  readonly target: string;
  /** What it was. */
  readonly what: string;
  /** base64 */
  readonly input: string;
}

const base64 = (text: string) => btoa(text);

export const FINDINGS: readonly KnownFinding[] = [
  {
    target: "networks",
    what: "Bun found every IPv4 address in an IPv6 network such as ::/0",
    input: base64("1.2.3.4\n::/0"),
  },
  {
    target: "networks",
    what: "and in one in which ::ffff:0:0/96 is",
    input: base64("::ffff:1.0.2.7\n::1/64"),
  },
  {
    target: "graph",
    what: "a 201 with a code that refuses became 550 although the message may have been sent",
    input: base64('\0\x01\0{"error":{"code":"ErrorAccessDenied"}}\xff'),
  },
  {
    target: "graph",
    what: "so did a 408",
    input: base64('\0\x0a\0{"error":{"code":"ErrorAccessDenied"}}\xff'),
  },
  {
    target: "entra",
    what: "a lifetime too large for a date made a token that was never used",
    input: base64('\0\0\0{"expires_in":"33333333333333","access_token":"a"}'),
  },
  {
    target: "settings",
    what: "a problem showed a control character of C1 as it was",
    input: base64("\0\xc2\x9b2J"),
  },
  {
    target: "log",
    what: "a line of JSON had marks of direction as they were",
    input: base64("\xe2\x81\xa6\xff"),
  },
  {
    target: "mime",
    what: "a CR within a boundary, which is a space once it is repaired",
    input: "CAADBQVpbWFnZS9wbmcBAAMAAAUAQy//AwEAAP9E/wIABAACPQ0BUVVKRP8CAAQA",
  },
  {
    target: "message",
    what: "a field whose name begins like a delimiter line",
    input: "b206Ci0tOg==",
  },
  {
    target: "session",
    what: "the target's own rule did not count a login of the trusted account",
    input: "1QpSQ1BUIFRPOjxjQHQ+CkRBVEEKLg0K/gA=",
  },
  {
    target: "repeated",
    what: "a setting of many :// was searched for a password from each of them anew",
    input: base64("\x12\xff://"),
  },
  {
    target: "repeated",
    what: "and one of many slashes for the last of them",
    input: base64("\x12https://x\xff/\xffx"),
  },
];
