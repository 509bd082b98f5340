// The parts of a delivery that take time, for the log, metrics and traces.

import type { BackendName } from "../backend_name.ts";

export interface Step {
  /**
   * `prepare`: the service's form of the message is made; `wait`: for a slot of the mailbox; `token`: Entra
   * ID is asked for one; `request`: the service is asked; `pause`: between two requests; `store`: the queue
   * writes the message and syncs.
   */
  readonly name: "prepare" | "wait" | "token" | "request" | "pause" | "store";
  /** When it began, in milliseconds of Unix time, with fractions. */
  readonly at: number;
  readonly milliseconds: number;
  /** Of a request: what was asked for, such as `POST sendMail`; never with an address in it. */
  readonly target?: string;
  /** Of a request: its HTTP status, the code of the last SMTP reply, or the network's error code. */
  readonly result?: number | string;
  /** Of a request: the back end that was asked. Left out for Graph. */
  readonly backend?: BackendName;
}

/** Steps that are kept: an upload of 150 MB has some 50 requests. */
const MAX_STEPS = 200;

export class Steps {
  readonly #list: Step[] = [];

  /** All that have ended, in the order of their ends. */
  get list(): readonly Step[] {
    return this.#list;
  }

  /** @returns ends the step, with its result */
  begin(
    name: Step["name"],
    target?: string,
    backend?: BackendName,
  ): (result?: Step["result"]) => void {
    const started = performance.now();
    return (result) => {
      if (this.#list.length >= MAX_STEPS) return;
      const step: { -readonly [Key in keyof Step]: Step[Key] } = {
        name,
        at: performance.timeOrigin + started,
        milliseconds: performance.now() - started,
      };
      if (target !== undefined) step.target = target;
      if (result !== undefined) step.result = result;
      if (backend !== undefined) step.backend = backend;
      this.#list.push(step);
    };
  }
}
