// Gathers the operations that come while others are being committed, and sends them to the worker
// together: one transaction and one sync for all of them.

import { StoreError } from "../store.ts";
import { errorOf } from "./errors.ts";
import type { Answer, Asked, Kind, Operation, Request, Response, Totals } from "./protocol.ts";

/** The worker's port, as far as it is needed. */
export interface Port {
  postMessage(request: Request, transfer: readonly ArrayBuffer[]): void;
}

/** Operations in one transaction, and octets of their contents; one that is larger goes alone. */
const MAX_OPERATIONS = 256;
const MAX_OCTETS = 8 * 1024 * 1024;

interface Waiting {
  readonly operation: Operation;
  /** Memory that goes over to the worker. */
  readonly transfer: readonly ArrayBuffer[];
  resolve(value: Answer<Kind>): void;
  reject(error: StoreError): void;
}

export class Batches {
  readonly #port: Port;
  readonly #onTotals: (totals: Totals) => void;
  #waiting: Waiting[] = [];
  #underWay: readonly Waiting[] = [];
  #isScheduled = false;
  #ended: StoreError | undefined;
  #idle: (() => void) | undefined;

  constructor(port: Port, onTotals: (totals: Totals) => void) {
    this.#port = port;
    this.#onTotals = onTotals;
  }

  /**
   * Resolves once the operation is committed.
   *
   * @param transfer memory of `asked` that nothing else uses
   * @throws StoreError
   */
  run<K extends Kind>(
    kind: K,
    asked: Asked<K>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Answer<K>> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting.push({
        operation: { kind, ...asked } as unknown as Operation,
        transfer,
        resolve: resolve as (value: Answer<Kind>) => void,
        reject,
      });
      if (this.#isScheduled || this.#underWay.length > 0) return;
      this.#isScheduled = true;
      // What else is asked in this turn comes along.
      queueMicrotask(() => {
        this.#isScheduled = false;
        this.#send();
      });
    });
  }

  answered({ results, totals }: Extract<Response, { results: unknown }>): void {
    const done = this.#underWay;
    this.#underWay = [];
    this.#onTotals(totals);
    this.#send();
    for (const [index, { resolve, reject }] of done.entries()) {
      const result = results[index]!;
      if ("error" in result) reject(errorOf(result.error));
      else resolve(result.value);
    }
  }

  /** Fails what is asked from now on, and resolves once nothing is under way. */
  async end(error: StoreError): Promise<void> {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    if (this.#waiting.length === 0 && this.#underWay.length === 0) return;
    await new Promise<void>((resolve) => this.#idle = resolve);
  }

  /** Fails everything, now and later: the worker is gone. */
  fail(error: StoreError): void {
    this.#ended ??= error;
    const lost = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const { reject } of lost) reject(error);
    this.#idle?.();
  }

  #send(): void {
    if (this.#underWay.length > 0) return;
    if (this.#waiting.length === 0) {
      this.#idle?.();
      return;
    }
    let octets = 0;
    let count = 0;
    for (const { transfer } of this.#waiting) {
      for (const { byteLength } of transfer) octets += byteLength;
      if (count > 0 && octets > MAX_OCTETS || count === MAX_OPERATIONS) break;
      count++;
    }
    this.#underWay = this.#waiting.splice(0, count);
    this.#port.postMessage(
      { operations: this.#underWay.map(({ operation }) => operation) },
      this.#underWay.flatMap(({ transfer }) => transfer),
    );
  }
}
