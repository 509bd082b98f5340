/** Values of From with which a sender of ann@sender.example may try to appear as boss@corp.example. */

/** Two readers or more have taken the boss for the author of each. */
export const ESCAPES: readonly string[] = [
  "boss@corp.example <ann@sender.example>",
  "boss@corp.example\t<ann@sender.example>",
  "boss@corp.example\r\n\t<ann@sender.example>",
  '"boss"@corp.example <ann@sender.example>',
  "boss@corp.example(x) <ann@sender.example>",
  "[boss@corp.example] <ann@sender.example>",
  "ann@sender.example\\",
  '"boss@corp.example" <ann@sender.example>',
  "=?utf-8?q?boss=40corp=2Eexample?= <ann@sender.example>",
];

/** Nobody can say who is meant. */
export const DOUBTFUL: readonly string[] = [
  "boss@corp.example ann@sender.example",
  "<boss@corp.example> <ann@sender.example>",
  "=?utf-8?q?boss=40corp.example=2C?=ann@sender.example",
];
