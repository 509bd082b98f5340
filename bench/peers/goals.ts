// What is to be reached, beside what was measured.

import { type PeerId, ratioOf, type Results, valueOf } from "./results.ts";

export interface Goal {
  readonly title: string;
  readonly sense: "at least" | "at most";
  readonly limit: number;
  readonly unit: string;
  readonly digits: number;
  /** Undefined if it was not measured. */
  measured(results: Results): number | undefined;
}

/** MiB of four messages of 25 MB. */
export const IN_FLIGHT = 4 * 25e6 / 1024 ** 2;
/** MB of the executable before it was made light. */
const SIZE_BEFORE = 124.2;

export const GOALS: readonly Goal[] = [
  times("messages a second, beside smtp-server", "at least", 1.3, "steady.rate", "smtp-server"),
  times("CPU a message, beside smtp-server", "at most", 0.83, "steady.cpu", "smtp-server"),
  times("CPU a message, beside go-smtp", "at most", 0.8, "steady.cpu", "go-smtp"),
  times(
    "CPU of a session with ECDSA, beside smtp-server",
    "at most",
    0.5,
    "sessions.ecdsa.cpu",
    "smtp-server",
  ),
  times("CPU of a session with RSA, beside go-smtp", "at most", 0.7, "sessions.rsa.cpu", "go-smtp"),
  plain("an idle connection, of 1,000 to 4,000", "at most", 9, "KiB", 1, "idle.marginal"),
  times("the same, beside go-smtp", "at most", 0.3, "idle.marginal", "go-smtp"),
  plain("start to greeting", "at most", 30, "ms", 0, "start.time"),
  plain("the same with 420 variables of other services", "at most", 33, "ms", 0, "start.pod"),
  plain("own (anonymous) memory at rest", "at most", 10, "MiB", 1, "rest.anonymous"),
  plain("resident memory at rest", "at most", 50, "MiB", 0, "rest.resident"),
  times("25 MB × 4 by sendMail, beside go-smtp", "at least", 2, "large.sendMail.rate", "go-smtp"),
  {
    ...times("25 MB × 4 by upload, beside go-smtp's sendMail", "at least", 2, "", "go-smtp"),
    measured: (results) =>
      ratioOf(results, ["large.upload.rate", "ours"], ["large.sendMail.rate", "go-smtp"]),
  },
  inFlight("memory above rest beside mail in flight, sendMail", "large.sendMail.peak"),
  inFlight("the same, upload", "large.upload.peak"),
  plain(
    "Graph at 1 s, 1,000 connections: of the ideal",
    "at least",
    0.97,
    "",
    3,
    "slow.1000.share",
  ),
  plain(
    "Graph at 1 s, 5,000 connections: of the ideal",
    "at least",
    0.97,
    "",
    3,
    "slow.5000.share",
  ),
  {
    title: "CPU of a connection, 5,000 beside 200",
    sense: "at most",
    limit: 1.1,
    unit: "×",
    digits: 2,
    measured: (results) => ratioOf(results, ["slow.5000.cpu", "ours"], ["slow.200.cpu", "ours"]),
  },
  plain("a message at half of the top rate, median", "at most", 1, "ms", 2, "half.p50"),
  plain("a message at half of the top rate, 99 of 100", "at most", 5, "ms", 2, "half.p99"),
  plain("errors at twice the top rate", "at most", 0, "", 0, "twice.errors"),
  plain("a transaction at twice the top rate, 99 of 100", "at most", 250, "ms", 0, "twice.p99"),
  plain(
    "fairness between accounts at twice the top rate",
    "at least",
    0.9,
    "",
    2,
    "twice.fairness",
  ),
  plain("the executable", "at most", SIZE_BEFORE, "MB", 1, "executable.size"),
];

export function isMet({ sense, limit }: Goal, measured: number): boolean {
  return sense === "at least" ? measured >= limit : measured <= limit;
}

/** The executable beside a peer. */
function times(
  title: string,
  sense: Goal["sense"],
  limit: number,
  figure: string,
  peer: PeerId,
): Goal {
  const measured = (results: Results) => ratioOf(results, [figure, "ours"], [figure, peer]);
  return { title, sense, limit, unit: "×", digits: 2, measured };
}

function plain(
  title: string,
  sense: Goal["sense"],
  limit: number,
  unit: string,
  digits: number,
  figure: string,
): Goal {
  return {
    title,
    sense,
    limit,
    unit,
    digits,
    measured: (results) => valueOf(results, figure, "ours"),
  };
}

function inFlight(title: string, figure: string): Goal {
  return {
    title,
    sense: "at most",
    limit: 1.75,
    unit: "×",
    digits: 2,
    measured: (results) => {
      const peak = valueOf(results, figure, "ours");
      return peak === undefined ? undefined : peak / IN_FLIGHT;
    },
  };
}
