// What the cases work with: mailboxes, relays and tokens of the settings, and the meter that keeps each
// case to the messages that it has announced.

import { randomBytes } from "node:crypto";
import { cloudOf } from "../../src/settings/clouds.ts";
import type { Settings } from "../../src/settings/schema.ts";
import type { Sends } from "./case.ts";
import { bySubject, type Found, Mailboxes } from "./mailbox.ts";
import { Reach } from "./reach.ts";
import { type Mail, Relays, type Sent, submit, type Variables } from "./relays.ts";
import { message } from "./mime.ts";
import type { RealSettings, Role } from "./settings.ts";
import { type AppToken, askForToken, tokenFor } from "./tokens.ts";

/** How every subject begins: nothing else is deleted at the end. */
export const SUBJECT = "Relay test";

/** Milliseconds for which a token is used: it is good for an hour. */
const TOKEN_AGE = 20 * 60_000;

export interface BenchOptions {
  /** Of this run alone: letters and digits. */
  readonly run: string;
  /** Further settings of all relays. */
  readonly variables?: Variables;
}

export class Bench {
  readonly settings: RealSettings;
  readonly reach: Reach;
  readonly mailboxes: Mailboxes;
  readonly relays: Relays;
  readonly authority: URL;
  readonly graphScope: string;
  readonly exchangeScope: string;
  /** Milliseconds that a message is waited for. */
  readonly patience: number;
  /** QUEUE_KEY of this run. */
  readonly queueKey = randomBytes(32).toString("base64");
  readonly #run: string;
  readonly #tokens = new Map<
    string,
    { readonly since: number; readonly token: Promise<AppToken> }
  >();
  readonly #shared = new Map<string, Promise<unknown>>();
  /** What is left of each case's messages. */
  readonly #left = new Map<Sends, Partial<Record<Role, number>>>();
  #number = 0;

  constructor(settings: RealSettings, { run, variables = {} }: BenchOptions) {
    const { cloud = "public", imitation, patienceSeconds = 300 } = settings;
    const services = cloudOf(
      {
        AZURE_CLOUD: cloud,
        ...(imitation === undefined ? {} : {
          AZURE_AUTHORITY_HOST: new URL(imitation.authority),
          GRAPH_ENDPOINT: new URL(imitation.graph),
        }),
      } as Settings,
    );
    this.settings = settings;
    this.patience = patienceSeconds * 1000;
    this.#run = run;
    this.authority = services.authorityHost;
    this.graphScope = services.graphScope;
    this.exchangeScope = services.exchangeScope;
    this.reach = new Reach(imitation !== undefined);
    this.relays = new Relays(settings, variables);
    this.mailboxes = new Mailboxes({
      reach: this.reach,
      endpoint: services.graphEndpoint.href.replace(/\/$/, ""),
      token: async () => (await this.token(this.graphScope)).value,
      patience: this.patience,
    });
  }

  address(role: Role): string {
    return this.settings.mailboxes[role]!;
  }

  /** The beginning of all subjects of this run. */
  get subjects(): string {
    return `${SUBJECT} ${this.#run}`;
  }

  /** A subject and a Message-ID that nothing else has. */
  name(id: string): { readonly subject: string; readonly messageId: string } {
    const number = ++this.#number;
    const [, domain] = this.address("sender").split("@");
    return {
      subject: `${this.subjects} ${number} ${id}`,
      messageId: `<${this.#run}.${number}.${id}@${domain}>`,
    };
  }

  /** A short message from the sender to a mailbox of the tenant. */
  short(id: string, changed: Partial<Parameters<typeof message>[0]> = {}) {
    const draft = {
      ...this.name(id),
      from: this.address("sender"),
      to: this.address("second"),
      ...changed,
    };
    return { ...draft, raw: message(draft) };
  }

  token(scope: string): Promise<AppToken> {
    const known = this.#tokens.get(scope);
    const now = performance.now();
    if (known !== undefined && now - known.since < TOKEN_AGE) return known.token;
    const token = tokenFor(this.settings, this.authority, scope, this.reach);
    this.#tokens.set(scope, { since: now, token });
    return token;
  }

