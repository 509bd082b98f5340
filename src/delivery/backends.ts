// The choice among several ways out: by the setting BACKEND, by the account's entry, by the message's size,
// and by what works. The next way is tried only if the one before surely did not take the message.

import type { BackendName, BackendNames } from "../backend_name.ts";
import type { Clock } from "../clock.ts";
import { lengthOf } from "../smtp/content.ts";
import { reply } from "../smtp/reply.ts";
import type {
  Attempt,
  Backend,
  BeforeSending,
  NotSent,
  ServiceOutcome,
  Submission,
} from "./delivery.ts";
import type { SentAnswer, SentLookup, SentQuestion } from "./sent_lookup.ts";

/** A way out. Unlike a queue it has the result of the service. */
export interface Way extends Backend {
  /** Whether its service knows only the relay's own login, so that it does not check what the app may send. */
  readonly checksNoApp?: boolean;
  deliver(submission: Submission, attempt: Attempt): Promise<ServiceOutcome>;
}

/** Something has changed about a way out. */
export interface WayChange {
  readonly backend: BackendName;
  /** `down`: messages go another way meanwhile; `up`: it takes messages again. */
  readonly change: "down" | "up";
  readonly code?: string;
  readonly detail?: string;
}

export interface BackendsOptions {
  /** BACKEND. */
  readonly standard: BackendNames;
  /** @returns the way, or why it is not set up */
  wayOf(name: BackendName): Way | string;
  /** LARGE_MESSAGES=exchange: the size of a message from which Graph does not get it. Left out otherwise. */
  readonly largeFrom?: number | undefined;
  /** Asks Graph about messages that may have been sent. */
  readonly sentLookup: SentLookup;
  readonly changed: (change: WayChange) => void;
  readonly clock: Pick<Clock, "now">;
}

/** Milliseconds for which a way that is down is not tried, doubled each time up to the longest. */
const FIRST_PAUSE = 15_000;
const LONGEST_PAUSE = 300_000;
/** Milliseconds for which others keep away while one message tries whether it works again. */
const TRIAL = 60_000;
/** The refusals of Graph that concern the size alone. */
const TOO_LARGE = new Set(["GRAPH_REQUEST_LIMIT", "HTTP 413"]);
/** Outcomes whose reason lies in the relay or the mailbox's pace: another way would not be right either. */
const OWN = new Set(["STOPPING", "NOT_OWNED", "OVER_SHARE", "PACING_TIMEOUT", "ABORTED"]);

/** What is remembered of a way that is down. */
interface Outage {
  readonly failures: number;
  /** Until then it is not tried. */
  until: number;
  readonly outcome: NotSent;
}

export class Backends implements Backend, SentLookup {
  readonly id = "backends";
  readonly #options: BackendsOptions;
  readonly #outages = new Map<BackendName, Outage>();

  constructor(options: BackendsOptions) {
    this.#options = options;
  }

  /** Whether its first way would refuse it. */
  refusal(submission: Submission): NotSent | undefined {
    const [name] = this.#namesFor(submission);
    const way = this.#options.wayOf(name);
    if (typeof way === "string") return unset(name, way);
    const refusal = way.refusal?.(submission);
    if (refusal === undefined || !this.#goesByExchange(name, refusal)) return refusal;
    const other = this.#options.wayOf("exchange");
    return typeof other === "string" ? refusal : other.refusal?.(submission);
  }

  deliver(submission: Submission, attempt: Attempt): Promise<ServiceOutcome> {
    const names = this.#namesFor(submission);
    // There is nothing to choose then, as with most relays.
    return names.length > 1
      ? this.#deliverByOrder(submission, attempt, names)
      : this.#deliverBy(names[0], submission, attempt);
  }

  #deliverBy(name: BackendName, submission: Submission, attempt: Attempt): Promise<ServiceOutcome> {
    const way = this.#options.wayOf(name);
    if (typeof way === "string") return Promise.resolve(unset(name, way));
    return this.#options.largeFrom === undefined
      ? way.deliver(submission, attempt)
      : this.#tryWay(way, name, submission, attempt, false);
  }

