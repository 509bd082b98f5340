/**
 * Envelope and header, and the recipients that Graph computes: always the envelope's. Where
 * the octets of the fields matter, they stand here too.
 */

export interface RecipientCase {
  readonly name: string;
  /** Header fields with their line ends; From and the like are prepended. */
  readonly header: string;
  /** Also the recipients that Graph has to compute. */
  readonly envelope: readonly string[];
  /** Recipients' fields afterwards, without line ends; those of the header where left out. */
  readonly fields?: readonly string[];
}

const A = "a@x.test";
const B = "b@x.test";
const C = "c@x.test";
const NOBODY = "To: undisclosed-recipients:;";

/** All are understood and in the envelope: not an octet changes. */
const SAME: readonly (readonly [name: string, header: string, envelope: readonly string[]])[] = [
  ["a bare address", "To: a@x.test\r\n", [A]],
  ["all three fields", "To: a@x.test\r\nCc: b@x.test\r\nBcc: c@x.test\r\n", [A, B, C]],
  ["a list without spaces", "To:a@x.test,b@x.test\r\n", [A, B]],
  ["a display name", "To: Ann Example <a@x.test>\r\n", [A]],
  ["a quoted display name with a comma", 'To: "Example, Ann" <a@x.test>\r\n', [A]],
  ["a quoted name with signs in it", 'To: "Ex, A. <z@z.test>; :" <a@x.test>, b@x.test\r\n', [A, B]],
  ["a quoted name with quotes in it", 'To: "Ann \\"A\\" Ex" <a@x.test>\r\n', [A]],
  ["a name that is the address", 'To: "a@x.test" <a@x.test>, b@x.test <B@x.test>\r\n', [A, B]],
  ["an encoded word", "To: =?utf-8?q?J=C3=BCrgen?= <a@x.test>\r\n", [A]],
  ["an encoded comma", "To: =?utf-8?q?M=2C_z=40z=2Etest?= <a@x.test>\r\n", [A]],
  ["an encoded address", "To: =?utf-8?b?PHpAei50ZXN0Pg==?= <a@x.test>\r\n", [A]],
  ["a name in UTF-8 (RFC 6532)", "To: Jürgen Groß <a@x.test>\r\n", [A]],
  ["a name with a dot (RFC 5322 §4.1)", "To: Ann B. Example <a@x.test>\r\n", [A]],
  ["folding", "To:\r\n Ann\r\n\t<a@x.test>,\r\n  b@x.test\r\n", [A, B]],
  ["comments", "To: a@x.test (Ann), (to) b@x.test\r\n", [A, B]],
  ["a comment with an address", "To: (z@z.test) Ann <a@x.test> (z@z.test)\r\n", [A]],
  ["a comment that nests", "To: (one (two)) Ann <a@x.test> (x (y) z)\r\n", [A]],
  ["case", "To: Ann@X.test, b@X.TEST\r\n", ["aNN@x.test", B]],
  ["a U-label for an A-label", "To: a@bücher.test\r\n", ["a@xn--bcher-kva.test"]],
  ["an A-label for a U-label", "To: a@xn--bcher-kva.test\r\n", ["a@BÜCHER.test"]],
  ["a local part in UTF-8", "To: Jörg@x.test\r\n", ["jörg@x.test"]],
  ["needless quotes", 'To: "a"@x.test, <"b"@x.test>\r\n', [A, B]],
  ["needless quotes in the envelope", "To: a@x.test\r\n", ['"a"@x.test']],
  ["a quoted local part", 'To: "john doe"@x.test, J <"j d"@x.test>\r\n', [
    '"John Doe"@x.test',
    '"j d"@x.test',
  ]],
  ["a group", "To: Team: a@x.test, B <b@x.test>;, c@x.test\r\n", [A, B, C]],
  ["a group with a quoted name", 'To: "Team: x, y": a@x.test;\r\n', [A]],
  ["an empty group beside", "To: Nobody:;\r\nCc: a@x.test\r\n", [A]],
  ["empty places in the list (§4.4)", "To: a@x.test,, ,b@x.test,\r\n", [A, B]],
  ["one address twice", "To: a@x.test, Ann <A@x.test>\r\nCc: a@x.test\r\n", [A]],
  ["an address literal", "To: a@[192.0.2.1], <b@[IPv6:2001:db8::1]>\r\n", [
    "a@[192.0.2.1]",
    "b@[IPv6:2001:db8::1]",
  ]],
  ["signs that are atext", "To: o'neil+x=y/z@x.test, !#$%&*-?^_`{|}~@x.test\r\n", [
    "o'neil+x=y/z@x.test",
    "!#$%&*-?^_`{|}~@x.test",
  ]],
  [
    "Resent-To, which speaks of an earlier sending (§3.6.6)",
    "Resent-To: z@z.test\r\nTo: a@x.test\r\n",
    [A],
  ],
];