  askForToken(changed: Partial<Parameters<typeof askForToken>[2]>) {
    const { tenant, app } = this.settings;
    const secret = "secret" in app ? app.secret : "";
    const usual = { tenant, clientId: app.clientId, secret, scope: this.graphScope };
    return askForToken(this.reach, this.authority, { ...usual, ...changed });
  }

  /** Counts messages before they are sent. @throws Error if the case has not announced so many */
  spend(sends: Sends, ...to: readonly Role[]): void {
    let left = this.#left.get(sends);
    if (left === undefined) this.#left.set(sends, left = { ...sends });
    for (const role of to) {
      const count = left[role] ?? 0;
      if (count === 0) throw new Error(`the case has announced fewer messages to ${role}`);
      left[role] = count - 1;
    }
  }

  /** Sends through a relay, as the mailbox `from`. */
  relay(
    sends: Sends,
    to: readonly Role[],
    { from = "sender", raw, variables }: {
      readonly from?: Role;
      readonly raw: Mail["raw"];
      readonly variables?: Variables;
    },
  ): Promise<Sent> {
    this.spend(sends, ...to);
    const mail = { from: this.address(from), to: to.map((role) => this.address(role)), raw };
    return this.relays.send(mail, variables);
  }

  /** Graph's sendMail, with a message that goes to `to` if it is taken. */
  sendMail(sends: Sends, to: Role, from: string, raw: Uint8Array | string) {
    this.spend(sends, to);
    const body = typeof raw === "string" ? raw : (raw as Mail["raw"]).toString("base64");
    return this.mailboxes.of(from, "/sendMail", {
      method: "POST",
      headers: { "Content-Type": "text/plain" },
      body,
    });
  }

  /** Exchange's submission server, without the relay, as the sender. */
  async submit(
    sends: Sends,
    to: Role,
    { from, raw, token }: {
      readonly from: string;
      readonly raw: Mail["raw"];
      readonly token: string;
    },
  ): Promise<Sent> {
    this.spend(sends, to);
    const server = this.settings.exchange!;
    this.reach.check(new URL(server).hostname);
    const auth = { type: "OAuth2" as const, user: this.address("sender"), accessToken: token };
    return await submit({ from, to: [this.address(to)], raw }, server, auth);
  }

  /** Waits for a message in a mailbox, and reads it. @returns undefined if it does not come */
  async arrived(role: Role, subject: string): Promise<Found & { raw: Mail["raw"] } | undefined> {
    const found = await this.mailboxes.wait(this.address(role), bySubject(subject));
    if (found === undefined) return undefined;
    return { ...found, raw: await this.mailboxes.content(this.address(role), found) };
  }

  /** What several cases look at is made once. */
  once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    let made = this.#shared.get(name);
    if (made === undefined) this.#shared.set(name, made = make());
    return made as Promise<Value>;
  }

  /** @throws Error if the mailboxes cannot be read: then nothing could be seen of what is sent */
  async tryReading(): Promise<void> {
    for (const role of ["sender", "second"] as const) {
      await this.mailboxes.list(this.address(role), bySubject(this.subjects));
    }
  }

  /** Deletes the messages of this run from the mailboxes of the tenant. @returns how many */
  async clear(): Promise<number> {
    let deleted = 0;
    for (const role of ["sender", "second", "shared"] as const) {
      const address = this.settings.mailboxes[role];
      if (address === undefined) continue;
      // Also reports about them, whose subjects have theirs in them.
      deleted += await this.mailboxes.clear(address, `${this.subjects} `);
    }
    return deleted;
  }

  async close(): Promise<void> {
    await this.relays.stop();
    this.reach.close();
  }
}

/** What a case creates in the sender's Drafts, by the same request as the relay. */
export function createDraft(bench: Bench, id: string, headers: Record<string, string> = {}) {
  const { raw, subject, messageId } = bench.short(id);
  return bench.mailboxes.of(bench.address("sender"), "/messages", {
    method: "POST",
    headers: { "Content-Type": "text/plain", ...headers },
    body: raw.toString("base64"),
  }).then((answer) => ({ answer, id: String(answer.json.id ?? ""), subject, messageId }));
}