  async #deliverByOrder(
    submission: Submission,
    given: Attempt,
    names: BackendNames,
  ): Promise<ServiceOutcome> {
    const watched = new WatchedAttempt(given);
    let before: NotSent | undefined;
    let denied = false;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const isLast = i === names.length - 1;
      const known = isLast ? undefined : this.#downNow(name);
      if (known !== undefined) {
        before ??= known;
        continue;
      }
      const way = this.#options.wayOf(name);
      // What the app may not send is no outage: with an order, it would go by a server that does not ask.
      if (denied && typeof way !== "string" && way.checksNoApp === true) continue;
      const outcome = typeof way === "string"
        ? unset(name, way)
        : await this.#tryWay(way, name, submission, watched.attempt, true);
      if (outcome.type === "sent" || outcome.ambiguous || watched.halted) return outcome;
      if (outcome.type === "refused" && before === undefined) return outcome;
      denied ||= outcome.denied === true;
      before = before === undefined ? outcome : both(before, outcome, name);
      if (outcome.type === "refused" || OWN.has(outcome.code)) return before;
    }
    return before!;
  }

  async lookUp(question: SentQuestion): Promise<SentAnswer> {
    return await this.#options.sentLookup.lookUp(question);
  }

  async #tryWay(
    way: Way,
    name: BackendName,
    submission: Submission,
    attempt: Attempt,
    isOneOfMany: boolean,
  ): Promise<ServiceOutcome> {
    let outcome = await way.deliver(submission, attempt);
    if (outcome.type === "refused" && this.#goesByExchange(name, outcome)) {
      const other = this.#options.wayOf("exchange");
      if (typeof other !== "string") outcome = await other.deliver(submission, attempt);
    } else if (isOneOfMany) this.#note(name, outcome);
    return outcome;
  }

  #namesFor({ account, content }: Submission): BackendNames {
    const { standard, largeFrom } = this.#options;
    const names = account.backends ?? standard;
    if (largeFrom === undefined || lengthOf(content) < largeFrom) return names;
    const [first, ...rest] = new Set(names.map((name) => name === "graph" ? "exchange" : name));
    return [first!, ...rest];
  }

  /** Its size in Graph's form is known only once Graph has it. */
  #goesByExchange(name: BackendName, { code, ambiguous }: NotSent): boolean {
    return this.#options.largeFrom !== undefined && name === "graph" && !ambiguous &&
      TOO_LARGE.has(code);
  }

  /** Its last outcome while it is not to be tried. After the pause, one message tries. */
  #downNow(name: BackendName): NotSent | undefined {
    const outage = this.#outages.get(name);
    if (outage === undefined) return undefined;
    const now = this.#options.clock.now();
    if (outage.until > now) return outage.outcome;
    outage.until = now + TRIAL;
    return undefined;
  }

  #note(name: BackendName, outcome: ServiceOutcome): void {
    const { clock, changed } = this.#options;
    const outage = this.#outages.get(name);
    if (outcome.type === "sent" || outcome.outage !== true) {
      // What says nothing about the service.
      if (outcome.type === "later" && OWN.has(outcome.code) || outage === undefined) return;
      this.#outages.delete(name);
      return changed({ backend: name, change: "up" });
    }
    const failures = (outage?.failures ?? 0) + 1;
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1));
    this.#outages.set(name, { failures, until: clock.now() + pause, outcome: settled(outcome) });
    const { code, detail } = outcome;
    if (outage === undefined) changed({ backend: name, change: "down", code, detail });
  }
}

/** An attempt that notices when the message must not be sent at all. */
class WatchedAttempt {
  halted = false;
  readonly attempt: Attempt;

  constructor(attempt: Attempt) {
    const { beforeSending } = attempt;
    this.attempt = beforeSending === undefined
      ? attempt
      : { ...attempt, beforeSending: (progress) => this.#ask(beforeSending, progress) };
  }

  async #ask(...[ask, progress]: [BeforeSending, Parameters<BeforeSending>[0]]): Promise<boolean> {
    this.halted = true;
    this.halted = !await ask(progress);
    return !this.halted;
  }
}

/** Of another message: nothing of it was sent. */
function settled({ type: _, ...outcome }: NotSent): NotSent {
  return { ...outcome, type: "later", ambiguous: false };
}

/**
 * The first way's failure passes, so that the message may be tried again: a refusal by the second may mean
 * only that this way is not set up.
 */
function both(first: NotSent, second: NotSent, name: BackendName): NotSent {
  const { retryAfter: _, ...rest } = first;
  return { ...rest, detail: `${first.detail}; by ${name}: ${second.code}: ${second.detail}` };
}

function unset(backend: BackendName, why: string): NotSent {
  return {
    type: "later",
    reply: reply(451, "4.3.5", `BACKEND_UNSET: ${why}`),
    ambiguous: false,
    code: "BACKEND_UNSET",
    detail: why,
    backend,
  };
}
