// The table's answers: remembered for a minute, and while it does not answer, for longer. Those that a
// login was refused by are looked at again for the next one: an administrator may be mending them.

import { LRUCache } from "lru-cache";
import { isTrouble, type TableTrouble } from "./entry_source.ts";
import { type Timer, type Turn, Turns } from "../limits/semaphore.ts";

export interface AnswersOptions {
  /** Milliseconds that an answer serves on while the table does not give another. */
  readonly maxAge: number | "off";
  /** Answers remembered at most, and as many questions that there is nothing for. */
  readonly capacity?: number;
  /** The table did not answer; `served`: what had been read before took its place. */
  onTrouble?(trouble: TableTrouble, served: boolean): void;
  /** It answers again. */
  onRecovery?(): void;
  now?(): number;
  readonly timer?: Timer;
}

/** Milliseconds, from the question on, after which the table is asked again. */
const FRESH = 60_000;
/** Milliseconds that nothing counts as nothing: what is made meanwhile is not seen before. */
const ABSENT = 10_000;
/** Milliseconds between two questions for what a login was refused by. */
const DOUBTED = 2_000;
/** Milliseconds for a question, its wait for a turn too: a client waits for its 235 meanwhile. */
const TIMEOUT = 10_000;
/** Milliseconds for it until what was read before serves. The question goes on: see #ask. */
const PATIENCE = 3_000;
/** Milliseconds that a question which failed is not put again, where there is such an answer. */
const QUIET = 10_000;
/** Milliseconds of that for its turn: what is left must do for a table that is only slow. */
const LONGEST_WAIT = TIMEOUT - PATIENCE;
/** Questions at once, of either kind: strangers can make the relay ask as often as they like. */
const AT_ONCE = 32;
/** Of those that would not be asked yet but for a login that was refused; they wait for no turn. */
const DOUBTED_AT_ONCE = 8;

interface Absent {
  /** When the question was asked that this is the answer to. */
  readonly askedAt: number;
  /** When it was put last because a login was refused by it. */
  doubtedAt: number;
  /** When it was put again last, and not answered. */
  failedAt: number;
}

interface Known<T> extends Absent {
  readonly value: T;
  /** Whether a login was refused by it. What is absent always refuses one. */
  doubted: boolean;
}

interface Question<T> {
  readonly answer: Promise<Answer<T>>;
  /** Comes when it has taken longer than PATIENCE. */
  readonly late: Promise<undefined>;
}

export type Answer<T> = T | "nothing" | TableTrouble;

/** Puts a question. @returns undefined where there is nothing */
export type Ask<T> = (timeout: number) => Promise<T | undefined | TableTrouble>;

/** Whether the table answered last: strangers' questions that make no sense do not count. */
export type TableState = "not asked" | "answers" | TableTrouble;

