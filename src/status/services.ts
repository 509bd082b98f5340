// When each service last answered, and how it last failed.

import { type BackendName, SMTP_SERVICES } from "../backend_name.ts";
import type { Step } from "../delivery/steps.ts";
import type { CertificateEvent, RelayEvent } from "../observe/relay_event.ts";
import { shownDetail } from "../observe/shown.ts";
import type { ServiceView } from "./view.ts";

export type ServiceName = ServiceView["name"];

/** A failure, before it is explained. */
export interface Failure {
  readonly at: number;
  readonly code: string;
  readonly detail: string;
}

export interface ServiceState {
  readonly name: ServiceName;
  /** Milliseconds of Unix time. */
  succeeded?: number;
  failed?: Failure;
  /** Since when it has not answered at all. */
  silentSince?: number;
}

export class Services {
  readonly #states = new Map<ServiceName, ServiceState>();

  /** @param names those that the relay uses */
  constructor(names: readonly ServiceName[]) {
    for (const name of names) this.#states.set(name, { name });
  }

  get states(): Iterable<Readonly<ServiceState>> {
    return this.#states.values();
  }

  /** @returns undefined if the relay does not use it */
  state(name: ServiceName): Readonly<ServiceState> | undefined {
    return this.#states.get(name);
  }

  /** @param now milliseconds of Unix time */
  notice(event: RelayEvent, now: number): void {
    switch (event.type) {
      case "token": {
        const { refusal } = event;
        // A refusal for good is an answer as good as a token.
        if (refusal?.type !== "later") return this.succeeded("Entra ID", now);
        const { code, detail, credential } = refusal;
        const answered = credential !== undefined || code.startsWith("AADSTS");
        return this.failed("Entra ID", { at: now, code, detail }, answered);
      }
      case "message": {
        const { outcome, steps } = event;
        if (outcome.type === "queued") this.succeeded("Queue", now);
        return this.#graph(steps, "detail" in outcome ? outcome : {}, now);
      }
      case "queue":
        this.succeeded("Queue", now);
        return this.#graph(event.steps, event, now);
      case "queueFailed": {
        const { code, detail } = event;
        return this.failed("Queue", { at: now, code, detail }, false);
      }
      case "queueRecovered":
        return this.succeeded("Queue", now);
      case "lookupAnswered":
      case "lookupRecovered":
        return this.succeeded("Lookup table", now);
      case "lookupFailed": {
        const { code, detail, concerns } = event.trouble;
        return this.failed("Lookup table", { at: now, code, detail }, concerns === "question");
      }
      case "lookupFile": {
        const { report } = event;
        if (report.type === "exposed") return;
        if (report.type !== "kept") return this.succeeded("Lookup file", now);
        return this.failed("Lookup file", { at: now, code: "", detail: report.reason }, true);
      }
      case "certificate":
      case "clientCertificate": {
        const source = event.fields["source"];
        if (source === undefined || source === "keyvault") this.#vault(event, now);
      }
    }
  }

  succeeded(name: ServiceName, at: number): void {
    const state = this.#states.get(name);
    if (state === undefined) return;
    state.succeeded = at;
    delete state.silentSince;
  }

  /** @param answered it has answered, but could not do what was asked of it */
  failed(name: ServiceName, { at, code, detail }: Failure, answered: boolean): void {
    const state = this.#states.get(name);
    if (state === undefined) return;
    state.failed = { at, code, detail: shownDetail(detail) };
    if (answered) delete state.silentSince;
    else state.silentSince ??= at;
  }

  /** @param outcome of the message, whose code is that of its last request */
  #graph(
    steps: readonly Step[],
    { code, detail = "", outage = false }: {
      readonly code?: string;
      readonly detail?: string;
      readonly outage?: boolean;
    },
    now: number,
  ): void {
    let last: Step | undefined;
    for (const step of steps) {
      if (step.name !== "request" || step.result === undefined) continue;
      if (step.backend !== undefined) {
        this.#smtp(step.backend, step.result, { code, detail, outage }, now);
        continue;
      }
      last = step;
      if (isAnswer(step.result)) this.succeeded("Graph", now);
    }
    if (last === undefined || isAnswer(last.result)) return;
    const shown = typeof last.result === "number" ? `HTTP ${last.result}` : String(last.result);
    const failure = { at: now, code: code ?? shown, detail };
    this.failed("Graph", failure, typeof last.result === "number");
  }

  /** @param result the code of the last reply, or the network's error code */
  #smtp(
    backend: BackendName,
    result: NonNullable<Step["result"]>,
    { code, detail, outage }: {
      readonly code: string | undefined;
      readonly detail: string;
      readonly outage: boolean;
    },
    now: number,
  ): void {
    if (backend === "graph") return;
    const name = SMTP_SERVICES[backend];
    const shown = typeof result === "number" ? `SMTP ${result}` : result;
    // A refusal of a message is an answer too; one of the login, or of everybody, is not.
    const isDown = outage && code?.startsWith(shown) === true;
    if (typeof result === "number" && result !== 421 && !/^53\d$/.test(String(result)) && !isDown) {
      return this.succeeded(name, now);
    }
    this.failed(name, { at: now, code: code ?? shown, detail }, /^SMTP[ _]/.test(shown));
  }

  #vault({ change, text, fields }: Omit<CertificateEvent, "type">, now: number): void {
    if (change === "warning") return;
    if (change !== "kept") return this.succeeded("Key Vault", now);
    const reason = fields["reason"];
    const detail = typeof reason === "string" ? `${text}: ${reason}` : text;
    this.failed("Key Vault", { at: now, code: "", detail }, false);
  }
}

/** Whether the service works: it asks neither to wait nor to come back. */
function isAnswer(result: Step["result"]): boolean {
  return typeof result === "number" && result < 500 && result !== 429 && result !== 408;
}
