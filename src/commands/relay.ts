// Builds a relay out of its settings and starts it: the wiring that `serve` and `sandbox` share.

import type { Hono } from "hono";
import type { Account } from "../accounts/accounts.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import type { LookupTable } from "../accounts/table.ts";
import { readAuthorities } from "../certificates/authorities.ts";
import type { Certificate } from "../certificates/file.ts";
import { CertificateError } from "../certificates/file.ts";
import { loadIdentity } from "../certificates/identity.ts";
import { Events } from "../observe/events.ts";
import { type HttpService, serveHttp } from "../observe/http.ts";
import type { Log } from "../observe/log.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Listener } from "../runtime/runtime.ts";
import { COPIES, MemoryBudget } from "../server/memory.ts";
import { SmtpServer } from "../server/server.ts";
import { formatListenAddress, type ListenAddress } from "../settings/parsers.ts";
import type { Settings } from "../settings/schema.ts";
import { CommandError, EXIT } from "./exit.ts";
import { listenOrError } from "./listening.ts";
import { outgoingClient, proxyIn } from "./outgoing.ts";
import { processing } from "./processing.ts";
import { openTable } from "./table.ts";

const HANDSHAKE_TIMEOUT = 30_000;
/** Milliseconds for the lookup table to answer at the start. */
const TABLE_TIMEOUT = 20_000;
/** Milliseconds for a client to read the last reply. */
const LINGER = 5_000;
/** Milliseconds for a client to read our replies, once they pile up. */
const UNREAD = 30_000;

export interface RelayParts {
  readonly settings: Settings;
  readonly log: Log;
  /** In place of the certificate that the settings name. */
  readonly certificate?: Certificate;
  /** Pages of the HTTP side, besides health. */
  readonly pages?: Hono;
  /** In place of the lookup table, unless the settings name one. */
  readonly entries?: EntrySource;
  /** Path prefixes that never ask for HTTP_PASSWORD. */
  readonly unlocked?: readonly string[];
  /** Called when the HTTP side listens, before SMTP does: may change the settings once more. */
  readonly httpReady?: (http: HttpService) => Settings;
}

export interface Relay {
  /** As bound: a port 0 has become a real one. */
  readonly smtp: readonly ListenAddress[];
  readonly smtps: readonly ListenAddress[];
  readonly http: ListenAddress | undefined;
  readonly certificate: Certificate | undefined;
  stop(): Promise<void>;
}

