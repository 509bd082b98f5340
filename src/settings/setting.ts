// The types that the schema, its parsers and the loader share.

/** Environment variables, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Parser<T> {
  /** What is allowed, as the end of "must be …". */
  readonly allowed: string;
  /**
   * @param variable that has the text
   * @returns undefined if the text is not allowed
   */
  parse(text: string, variable?: string): T | undefined;
  /** Of a list that is not allowed, the entry that is to blame. */
  culprit?(text: string): string | undefined;
  /** What is wrong with a text that is not allowed, without any part of it: for secrets. */
  fault?(text: string): string | undefined;
  /** A text that is allowed, where it is plain that it was meant by one that is not. */
  meant?(text: string): string | undefined;
}

export interface Setting<T> {
  readonly parser: Parser<T>;
  /** The default as it would be written, or undefined for none. */
  readonly standard: string | undefined;
  /** How the reference shows a default that depends on the machine. */
  readonly standardShown?: string;
  /** One sentence or two for the reference. */
  readonly help: string;
  readonly secret?: boolean;
  /** Variables of other programs that mean the same; the setting's own name goes first. */
  readonly aliases?: readonly string[];
  /** Where several of the aliases are set: one value that has them all. Else the first one counts. */
  merge?(values: readonly unknown[]): unknown;
}