export const CASES: readonly RecipientCase[] = [
  ...SAME.map(([name, header, envelope]) => ({
    name: `stays unchanged: ${name}`,
    header,
    envelope,
    fields: header.trimEnd() === "" ? [] : header.slice(0, -2).split(/\r\n(?![ \t])/),
  })),

  // In the envelope, in no field.
  {
    name: "adds a Bcc for all where no field names anybody",
    header: "Subject: s\r\n",
    envelope: [A],
    fields: ["Bcc: a@x.test"],
  },
  {
    name: "adds those who are missing to Bcc, in the envelope's spelling, a line each",
    header: "To: a@x.test\r\n",
    envelope: [A, "Bea.B@X.Test", '"c c"@x.test'],
    fields: ['Bcc: Bea.B@X.Test,\r\n\t"c c"@x.test', "To: a@x.test"],
  },
  {
    name: "adds nobody twice who is in the envelope twice",
    header: "To: a@x.test\r\n",
    envelope: [A, "Bea@x.test", "bEA@X.test", "A@X.TEST"],
    fields: ["Bcc: Bea@x.test", "To: a@x.test"],
  },
  {
    name: "adds to the Bcc that is there (§3.6: one field at most)",
    header: "To: a@x.test\r\nbcc: b@x.test,\r\n c@x.test\r\n",
    envelope: [A, B, C, "d@x.test", "e@x.test"],
    fields: ["To: a@x.test", "bcc: d@x.test,\r\n\te@x.test, b@x.test,\r\n c@x.test"],
  },
  {
    name: "fills an empty Bcc (§3.6.3)",
    header: "To: a@x.test\r\nBcc:\r\n",
    envelope: [A, B],
    fields: ["To: a@x.test", "Bcc: b@x.test"],
  },
  {
    name: "adds an international address as UTF-8 (RFC 6532)",
    header: "To: a@x.test\r\n",
    envelope: [A, "jürgen@bücher.test"],
    fields: ["Bcc: jürgen@bücher.test", "To: a@x.test"],
  },
  {
    name: "adds an address literal in brackets: a bare colon begins a group to some",
    header: "To: a@x.test\r\n",
    envelope: [A, "b@[IPv6:2001:db8::1]"],
    fields: ["Bcc: <b@[IPv6:2001:db8::1]>", "To: a@x.test"],
  },
  {
    name: "gives a bare postmaster the sender's domain (RFC 5321 §4.5.1)",
    header: "To: a@x.test\r\n",
    envelope: [A, "Postmaster@me.test"],
    fields: ["Bcc: Postmaster@me.test", "To: a@x.test"],
  },
  {
    name: "does not take From, Sender, Reply-To or Resent-To for recipients",
    header: "Reply-To: b@x.test\r\nSender: b@x.test\r\nResent-To: b@x.test\r\nTo: a@x.test\r\n",
    envelope: [A, B],
    fields: ["Bcc: b@x.test", "Resent-To: b@x.test", "To: a@x.test"],
  },
  {
    name: "does not take display names and comments for recipients",
    header: 'To: "b@x.test" (b@x.test) <a@x.test>\r\n',
    envelope: [A, B],
    fields: ["Bcc: b@x.test", 'To: "b@x.test" (b@x.test) <a@x.test>'],
  },
  {
    name: "adds to a header with an empty group",
    header: "To: undisclosed-recipients:;\r\n",
    envelope: [A],
    fields: ["Bcc: a@x.test", NOBODY],
  },

  // In a field, not in the envelope.
  {
    name: "takes out the first of a list, and keeps the reader's view",
    header: "To: z@z.test, a@x.test,\r\n\tB <b@x.test>\r\nSubject: s\r\n",
    envelope: [A, B],
    fields: [
      "To: a@x.test,\r\n\tB <b@x.test>",
      "X-Original-To: z@z.test, a@x.test,\r\n\tB <b@x.test>",
    ],
  },
  {
    name: "takes out one in the middle",
    header: "To: a@x.test, Z <z@z.test> (who),b@x.test\r\n",
    envelope: [A, B],
    fields: ["To: a@x.test,b@x.test", "X-Original-To: a@x.test, Z <z@z.test> (who),b@x.test"],
  },
  {
    name: "takes out the last",
    header: "Cc: a@x.test ,\r\n b@x.test\r\n , z@z.test\r\n",
    envelope: [A, B],
    fields: [
      "Cc: a@x.test ,\r\n b@x.test",
      "X-Original-Cc: a@x.test ,\r\n b@x.test\r\n , z@z.test",
    ],
  },
  {
    name: "leaves a To in which nobody is left valid",
    header: "To: Z <z@z.test>,\r\n\ty@z.test\r\nCc: a@x.test\r\n",
    envelope: [A],
    fields: [NOBODY, "X-Original-To: Z <z@z.test>,\r\n\ty@z.test", "Cc: a@x.test"],
  },
  {
    name: "removes a Cc in which nobody is left",
    header: "To: a@x.test\r\nCc: z@z.test\r\n",
    envelope: [A],
    fields: ["To: a@x.test", "X-Original-Cc: z@z.test"],
  },
  {
    name: "removes a Bcc in which nobody is left, and tells nobody",
    header: "To: a@x.test\r\nBcc: z@z.test\r\n",
    envelope: [A],
    fields: ["To: a@x.test"],
  },
  {
    name: "takes out of Bcc, and tells nobody",
    header: "Bcc: a@x.test, z@z.test, b@x.test\r\n",
    envelope: [A, B],
    fields: ["Bcc: a@x.test, b@x.test"],
  },
  {
    name: "takes out of Bcc and adds to it",
    header: "Bcc: z@z.test, b@x.test\r\n",
    envelope: [A, B],
    fields: ["Bcc: a@x.test, b@x.test"],
  },
  {
    name: "sends to the member of a list whom the envelope has, not to the list",
    header: "To: list@x.test\r\n",
    envelope: ["bob@y.test"],
    fields: ["Bcc: bob@y.test", NOBODY, "X-Original-To: list@x.test"],
  },
  {
    name: "takes a member out of a group",
    header: "To: Team: a@x.test, Z <z@z.test>, b@x.test;, c@x.test\r\n",
    envelope: [A, B, C],
    fields: [
      "To: Team: a@x.test, b@x.test;, c@x.test",
      "X-Original-To: Team: a@x.test, Z <z@z.test>, b@x.test;, c@x.test",
    ],
  },
  {
    name: "leaves an empty group of which all members are taken out",
    header: "To: Team: z@z.test, y@z.test; , a@x.test\r\n",
    envelope: [A],
    fields: ["To: Team:; , a@x.test", "X-Original-To: Team: z@z.test, y@z.test; , a@x.test"],
  },
  {
    name: "leaves a To valid that was a group of others",
    header: "To: Team: z@z.test;\r\n",
    envelope: [A],
    fields: ["Bcc: a@x.test", NOBODY, "X-Original-To: Team: z@z.test;"],
  },
  {
    name: "takes out one whose domain is longer, shorter or another's",
    header: "To: a@x.test.evil.test, a@sub.x.test, a@x.tes, a@x.test\r\n",
    envelope: [A],
    fields: ["To: a@x.test", "X-Original-To: a@x.test.evil.test, a@sub.x.test, a@x.tes, a@x.test"],
  },
  {
    name: "keeps X-Original-To fields that are there",
    header: "X-Original-To: first@x.test\r\nTo: a@x.test, z@z.test\r\n",
    envelope: [A],
    fields: ["X-Original-To: first@x.test", "To: a@x.test", "X-Original-To: a@x.test, z@z.test"],
  },
  {
    name: "removes Resent-Bcc, which is a Bcc (§3.6.6)",
    header: "Resent-Bcc: z@z.test\r\nResent-Cc: y@z.test\r\nTo: a@x.test\r\n",
    envelope: [A],
    fields: ["Resent-Cc: y@z.test", "To: a@x.test"],
  },
  {
    name: "keeps encoded words and octets that are no UTF-8 of those who stay",
    header: "To: =?iso-8859-1?q?=FC?= <a@x.test>, z@z.test\r\n",
    envelope: [A],
    fields: [
      "To: =?iso-8859-1?q?=FC?= <a@x.test>",
      "X-Original-To: =?iso-8859-1?q?=FC?= <a@x.test>, z@z.test",
    ],
  },

  // Several fields of a kind, odd separators, odd names.
  {
    name: "merges several To fields into the first (§3.6)",
    header: "To: a@x.test\r\nCc: c@x.test\r\nTO:\r\n b@x.test, d@x.test\r\n",
    envelope: [A, B, C, "d@x.test"],
    fields: ["To: a@x.test,\r\n\tb@x.test, d@x.test", "Cc: c@x.test"],
  },
  {
    name: "merges and takes out, each field's view where it stood",
    header: "To: a@x.test, z@z.test\r\nTo: y@z.test\r\nTo: b@x.test\r\n",
    envelope: [A, B],
    fields: [
      "To: a@x.test,\r\n\tb@x.test",
      "X-Original-To: a@x.test, z@z.test",
      "X-Original-To: y@z.test",
    ],
  },
  {
    name: "merges several Cc, an empty one first",
    header: "Cc:\r\nCc: a@x.test\r\nCc: b@x.test\r\n",
    envelope: [A, B],
    fields: ["Cc:\r\n\ta@x.test,\r\n\tb@x.test"],
  },
  {
    name: "merges several Bcc and adds to them",
    header: "Bcc: a@x.test\r\nBcc: z@z.test\r\nBcc: b@x.test\r\n",
    envelope: [A, B, C],
    fields: ["Bcc: c@x.test, a@x.test,\r\n\tb@x.test"],
  },
  {
    name: "makes commas of the semicolons that people type",
    header: "To: a@x.test; B <b@x.test>;c@x.test;\r\n",
    envelope: [A, B, C],
    fields: ["To: a@x.test, B <b@x.test>,c@x.test"],
  },
  {
    name: "removes white space before a colon, which not all read as a field (§4.5)",
    header: "To : a@x.test\r\nBcc \t: z@z.test\r\n",
    envelope: [A],
    fields: ["To: a@x.test"],
  },
  {
    name: "removes blank lines of continuation, which some take for the header's end",
    header: "To: a@x.test,\r\n \t\r\n b@x.test\r\n",
    envelope: [A, B],
    fields: ["To: a@x.test,\r\n b@x.test"],
  },

  {
    name: "makes a space of a NUL",
    header: "To: a@x.test, b@x.test\0, c@x.test\r\n",
    envelope: [A, B, C],
    fields: ["To: a@x.test, b@x.test , c@x.test"],
  },

  // Fields of nothing (RFC 5322 §3.6.3).
  ...["To:", "To: ;", "To: ,", "To: \r\n "].map((to): RecipientCase => ({
    name: `gives an empty To a placeholder: ${JSON.stringify(to)}`,
    header: `${to}\r\nCc: a@x.test\r\n`,
    envelope: [A],
    fields: [NOBODY, "Cc: a@x.test"],
  })),
  {
    name: "removes an empty Cc and Bcc",
    header: "To: a@x.test\r\nCc: ;\r\nBcc: \r\n",
    envelope: [A],
    fields: ["To: a@x.test"],
  },

  // A valid address in brackets after an invalid name.
  ...([
    ["John [Ext] <a@x.test>", '"John [Ext]" <a@x.test>'],
    ["'a@x.test' <a@x.test>", "<a@x.test>"],
    ["John @ Work <a@x.test>", "<a@x.test>"],
    ["z@z.test <a@x.test>, b@x.test", "<a@x.test>, b@x.test"],
    ["Größe [3]\r\n <a@x.test> (x), b@x.test", '"Größe [3]" <a@x.test>, b@x.test'],
    ['"Ex, z@z.test" [x] <a@x.test>', "<a@x.test>"],
    ["=?utf-8?q?x?= [3] <a@x.test>", "<a@x.test>"],
    ["T: J [x] <a@x.test>, b@x.test;", 'T: "J [x]" <a@x.test>, b@x.test;'],
  ] as const).map(([to, left]): RecipientCase => ({
    name: `keeps the address, and repairs the name: ${JSON.stringify(to)}`,
    header: `To: ${to}\r\n`,
    envelope: to.includes("b@x") ? [A, B] : [A],
    fields: [`To: ${left}`, `X-Original-To: ${to}`],
  })),
  {
    name: "takes out such an address that is not in the envelope",
    header: "To: Z [Ext] <z@z.test>, a@x.test\r\n",
    envelope: [A],
    fields: ["To: a@x.test", "X-Original-To: Z [Ext] <z@z.test>, a@x.test"],
  },

  // What Exchange might read differently.
  ...([
    ["a quote that does not end", 'a@x.test, "b@x.test, z@z.test', "a@x.test"],
    ["a quote that does not end, first", '"Z, a@x.test, <z@z.test>', ""],
    ["a comment that does not end", "a@x.test, b@x.test (z@z.test, c@x.test", "a@x.test"],
    ["a bracket that does not end", "a@x.test, B <b@x.test, z@z.test", "a@x.test"],
    ["a group that does not end", "a@x.test, Team: b@x.test, z@z.test", "a@x.test"],
    ["undisclosed recipients without an end", "undisclosed-recipients:", ""],
    ["a control character", "a@x.test, B\x07 <b@x.test>, c@x.test", "a@x.test"],
    ["DEL", "a@x.test, b\x7f@x.test, c@x.test", "a@x.test"],
    ["a backslash outside of quotes", "a@x.test, b\\@x.test, c@x.test", "a@x.test"],
    ["a closing bracket too many", "a@x.test, b@x.test>, c@x.test", "a@x.test"],
    ["a closing parenthesis too many", "a@x.test, b@x.test), c@x.test", "a@x.test"],
    ["two addresses in one place", "a@x.test, b@x.test z@z.test, c@x.test", "a@x.test, c@x.test"],
    ["two bracketed addresses", "<b@x.test> <z@z.test>, a@x.test", "a@x.test"],
    ["two addresses in one bracket", "<b@x.test, z@z.test>, a@x.test", "a@x.test"],
    ["brackets in brackets", "a@x.test, <<b@x.test>>, c@x.test", "a@x.test"],
    ["a name before a bare address", "Bea b@x.test, a@x.test", "a@x.test"],
    ["words behind the bracket", "<b@x.test> z@z.test, a@x.test", "a@x.test"],
    ["words that are no address", "root, all staff, a@x.test", "a@x.test"],
    ["an encoded address alone", "=?utf-8?b?PHpAei50ZXN0Pg==?=, a@x.test", "a@x.test"],
    ["an address in a comment alone", "(z@z.test), a@x.test", "a@x.test"],
    [
      "an address in a comment behind a group",
      "Nobody:; (z@z.test), a@x.test",
      "Nobody:; , a@x.test",
    ],
    ["a source route (§4.4)", "<@z.test,@y.test:b@x.test>, a@x.test", "a@x.test"],
    ["white space in an address (§4.4)", "b @ x . test, a@x.test", "a@x.test"],
    ["comments in an address (§4.4)", "b(z)@(y)x.test, a@x.test", "a@x.test"],
    ["a nested comment after a bare address", "b@x.test(z (y)@z.test), a@x.test", "a@x.test"],
    ["escapes in a comment", "(\\) z@z.test, \\() <b@x.test>, a@x.test", "a@x.test"],
    [
      "escapes before an address in a name",
      '"\\" <z@z.test>, \\"" <b@x.test>, a@x.test',
      "a@x.test",
    ],
    // Some parsers drop the whole address: its recipient is better off in Bcc.
    ["a dot at the domain's end", "b@x.test., a@x.test", "a@x.test"],
    ["two at signs", "b@x.test@z.test, a@x.test", "a@x.test"],
    ["an address without local part or domain", "@x.test, b@, a@x.test", "a@x.test"],
    ["a quoted at sign in a local part", '"z@z.test"@x.test, a@x.test', "a@x.test"],
    ["an empty quoted local part", '""@x.test, a@x.test', "a@x.test"],
    ["a bare IPv6 literal, a group to some", "b@[IPv6:2001:db8::1], a@x.test", "a@x.test"],
    ["a group in a group", "T: U: z@z.test;;, a@x.test", "T:;, a@x.test"],
    ["a semicolon in a group's quotes", 'T: "x; z@z.test, y" <b@x.test>;, a@x.test', "a@x.test"],
    ["a comment that nests in a group's name", "T (u (v)): b@x.test;, a@x.test", "a@x.test"],
    ["an address as a group's name", "z@z.test: b@x.test;, a@x.test", "a@x.test"],
    ["a letter that only looks like one (Kelvin)", "\u212a@x.test, a@x.test", "a@x.test"],
    ["a character that is not seen (RFC 5890)", "b@x\u200b.test, a@x.test", "a@x.test"],
    ["a variation selector", "b@x\ufe0f.test, a@x.test", "a@x.test"],
    ["an address in a comment behind a bare one", "b@x.test (x, z@z.test), a@x.test", "a@x.test"],
    ["octets that are no address in any charset", "\ufffd@x.test, a@x.test", "a@x.test"],
  ] as const).map(([name, body, left]): RecipientCase => ({
    name: `removes ${name}`,
    header: `To: ${body}\r\n`,
    envelope: [A, B, C, "k@x.test"],
    fields: [
      `Bcc: ${[A, B, C, "k@x.test"].filter((address) => !left.includes(address)).join(",\r\n\t")}`,
      left === "" ? NOBODY : `To: ${left}`,
      `X-Original-To: ${body}`,
    ],
  })),
];