export class Answers<T extends object> {
  readonly #options: AnswersOptions;
  readonly #now: () => number;
  readonly #timer: Timer;
  readonly #known: LRUCache<string, Known<T>>;
  /** Questions that there was nothing for; apart, so that strangers' guesses push out no answer. */
  readonly #absent: LRUCache<string, Absent>;
  /** Questions under way, each shared by all who ask the same. */
  readonly #pending = new Map<string, Question<T>>();
  readonly #firstTurns: Turns;
  /** Apart, so that no flood of guesses keeps an entry from being looked at again. */
  readonly #renewalTurns: Turns;
  /** Apart likewise: a flood of refused logins puts off neither. */
  readonly #doubtTurns: Turns;
  #quietUntil = -Infinity;
  #state: TableState = "not asked";
  /** When the table was found to be no more. */
  #goneAt = -Infinity;

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#timer = options.timer ?? timer;
    const max = options.capacity ?? 10_000;
    this.#known = new LRUCache({ max });
    this.#absent = new LRUCache({ max });
    this.#firstTurns = new Turns(AT_ONCE, this.#timer);
    this.#renewalTurns = new Turns(AT_ONCE, this.#timer);
    this.#doubtTurns = new Turns(DOUBTED_AT_ONCE, this.#timer);
  }

  get state(): TableState {
    return this.#state;
  }

  /** @param again whether what a login was refused by may be asked for again, and waited for */
  get(key: string, ask: Ask<T>, again: boolean): Promise<Answer<T>> | Answer<T> {
    const now = this.#now();
    const known = this.#known.get(key);
    if (known !== undefined && now - known.askedAt < FRESH) {
      return again && known.doubted ? this.#lookAgain(key, ask, known, known.value) : known.value;
    }
    const absent = this.#absent.get(key);
    if (absent !== undefined && now - absent.askedAt < ABSENT) {
      return again ? this.#lookAgain(key, ask, absent, "nothing") : "nothing";
    }
    const replaceable = known !== undefined && this.#serves(known);
    if (replaceable && this.#quiet(known)) return known.value;
    const question = this.#pending.get(key) ??
      this.#put(key, ask, (known ? this.#renewalTurns : this.#firstTurns).take(LONGEST_WAIT));
    return replaceable ? this.#unlessLate(key, question) : question.answer;
  }

  /** A login was refused by this answer: the next one is not to go by it, if that can be helped. */
  doubt(key: string): void {
    const known = this.#known.peek(key);
    if (known !== undefined) known.doubted = true;
  }

  /** @param value what is remembered, for now and where there is no turn for the question */
  #lookAgain(
    key: string,
    ask: Ask<T>,
    remembered: Absent,
    value: T | "nothing",
  ): Promise<Answer<T>> | Answer<T> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return this.#unlessLate(key, pending);
    const now = this.#now();
    const { askedAt, doubtedAt, failedAt } = remembered;
    if (now - Math.max(askedAt, doubtedAt) < DOUBTED || now - failedAt < QUIET) return value;
    const turn = this.#doubtTurns.takeNow();
    if (turn === undefined) return value;
    remembered.doubtedAt = now;
    return this.#unlessLate(key, this.#put(key, ask, turn));
  }

  #put(key: string, ask: Ask<T>, turn: Turn | Promise<Turn | undefined>): Question<T> {
    const { promise: late, resolve: ring } = Promise.withResolvers<undefined>();
    const stop = this.#timer(PATIENCE, () => ring(undefined));
    const answer = this.#ask(key, ask, turn).finally(() => {
      stop();
      this.#pending.delete(key);
    });
    const question = { answer, late };
    this.#pending.set(key, question);
    return question;
  }

  async #unlessLate(key: string, { answer, late }: Question<T>): Promise<Answer<T>> {
    const first = await Promise.race([answer, late]);
    if (first !== undefined) return first;
    // It may have been forgotten meanwhile.
    const known = this.#known.get(key);
    return known !== undefined && this.#serves(known) ? known.value : answer;
  }

  /** The answer is stored however late it comes, so that a slow table is obeyed, too. */
  async #ask(
    key: string,
    ask: Ask<T>,
    turn: Turn | Promise<Turn | undefined>,
  ): Promise<Answer<T>> {
    const begun = this.#now();
    const endTurn = await turn;
    if (endTurn === undefined) return this.#trouble(key, CROWDED);
    try {
      const askedAt = this.#now();
      const answer = await ask(Math.max(PATIENCE, TIMEOUT - (askedAt - begun)));
      if (answer !== undefined && isTrouble(answer)) return this.#trouble(key, answer);
      this.#recovered();
      // What was read before the table was deleted does not come back.
      if (askedAt >= this.#goneAt) this.#remember(key, answer, askedAt);
      return answer ?? "nothing";
    } finally {
      endTurn();
    }
  }

  #remember(key: string, value: T | undefined, askedAt: number): void {
    const fresh = { askedAt, doubtedAt: -Infinity, failedAt: -Infinity };
    if (value === undefined) {
      this.#known.delete(key);
      this.#absent.set(key, fresh);
    } else {
      this.#absent.delete(key);
      this.#known.set(key, { ...fresh, value, doubted: false });
    }
  }

  #recovered(): void {
    this.#quietUntil = -Infinity;
    const troubled = typeof this.#state === "object";
    this.#state = "answers";
    if (troubled) this.#options.onRecovery?.();
  }

  #trouble(key: string, trouble: TableTrouble): Answer<T> {
    const now = this.#now();
    if (trouble.gone) {
      this.#known.clear();
      this.#absent.clear();
      this.#goneAt = now;
    } else if (trouble.concerns === "table") this.#quietUntil = now + QUIET;
    const known = this.#known.peek(key);
    const absent = this.#absent.peek(key);
    const served = known !== undefined && this.#serves(known);
    if (served || trouble.concerns === "table") this.#state = trouble;
    this.#options.onTrouble?.(trouble, served);
    if (known !== undefined) known.failedAt = now;
    if (absent !== undefined) absent.failedAt = now;
    if (served) return known.value;
    return absent !== undefined && now - absent.askedAt < ABSENT ? "nothing" : trouble;
  }

  /** Whether it may take the place of an answer that the table does not give. */
  #serves({ askedAt }: Known<T>): boolean {
    const { maxAge } = this.#options;
    const age = this.#now() - askedAt;
    return age < FRESH || maxAge !== "off" && age < maxAge;
  }

  /**
   * Whether it is left at what was read before, without asking: for a while after its own question
   * failed. Other questions' trouble makes that a minute at most, or whoever can cause trouble could
   * keep an entry alive that has been disabled.
   */
  #quiet({ failedAt }: Known<T>): boolean {
    const now = this.#now();
    return now - failedAt < (now < this.#quietUntil ? FRESH : QUIET);
  }
}

const CROWDED: TableTrouble = {
  type: "trouble",
  code: "TABLE_CROWDED",
  detail: `the relay has ${AT_ONCE} questions to the table under way, and its turn did not come ` +
    "in time; try again",
  gone: false,
  concerns: "question",
};

const timer: Timer = (milliseconds, ring) => {
  const running = setTimeout(ring, milliseconds);
  return () => clearTimeout(running);
};
