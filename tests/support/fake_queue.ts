/** Messages for a queue, and a queue in memory for what administers one. */
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { type QueueNote, type QueueRecord, sealNote, sealRecord } from "../../src/queue/record.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import type {
  ChangeResult,
  FoundMessage,
  MessageProgress,
  NewMessage,
  QueueAdministration,
  StoredMessage,
} from "../../src/queue/store.ts";
import { Secret } from "../../src/secret.ts";
import { CLIENT, TENANT } from "./logins.ts";

/** The client secret of every message; nothing may show it. */
export const QUEUED_SECRET = "queued-secret-that-must-not-show";

export const RECORD: QueueRecord = {
  kind: "message",
  envelope: { from: "scanner@x.test", recipients: ["ann@x.test", "bea@x.test"] },
  account: { tenantId: TENANT, clientId: CLIENT },
  username: `${TENANT}@${CLIENT}`,
  messageId: "<queued@x.test>",
  facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
  client: "192.0.2.7",
  connection: "c0ffee00",
  credential: { type: "secret", secret: new Secret(QUEUED_SECRET), verified: true },
};

export function queueKey(): Secret {
  return new Secret(randomBytes(32).toString("base64"));
}

export interface MessageOptions {
  readonly sealer: Sealer;
  readonly id?: string;
  readonly receivedAt?: number;
  readonly record?: Partial<QueueRecord>;
  readonly content?: string;
}

/** As the relay adds it. */
export function newMessage(options: MessageOptions): NewMessage {
  const { sealer, id = randomBytes(8).toString("hex"), receivedAt = Date.now() } = options;
  const content = [Buffer.from(options.content ?? "Subject: s\r\n\r\nx\r\n")];
  return {
    id,
    receivedAt,
    size: content[0]!.length,
    mailbox: sealer.hash("mailbox"),
    account: sealer.hash("account"),
    connection: sealer.hash("connection"),
    record: sealRecord(sealer, id, { ...RECORD, ...options.record }),
    sealedSize: sealer.sealedSize(content),
    content: () => sealer.sealContent(content, `content ${id}`),
  };
}

interface Kept {
  readonly message: NewMessage;
  stored: StoredMessage;
}

/** A queue in memory, in order of addition. */
export class FakeQueue implements QueueAdministration {
  readonly #kept = new Map<string, Kept>();
  /** What was asked of it, such as `retry 0123456789abcdef`. */
  readonly calls: string[] = [];
  /** The longest list that it was asked for. */
  longest = 0;
  closed = false;
  readonly kept = new Map<string, Uint8Array>();
  readonly notes = { get: (key: string) => Promise.resolve(this.kept.get(key)) };

  get ids(): readonly string[] {
    return [...this.#kept.keys()];
  }

  /** @param note sealed with the sealer of the options */
  add(
    options: MessageOptions & {
      readonly progress?: Partial<Omit<MessageProgress, "note">>;
      readonly note?: QueueNote;
    },
  ): string {
    const message = newMessage(options);
    const { content: _, sealedSize: __, ...facts } = message;
    const note = options.note === undefined
      ? new Uint8Array()
      : sealNote(options.sealer, message.id, options.note);
    const stored: StoredMessage = {
      state: "queued",
      due: message.receivedAt,
      attempts: 0,
      code: "",
      ...options.progress,
      ...facts,
      note,
    };
    this.#kept.set(message.id, { message, stored });
    return message.id;
  }

  state(id: string): string | undefined {
    return this.#kept.get(id)?.stored.state;
  }

  list(limit: number, after?: StoredMessage): Promise<readonly StoredMessage[]> {
    this.longest = Math.max(this.longest, limit);
    const all = [...this.#kept.values()].map(({ stored }) => stored);
    // Of one that is gone, by its time.
    const start = after === undefined
      ? 0
      : all.findIndex(({ id, receivedAt }) =>
        id !== after.id && receivedAt >= after.receivedAt && !this.#isBefore(id, after.id)
      );
    return Promise.resolve(start < 0 ? [] : all.slice(start, start + limit));
  }

  find(id: string): Promise<FoundMessage | undefined> {
    const kept = this.#kept.get(id);
    if (kept === undefined) return Promise.resolve(undefined);
    return Promise.resolve({ stored: kept.stored, content: () => kept.message.content() });
  }

  retry(id: string): Promise<ChangeResult> {
    return this.#change("retry", id, (kept) => {
      kept.stored = { ...kept.stored, state: "queued", due: 0 };
    });
  }

  delete(id: string): Promise<ChangeResult> {
    return this.#change("delete", id, () => this.#kept.delete(id));
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  #change(what: string, id: string, change: (kept: Kept) => void): Promise<ChangeResult> {
    this.calls.push(`${what} ${id}`);
    const kept = this.#kept.get(id);
    if (kept === undefined) return Promise.resolve("unknown");
    if (kept.stored.state === "sending") return Promise.resolve("sending");
    change(kept);
    return Promise.resolve("done");
  }

  /** Whether one was added before another that is still there. */
  #isBefore(id: string, other: string): boolean {
    const { ids } = this;
    return ids.includes(other) && ids.indexOf(id) < ids.indexOf(other);
  }
}
