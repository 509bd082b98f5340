// The queue: whether its store can be opened and changed beside a running relay, whether the key opens what
// is there, and whether there is room. Only in queue mode.

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { access, open, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { CommandError } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { keyProblem } from "../queue/key_note.ts";
import { reserveOf } from "../queue/queue_room.ts";
import { openRecord } from "../queue/record.ts";
import { Sealer, SealError } from "../queue/sealing.ts";
import { fileSystemOf, type Statfs, statfs } from "../queue/sqlite/file_system.ts";
import { refuseDirectory } from "../queue/sqlite/place.ts";
import {
  type MessageState,
  type QueueAdministration,
  type StoredMessage,
  StoreError,
} from "../queue/store.ts";
import { openQueueAdministration, probeQueue, queuePlace } from "../relay/open_queue.ts";
import type { Settings } from "../settings/schema.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding, identityFinding } from "./finding.ts";

/** Where a queue in files is, as the relay sees it. */
export interface QueuePlace {
  /** The directory that a relative path starts at. */
  readonly directory: string;
  /** Whether systemd makes this directory when the relay starts. */
  isMade(directory: string): boolean;
}

export interface QueueCheckOptions {
  readonly settings: Settings;
  readonly http: HttpClient;
  readonly place: QueuePlace;
  readonly statfs?: Statfs;
}

export async function checkQueue(options: QueueCheckOptions): Promise<readonly Finding[]> {
  const { settings } = options;
  const { QUEUE_URL: address } = settings;
  if (address.type === "sqlite") return await checkDatabase(address.path, options);
  return await checkStore(queuePlace(settings), undefined, settings, options);
}

async function checkDatabase(
  path: string,
  { settings, http, place, statfs: ask = statfs }: QueueCheckOptions,
): Promise<readonly Finding[]> {
  const database = resolve(place.directory, path);
  const directory = dirname(database);
  if (place.isMade(directory) && !await exists(directory)) {
    return [finding("queue.new", `systemd makes ${directory} when the service starts`)];
  }
  const findings: Finding[] = [];
  let disk: Disk | undefined;
  try {
    await refuseDirectory(database);
    // What is beside the database is written too.
    await tryToWrite(directory);
    const facts = await ask(directory);
    disk = { free: facts.bavail * facts.bsize, total: facts.blocks * facts.bsize };
    const { name, verdict, reason } = fileSystemOf(facts);
    const what = `${database} is on ${name}: ${reason}`;
    if (verdict === "refused") return [finding("queue.file-system", what)];
    if (verdict === "doubtful") findings.push(finding("queue.file-system-risk", what));
  } catch (error) {
    if (error instanceof StoreError) return [finding("queue.directory", error.message)];
    const code = codeOf(error);
    const absent = code === "ENOENT" || code === "ENOTDIR";
    return [
      absent
        ? finding("queue.directory", `the directory ${directory} does not exist`)
        : finding("queue.unwritable", `the relay may not write in ${directory} (${code})`),
    ];
  }
  if (!await exists(database)) {
    const what = `${database} does not exist yet; its directory can be written`;
    findings.push(finding("queue.new", what), ...judgeDisk(disk));
    return findings;
  }
  const opened = { ...settings, QUEUE_URL: { type: "sqlite", path: database } } as const;
  return [...findings, ...await checkStore(database, disk, opened, { http })];
}

async function checkStore(
  where: string,
  disk: Disk | undefined,
  settings: Settings,
  { http }: Pick<QueueCheckOptions, "http">,
): Promise<readonly Finding[]> {
  let administration: QueueAdministration | undefined;
  try {
    administration = await openQueueAdministration(settings, http);
    await probeQueue(settings, http, administration);
    const found = await survey(administration, new Sealer(settings.QUEUE_KEY ?? []));
    return [...judgeQueue(where, found, settings), ...judgeDisk(disk)];
  } catch (error) {
    if (error instanceof CommandError) return [identityFinding("queue.identity", error)];
    if (!(error instanceof StoreError)) throw error;
    const { code, full, message } = error;
    return [finding(full ? "queue.disk" : codeFor(code), message)];
  } finally {
    await administration?.close();
  }
}

/** What is in a queue. */
export interface QueueSurvey {
  readonly messages: ReadonlyMap<MessageState, number>;
  /** Octets of the contents before sealing. */
  readonly octets: number;
  /** Why the relay will not start with this key; undefined if it will. */
  readonly startProblem: SealError["reason"] | undefined;
  /** Of the messages whose records were opened, those that could not be, by reason. */
  readonly unreadable: ReadonlyMap<SealError["reason"], number>;
  /** Whether all messages were counted. */
  readonly whole: boolean;
}

/** Messages of a page, and milliseconds after which no further page is read. */
const PAGE = 500;
const LONGEST = 10_000;
/** Records that are opened: all of the first ones, where old keys are, then some of the others. */
const OPENED = 500;
const EVERY = 50;

/** @throws StoreError */
export async function survey(
  administration: QueueAdministration,
  sealer: Sealer,
): Promise<QueueSurvey> {
  const startProblem = await keyProblem(administration, sealer);
  const messages = new Map<MessageState, number>();
  const unreadable = new Map<SealError["reason"], number>();
  const begun = performance.now();
  let octets = 0;
  let count = 0;
  let after: StoredMessage | undefined;
  do {
    const page = await administration.list(PAGE, after);
    for (const stored of page) {
      messages.set(stored.state, (messages.get(stored.state) ?? 0) + 1);
      octets += stored.size;
      if (count++ >= OPENED && count % EVERY !== 0) continue;
      const reason = reasonOf(sealer, stored);
      if (reason !== undefined) unreadable.set(reason, (unreadable.get(reason) ?? 0) + 1);
    }
    after = page.at(-1);
  } while (after !== undefined && performance.now() - begun < LONGEST);
  return { messages, octets, startProblem, unreadable, whole: after === undefined };
}

/** @returns undefined if the record can be opened */
function reasonOf(sealer: Sealer, { id, record }: StoredMessage): SealError["reason"] | undefined {
  try {
    openRecord(sealer, id, record);
    return undefined;
  } catch (error) {
    if (error instanceof SealError) return error.reason;
    throw error;
  }
}

/** The share of QUEUE_MAX_MESSAGES or QUEUE_MAX_BYTES from which the queue is nearly full. */
const NEARLY = 0.8;

const UNREADABLE: Readonly<Record<SealError["reason"], readonly [code: Code, what: string]>> = {
  key: ["queue.message-key", "sealed with a key that is not in QUEUE_KEY"],
  tampered: ["queue.damaged-message", "changed or damaged"],
  version: ["queue.damaged-message", "sealed by another version of the relay"],
};

export function judgeQueue(
  where: string,
  { messages, octets, startProblem, unreadable, whole }: QueueSurvey,
  limits: Pick<Settings, "QUEUE_MAX_MESSAGES" | "QUEUE_MAX_BYTES">,
): readonly Finding[] {
  const { QUEUE_MAX_MESSAGES: maxMessages, QUEUE_MAX_BYTES: maxOctets } = limits;
  const all = [...messages.values()].reduce((sum, count) => sum + count, 0);
  const states = [...messages].map(([state, count]) => `${count} ${state}`).join(", ");
  const has = `${whole ? "" : "at least "}${counted(all)}${all === 0 ? "" : ` (${states})`}`;
  const findings = [finding("queue.ok", `${where} has ${has}`)];
  if (startProblem !== undefined) {
    findings.push(
      startProblem === "key"
        ? finding("queue.key", "QUEUE_KEY lacks the key that the relay was last started with")
        : finding("queue.damaged", `the note about QUEUE_KEY is ${UNREADABLE[startProblem][1]}`),
    );
  }
  for (const [reason, count] of unreadable) {
    const [code, what] = UNREADABLE[reason];
    const be = count === 1 ? "is" : "are";
    findings.push(finding(code, `${count} of the messages that were looked at ${be} ${what}`));
  }
  const [held = 0, dead = 0] = [messages.get("held"), messages.get("dead")];
  if (held + dead > 0) findings.push(finding("queue.set-aside", `${held} held, ${dead} dead`));
  for (
    const [used, setting] of [
      [all / maxMessages, "QUEUE_MAX_MESSAGES"],
      [octets / maxOctets, "QUEUE_MAX_BYTES"],
    ] as const
  ) {
    if (used < NEARLY) continue;
    const share = `${Math.floor(used * 100)} % of ${setting} is used`;
    findings.push(finding(used >= 1 ? "queue.full" : "queue.nearly-full", share));
  }
  return findings;
}

interface Disk {
  /** Octets. */
  readonly free: number;
  readonly total: number;
}

export function judgeDisk(disk: Disk | undefined): readonly Finding[] {
  if (disk === undefined) return [];
  const { free, total } = disk;
  if (free >= reserveOf(total)) return [];
  const share = Math.floor(100 * free / Math.max(1, total));
  return [
    finding("queue.disk", `the disk has ${Math.floor(free / 1024 ** 2)} MiB free (${share} %)`),
  ];
}

const BY_CODE: Readonly<Record<string, Code>> = {
  SQLITE_NOTADB: "queue.damaged",
  SQLITE_CORRUPT: "queue.damaged",
  SCHEMA: "queue.schema",
  SQLITE_READONLY: "queue.unwritable",
  SQLITE_CANTOPEN: "queue.unwritable",
  EACCES: "queue.unwritable",
  EISDIR: "queue.directory",
  EPERM: "queue.unwritable",
  EROFS: "queue.unwritable",
  NO_IDENTITY: "queue.identity",
};

/** @param code of a StoreError: of SQLite, the file system, the network, Entra ID or the storage service */
export function codeFor(code: string): Code {
  if (Object.hasOwn(BY_CODE, code)) return BY_CODE[code]!;
  if (/^AADSTS/.test(code)) return "queue.identity";
  if (FORBIDDEN.test(code)) return "queue.forbidden";
  if (/^(?:E[A-Z]|PROXY_|CERT|UNABLE_|.*SELF_SIGNED|ERR_TLS|TRUNCATED$|TIMEOUT$)/.test(code)) {
    return "queue.unreachable";
  }
  return "queue.refused";
}

// https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
const FORBIDDEN =
  /^(?:Auth\w+|InsufficientAccountPermissions|KeyBasedAuthenticationNotPermitted|InvalidAuthenticationInfo|NoAuthenticationInformation|PublicAccessNotPermitted|HTTP 40[13])$/;

function counted(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}

/** By doing it: permissions alone do not tell of a disk that is mounted read-only. */
async function tryToWrite(directory: string): Promise<void> {
  const path = join(directory, `.check-${randomUUID()}`);
  const file = await open(path, "wx", 0o600);
  await file.close();
  await unlink(path);
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path, constants.F_OK);
    return true;
  } catch {
    return false;
  }
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