/** @throws CommandError where it cannot start; nothing is left running then */
export async function startRelay(parts: RelayParts): Promise<Relay> {
  const { log } = parts;
  let { settings } = parts;
  const runtime = await currentRuntime();
  const [tls, authorities] = await readAll(
    async () => {
      if (settings.TLS_SOURCE === "off") return undefined;
      return await loadIdentity(settings, runtime, parts.certificate);
    },
    async () => await readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH),
  );

  const listening = { smtp: false };
  let server: SmtpServer<Account> | undefined;
  let http: HttpService | undefined;
  if (settings.HTTP_LISTEN !== "off") {
    const listen = settings.HTTP_LISTEN;
    const readiness = () => ({
      smtp: { ready: listening.smtp, connections: server?.connections ?? 0 },
      tls: tls === undefined ? { ready: true, source: "off" } : {
        ready: true,
        source: settings.TLS_SOURCE,
        expires: new Date(tls.certificate.leaf.validTo).toISOString(),
      },
    });
    http = await listenOrError("HTTP_LISTEN", listen, (hostname, port) =>
      serveHttp({
        listen: { hostname, port },
        readiness,
        password: settings.HTTP_PASSWORD,
        unlocked: parts.unlocked ?? [],
        ...(parts.pages === undefined ? {} : { pages: parts.pages }),
      }));
    if (parts.httpReady !== undefined) settings = parts.httpReady(http);
  }

  const client = outgoingClient(settings, runtime, authorities);
  const proxy = proxyIn(settings);
  if (proxy !== undefined) {
    log.info("Outgoing connections take the proxy", { proxy: formatListenAddress(proxy) });
  }
  const events = new Events(log);
  const table = await openTable(settings, client);
  const entries = table ?? parts.entries;
  const { handlers, cutOff } = processing({ settings, http: client, events, entries });
  const smtpServer = server = new SmtpServer<Account>({
    runtime,
    handlers,
    session: {
      hostname: settings.SERVER_HOSTNAME,
      greeting: settings.SERVER_GREETING,
      maxMessageSize: settings.MAX_MESSAGE_SIZE,
      maxRecipients: settings.MAX_RECIPIENTS,
      requireTls: settings.REQUIRE_TLS,
      memory: memoryFor(settings, log, events),
    },
    identity: () => tls?.identity,
    timeouts: {
      command: settings.COMMAND_TIMEOUT,
      data: settings.DATA_TIMEOUT,
      handshake: HANDSHAKE_TIMEOUT,
      linger: LINGER,
      unread: UNREAD,
    },
  });
  const stop = async () => {
    listening.smtp = false;
    const { cutOff: messages } = await smtpServer.stop(settings.SHUTDOWN_TIMEOUT, cutOff);
    if (messages > 0) {
      const waited = settings.SHUTDOWN_TIMEOUT / 1000;
      log.warning("Messages were cut off by the stop", { messages, waited });
    }
    client.close();
    await http?.close();
  };
  try {
    if (table !== undefined && settings.AZURE_TABLES_FORCE_USAGE) await proveTable(table, log);
    const bind = (name: string, addresses: readonly ListenAddress[], implicitTls: boolean) =>
      Promise.all(
        addresses.map((address) =>
          listenOrError(
            name,
            address,
            (hostname, port) => smtpServer.listen(hostname, port, implicitTls),
          )
        ),
      );
    const smtp = await bind("SMTP_LISTEN", settings.SMTP_LISTEN, false);
    const smtps = await bind("SMTPS_LISTEN", settings.SMTPS_LISTEN ?? [], true);
    listening.smtp = true;
    return {
      smtp: smtp.map(addressOf),
      smtps: smtps.map(addressOf),
      http: http === undefined ? undefined : addressOf(http),
      certificate: tls?.certificate,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** @throws CommandError where the table does not answer: nobody could log in */
async function proveTable(table: LookupTable, log: Log): Promise<void> {
  const answer = await table.probe(TABLE_TIMEOUT);
  if ("type" in answer) {
    throw new CommandError(EXIT.unavailable, [
      `AZURE_TABLES_FORCE_USAGE needs the lookup table: ${answer.code}: ${answer.detail}`,
    ]);
  }
  if (answer.empty) {
    log.warning(
      "The lookup table has no entry, and AZURE_TABLES_FORCE_USAGE is set: all logins fail",
    );
  }
}

/** MAX_MEMORY for all connections together. */
function memoryFor(settings: Settings, log: Log, events: Events): MemoryBudget {
  const { MAX_MEMORY: limit, MAX_MESSAGE_SIZE: largest } = settings;
  const fields = { memory: limit, messages: Math.floor(limit / COPIES) };
  if (largest * COPIES > limit) {
    log.warning("MAX_MEMORY is too small for a message of MAX_MESSAGE_SIZE: it gets 452", {
      ...fields,
      largest,
      needed: Math.ceil(largest * COPIES),
    });
  } else log.info("Memory for mail", fields);
  return new MemoryBudget(limit, (used) => events.outOfMemory(used, limit));
}

function addressOf({ hostname, port }: Listener | HttpService): ListenAddress {
  return { hostname, port };
}

/** Reads both, so that the problems of both are told at once. */
async function readAll<A, B>(a: () => Promise<A>, b: () => Promise<B>): Promise<[A, B]> {
  const results = await Promise.allSettled([a(), b()]);
  const [first, second] = results;
  if (first.status === "fulfilled" && second.status === "fulfilled") {
    return [first.value, second.value];
  }
  const problems: string[] = [];
  for (const result of results) {
    if (result.status === "fulfilled") continue;
    if (!(result.reason instanceof CertificateError)) throw result.reason;
    problems.push(result.reason.message);
  }
  throw new CommandError(EXIT.config, problems);
}
