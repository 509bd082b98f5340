// Checks the start of a connection: proxies in PROXY_PROTOCOL_NETWORKS must send a PROXY header,
// and other clients must not.

import type { Networks } from "../networks.ts";
import type { ProxyHeaderEvent } from "../observe/relay_event.ts";
import type { Client } from "../submission/submission_service.ts";
import { ProxyHeaderReader, V1, V2 } from "./proxy_header.ts";

/** Why a connection is closed because of a PROXY header. */
export type ProxyRefusal = Pick<ProxyHeaderEvent, "reason" | "detail">;

export interface Proxies {
  readonly networks: Networks;
  /** Milliseconds for the whole header; at least 3 s (proxy-protocol.txt §2). */
  readonly headerTimeout: number;
}

export type GateStep =
  /** The header is not complete yet. */
  | { readonly type: "more" }
  /** The header named the client: the connection begins. */
  | { readonly type: "header"; readonly client: Client; readonly rest: Uint8Array }
  /** These octets are the client's. The gate must also see the next ones, unless it is `open`. */
  | { readonly type: "pass"; readonly open: boolean }
  | { readonly type: "refused"; readonly refusal: ProxyRefusal };

const MORE: GateStep = { type: "more" };
const PASSED: GateStep = { type: "pass", open: true };
const WATCHING: GateStep = { type: "pass", open: false };

export class ProxyGate {
  readonly #client: Client;
  readonly #detector = new ProxyHeaderDetector();
  /** Reads the expected header; undefined after it, and if none is expected. */
  #reader: ProxyHeaderReader | undefined;
  #begun = false;

  /** @param client the socket's own peer */
  constructor(client: Client, proxies: Proxies | undefined) {
    this.#client = client;
    if (proxies?.networks.has(client.address)) this.#reader = new ProxyHeaderReader();
  }

  /** Whether a header must still come. The relay sends nothing before it. */
  get waiting(): boolean {
    return this.#reader !== undefined;
  }

  push(bytes: Uint8Array): GateStep {
    return this.#reader === undefined ? this.#watch(bytes) : this.#read(this.#reader, bytes);
  }

  /** The client closed before the header ended. @returns undefined if none began, as for a probe */
  cutOff(): ProxyRefusal | undefined {
    return this.waiting && this.#begun ? missing("it is cut off") : undefined;
  }

  /** The header took too long. */
  timedOut(): ProxyRefusal {
    return missing(this.#begun ? "it was not whole in time" : "nothing came in time");
  }

  #read(reader: ProxyHeaderReader, bytes: Uint8Array): GateStep {
    this.#begun ||= bytes.length > 0;
    const step = reader.push(bytes);
    if (step.type === "more") return MORE;
    if (step.type === "invalid") return { type: "refused", refusal: missing(step.problem) };
    this.#reader = undefined;
    const client = step.source === undefined
      ? this.#client
      : { ...this.#client, ...step.source, proxy: this.#client.address };
    return { type: "header", client, rest: step.rest };
  }

  #watch(bytes: Uint8Array): GateStep {
    const header = this.#detector.push(bytes);
    if (header === "maybe") return WATCHING;
    return header === undefined ? PASSED : { type: "refused", refusal: this.#unexpected(header) };
  }

  /**
   * Finds an unexpected header in octets that came where TLS was expected.
   *
   * @param opening the first of them
   */
  insteadOfTls(opening: Uint8Array): ProxyRefusal | undefined {
    const header = this.#detector.push(opening);
    return typeof header === "object" ? this.#unexpected(header) : undefined;
  }

  #unexpected({ version }: { readonly version: number }): ProxyRefusal {
    return { reason: this.#begun ? "second" : "foreign", detail: `version ${version}` };
  }
}

function missing(detail: string): ProxyRefusal {
  return { reason: "missing", detail };
}

/**
 * Finds a header in the first octets of a client that must not send one. SMTP has no command PROXY,
 * and a client has no reason to send the signature of version 2.
 */
export class ProxyHeaderDetector {
  #seen = 0;
  #signature: Uint8Array | undefined;

  /** @returns the header, undefined if there is none, "maybe" while more octets must decide */
  push(bytes: Uint8Array): { readonly version: 1 | 2 } | "maybe" | undefined {
    for (const octet of bytes) {
      this.#signature ??= octet === V2[0] ? V2 : V1;
      if (octet !== this.#signature[this.#seen++]) return undefined;
      if (this.#seen === this.#signature.length) return { version: this.#signature === V2 ? 2 : 1 };
    }
    return "maybe";
  }
}
