// The mailboxes as Graph shows them: what has arrived, what was kept, what is left to delete.
// https://learn.microsoft.com/graph/api/user-list-messages
// https://learn.microsoft.com/graph/outlook-get-mime-message

import type { Buffer } from "node:buffer";
import { setTimeout as pause } from "node:timers/promises";
import { type Answer, type Ask, type Reach, shown } from "./reach.ts";

export interface Found {
  readonly id: string;
  readonly isDraft: boolean;
  readonly internetMessageId: string;
  /** Only where it was asked for; null without one. */
  readonly subject?: string | null;
  /** Milliseconds from the first question to the one that found it. */
  readonly after: number;
}

export interface ListedFile {
  readonly id: string;
  readonly name: string;
  readonly contentType: string;
  readonly isInline: boolean;
  readonly contentId: string | null;
  readonly size: number;
}

/** Milliseconds between questions: a copy appears late. The last one is repeated. */
const PAUSES = [200, 1_000, 3_000, 5_000, 10_000] as const;
/** How often a throttled question is asked again. */
const MOST_TURNS = 5;
const PROPERTIES = "id,isDraft,internetMessageId";
/** All but the content. */
const FILE_PROPERTIES =
  "id,name,contentType,isInline,size,microsoft.graph.fileAttachment/contentId";

/** After so many messages that did not come, further ones are waited for no longer than this, in milliseconds. */
const MOST_MISSED = 3;
const LESS_PATIENCE = 20_000;

export interface MailboxOptions {
  readonly reach: Reach;
  /** Of Graph, without a slash at its end. */
  readonly endpoint: string;
  token(): Promise<string>;
  /** Milliseconds that a message is waited for. */
  readonly patience: number;
}

export class Mailboxes {
  readonly #options: MailboxOptions;
  #missed = 0;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  /** A request with the app's token. A question that is throttled is asked again. @param path after `/v1.0` */
  async ask(path: string, ask: Ask = {}): Promise<Answer> {
    const { reach, endpoint, token } = this.#options;
    for (let turn = 0;; turn++) {
      const headers = { Authorization: `Bearer ${await token()}`, ...ask.headers };
      const answer = await reach.ask(`${endpoint}/v1.0${path}`, { ...ask, headers });
      const isQuestion = ask.method === undefined || ask.method === "DELETE";
      if (!isQuestion || ![429, 503].includes(answer.status) || turn === MOST_TURNS) return answer;
      const seconds = Number(answer.headers.get("retry-after") ?? 5);
      await pause(Math.min(seconds || 5, 60) * 1000);
    }
  }

  /** A request to a mailbox. */
  of(address: string, path: string, ask?: Ask): Promise<Answer> {
    return this.ask(`/users/${encodeURIComponent(address)}${path}`, ask);
  }

  /** Messages of all folders that a filter finds now. @throws Error if Graph refuses */
  async list(
    address: string,
    filter: string,
    { top = 50, select = PROPERTIES } = {},
  ): Promise<readonly Listed[]> {
    const query = `$filter=${encodeURIComponent(filter)}&$select=${select}&$top=${top}`;
    const answer = await this.of(address, `/messages?${query}`);
    if (answer.status !== 200) throw new Error(`the mailbox cannot be read: ${shown(answer)}`);
    return answer.json.value ?? [];
  }

  /** Waits for a message. @returns undefined if there is none in time */
  async wait(address: string, filter: string): Promise<Found | undefined> {
    return (await this.waitFor(address, filter, 1))[0];
  }

  /** Waits for so many messages. @returns those that are there in time */
  async waitFor(address: string, filter: string, count: number): Promise<readonly Found[]> {
    const begun = performance.now();
    for (let turn = 0;; turn++) {
      const after = performance.now() - begun;
      const found = (await this.list(address, filter)).filter(({ isDraft }) => !isDraft);
      const left = this.#patience - (performance.now() - begun);
      if (found.length < count && left <= 0) this.#missed++;
      if (found.length >= count || left <= 0) return found.map((one) => ({ ...one, after }));
      await pause(Math.min(PAUSES[Math.min(turn, PAUSES.length - 1)]!, left));
    }
  }

  get #patience(): number {
    const { patience } = this.#options;
    return this.#missed < MOST_MISSED ? patience : Math.min(patience, LESS_PATIENCE);
  }

  /** The message's octets as the mailbox has them. */
  async content(address: string, { id }: Pick<Found, "id">): Promise<Buffer> {
    const answer = await this.of(address, `/messages/${encodeURIComponent(id)}/$value`);
    if (answer.status !== 200) throw new Error(`the message cannot be read: ${shown(answer)}`);
    return answer.body;
  }

  async files(address: string, { id }: Pick<Found, "id">): Promise<readonly ListedFile[]> {
    const path = `/messages/${encodeURIComponent(id)}/attachments?$select=${FILE_PROPERTIES}`;
    const answer = await this.of(address, path);
    if (answer.status !== 200) throw new Error(`its files cannot be listed: ${shown(answer)}`);
    return answer.json.value ?? [];
  }

  async fileContent(
    address: string,
    { id }: Pick<Found, "id">,
    file: Pick<ListedFile, "id">,
  ): Promise<Buffer> {
    const [message, attachment] = [id, file.id].map(encodeURIComponent);
    const path = `/messages/${message}/attachments/${attachment}/$value`;
    const answer = await this.of(address, path);
    if (answer.status !== 200) throw new Error(`the file cannot be read: ${shown(answer)}`);
    return answer.body;
  }

  /** Deletes the messages that have this text, without quotes, in their subjects. @returns how many */
  async clear(address: string, text: string): Promise<number> {
    if (text === "") throw new Error("every message has this in its subject");
    const isOwn = ({ subject }: Listed) => subject?.includes(text) === true;
    return await this.#clear(
      address,
      `contains(subject,'${text}')`,
      `${PROPERTIES},subject`,
      isOwn,
    );
  }

  /** Deletes the copies of a message. @returns how many */
  async clearMessage(address: string, id: string): Promise<number> {
    const isOwn = ({ internetMessageId }: Listed) => internetMessageId === id;
    return await this.#clear(address, byMessageId(id), PROPERTIES, isOwn);
  }

  /** Each message is looked at: a filter that a service understands in its own way deletes no others. */
  async #clear(
    address: string,
    filter: string,
    select: string,
    isOwn: (message: Listed) => boolean,
  ): Promise<number> {
    let deleted = 0;
    for (;;) {
      const found = await this.list(address, filter, { select });
      let gone = 0;
      for (const message of found.filter((one) => one.id !== "" && isOwn(one))) {
        const path = `/messages/${encodeURIComponent(message.id)}`;
        const answer = await this.of(address, path, { method: "DELETE" });
        gone += Number(answer.status === 204);
      }
      deleted += gone;
      if (gone === 0) return deleted;
    }
  }
}

type Listed = Omit<Found, "after">;

export const bySubject = (subject: string) => `subject eq '${subject}'`;
export const byMessageId = (id: string) => `internetMessageId eq '${id.replaceAll("'", "''")}'`;
