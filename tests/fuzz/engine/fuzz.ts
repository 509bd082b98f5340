// The loop: an input, a run of the target, a check of its result.

import { Buffer } from "node:buffer";
import process from "node:process";
import type { Coverage } from "./coverage.ts";
import { mutated, shortened } from "./mutate.ts";
import { Random } from "./random.ts";
import type { Target } from "./target.ts";

export interface Budget {
  readonly seed: number;
  /** Runs of the target at most. */
  readonly runs: number;
  /** Seconds after which it ends all the same. */
  readonly seconds: number;
}

export interface Finding {
  readonly target: string;
  /** The shortest that was found, base64. */
  readonly input: string;
  readonly error: string;
}

export interface Report {
  readonly target: string;
  readonly runs: number;
  readonly seconds: number;
  /** Inputs that did something new. */
  readonly corpus: readonly Uint8Array[];
  /** Milliseconds of processor time that the slowest run took. */
  readonly slowest: number;
  readonly finding?: Finding;
}

const MAX_LENGTH = 2048;
/** Inputs that are kept; octets of all of them are bounded with it. */
const MAX_CORPUS = 2000;
/**
 * Milliseconds of processor time for one run: an input has a few thousand octets, so that whatever
 * takes as long as this does not take time in proportion to them.
 */
export const TOO_SLOW = 3000;

/**
 * Runs a target with inputs made of its seeds. With `coverage`, inputs that reach something new are
 * kept and changed further; without, a few are kept by chance.
 *
 * @param note gets each input before it is run
 */
export async function fuzz(
  target: Target,
  { seed, runs, seconds }: Budget,
  coverage?: Coverage,
  note?: (input: Uint8Array) => void,
): Promise<Report> {
  const random = new Random(seed);
  const begun = performance.now();
  const end = begun + seconds * 1000;
  const seeds = seedsOf(target);
  const corpus: Uint8Array[] = [];
  const words = target.words.map((word) => Buffer.from(word, "latin1"));
  const maxLength = target.maxLength ?? MAX_LENGTH;
  let slowest = 0;
  let done = 0;
  const report = (finding?: Finding): Report => ({
    target: target.name,
    runs: done,
    seconds: (performance.now() - begun) / 1000,
    corpus: corpus.length > 0 ? corpus : seeds,
    slowest,
    ...(finding === undefined ? {} : { finding }),
  });
  while (done < runs + seeds.length && performance.now() < end) {
    const input = done < seeds.length ? seeds[done]! : mutated(
      { corpus, words, wanted: coverage?.wanted ?? [], maxLength },
      random,
    );
    note?.(input);
    coverage?.begin();
    const { failure, time } = await attempt(target, input);
    done++;
    slowest = Math.max(slowest, time);
    if (failure !== undefined) {
      const short = await shortened(input, async (other) => {
        note?.(other);
        return (await attempt(target, other)).failure !== undefined;
      });
      const { failure: last } = await attempt(target, short);
      const error = (last ?? failure).stack ?? String(failure);
      return report({ target: target.name, input: base64(short), error });
    }
    const isSeed = done <= seeds.length;
    if (coverage === undefined ? isSeed || random.below(50) === 0 : coverage.news() || isSeed) {
      if (corpus.length < MAX_CORPUS) corpus.push(input);
      else corpus[random.below(MAX_CORPUS)] = input;
    }
  }
  return report();
}

/** Runs the target once; again where it takes too long, for a busy machine may be the reason. */
async function attempt(
  target: Target,
  input: Uint8Array,
): Promise<{ failure: Error | undefined; time: number }> {
  const once = await timed(target, input);
  if (once.failure !== undefined || once.time <= TOO_SLOW) return once;
  const { failure, time } = await timed(target, input);
  const slow = time > TOO_SLOW ? new Error(`took ${Math.round(time)} ms`) : undefined;
  return { failure: failure ?? slow, time };
}

/** Time is the processor's: other programs must not make it look slow. */
async function timed(
  target: Target,
  input: Uint8Array,
): Promise<{ failure: Error | undefined; time: number }> {
  const before = performance.now();
  const cpu = process.cpuUsage();
  let failure: Error | undefined;
  try {
    const pending = target.run(input);
    if (pending !== undefined) await pending;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  }
  const time = performance.now() - before;
  // Asked for only where it matters: it is a call of the system.
  return { failure, time: time < TOO_SLOW ? time : process.cpuUsage(cpu).user / 1000 };
}

export function seedsOf({ seeds }: Target): Uint8Array[] {
  return seeds.map((seed) => typeof seed === "string" ? Buffer.from(seed, "latin1") : seed);
}

export function base64(octets: Uint8Array): string {
  return Buffer.from(octets).toString("base64");
}
