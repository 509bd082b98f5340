// What a run has measured: it is stored as JSON, and the tables, the chart and the page are made of it.

import { median } from "../support.ts";

/** `ours` is the executable. */
export type PeerId =
  | "ours"
  | "smtp-server"
  | "go-smtp"
  | "aiosmtpd"
  | "smtp-sink"
  | "sketch";

export const PEER_IDS: readonly PeerId[] = [
  "ours",
  "smtp-server",
  "go-smtp",
  "aiosmtpd",
  "smtp-sink",
  "sketch",
];

/** Its value in each round, by peer; the rounds of all peers are pairs. */
export type Values = Partial<Record<PeerId, readonly number[]>>;

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  /** GiB. */
  readonly memory: number;
  /** System and version. */
  readonly system: string;
}

export interface Results {
  /** That the executable says it was built of, in twelve digits, with a `+` if there was more. */
  readonly commit: string;
  readonly machine: Machine;
  /** Name and version of each. */
  readonly peers: Partial<Record<PeerId, string>>;
  /** Peers that could not be had, with reasons. */
  readonly missing: readonly string[];
  /** Seconds that each scenario took. */
  readonly seconds: Readonly<Record<string, number>>;
  /** By the ids of figures.ts. */
  readonly figures: Readonly<Record<string, Values>>;
}

/** The median over the rounds; undefined if it was not measured. */
export function valueOf({ figures }: Results, figure: string, peer: PeerId): number | undefined {
  const values = figures[figure]?.[peer];
  return values === undefined || values.length === 0 ? undefined : median(values);
}

/** The median of the ratios, round by round. */
export function ratioOf(
  { figures }: Results,
  [figure, peer]: readonly [figure: string, peer: PeerId],
  [otherFigure, other]: readonly [figure: string, peer: PeerId],
): number | undefined {
  const one = figures[figure]?.[peer];
  const two = figures[otherFigure]?.[other];
  if (one === undefined || two === undefined) return undefined;
  const pairs = Math.min(one.length, two.length);
  if (pairs === 0) return undefined;
  return median(one.slice(0, pairs).map((value, round) => value / two[round]!));
}
