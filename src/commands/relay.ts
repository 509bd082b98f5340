// Builds a relay out of its settings and starts it: the wiring that `serve` and `sandbox` share.

import { randomBytes } from "node:crypto";
import type { Hono } from "hono";
import { type Account, Accounts } from "../accounts/accounts.ts";
import { readAuthorities } from "../certificates/authorities.ts";
import type { Certificate } from "../certificates/file.ts";
import { CertificateError } from "../certificates/file.ts";
import { loadIdentity } from "../certificates/identity.ts";
import { DirectDelivery } from "../delivery/direct.ts";
import type { Submission } from "../delivery/outcome.ts";
import { TokenSource } from "../entra/tokens.ts";
import { GraphBackend } from "../graph/backend.ts";
import { HttpClient } from "../http/client.ts";
import { Events } from "../observe/events.ts";
import { type HttpService, serveHttp } from "../observe/http.ts";
import type { Log } from "../observe/log.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Listener } from "../runtime/runtime.ts";
import { listenDualStack } from "../server/addresses.ts";
import type { Client, Handlers, Login, Message } from "../server/handlers.ts";
import { COPIES, MemoryBudget } from "../server/memory.ts";
import { SmtpServer } from "../server/server.ts";
import { cloudOf } from "../settings/clouds.ts";
import { formatListenAddress, type ListenAddress } from "../settings/parsers.ts";
import type { Settings } from "../settings/schema.ts";
import type { Credentials } from "../smtp/sasl.ts";
import { CommandError, EXIT } from "./exit.ts";

/** Milliseconds for one token request: a client waits for its 235 meanwhile. */
const TOKEN_TIMEOUT = 20_000;
const HANDSHAKE_TIMEOUT = 30_000;
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
  const tls = settings.TLS_SOURCE === "off"
    ? undefined
    : await readOrError(() => loadIdentity(settings, runtime, parts.certificate));
  const authorities = await readOrError(() => readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH));

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
    http = await boundOrError(
      "HTTP_LISTEN",
      listen,
      () =>
        listenDualStack(listen, (hostname, port) =>
          serveHttp({
            listen: { hostname, port },
            readiness,
            password: settings.HTTP_PASSWORD,
            unlocked: parts.unlocked ?? [],
            ...(parts.pages === undefined ? {} : { pages: parts.pages }),
          })),
    );
    if (parts.httpReady !== undefined) settings = parts.httpReady(http);
  }

  const client = new HttpClient({ connect: runtime.connect, authorities });
  const events = new Events(log);
  const smtpServer = server = new SmtpServer<Account>({
    runtime,
    handlers: handlersFor(settings, client, events),
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
    const { cutOff } = await smtpServer.stop(settings.SHUTDOWN_TIMEOUT, () => client.abort());
    if (cutOff > 0) {
      const waited = settings.SHUTDOWN_TIMEOUT / 1000;
      log.warning("Messages were cut off by the stop", { messages: cutOff, waited });
    }
    client.close();
    await http?.close();
  };
  try {
    const bind = (name: string, addresses: readonly ListenAddress[], implicitTls: boolean) =>
      Promise.all(
        addresses.map((address) =>
          boundOrError(
            name,
            address,
            () =>
              listenDualStack(
                address,
                (hostname, port) => smtpServer.listen(hostname, port, implicitTls),
              ),
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

function handlersFor(settings: Settings, http: HttpClient, events: Events): Handlers<Account> {
  const { authorityHost, graphEndpoint } = cloudOf(settings);
  const scope = `${graphEndpoint.origin}/.default`;
  const tokens = new TokenSource({
    maxAge: settings.TOKEN_CACHE_MAX_AGE,
    async request(credentials) {
      // MSAL is loaded with the first login, not with the program.
      const { requestToken } = await import("../entra/msal.ts");
      return requestToken(credentials, { http, authorityHost, scope, timeout: TOKEN_TIMEOUT });
    },
  });
  const accounts = new Accounts({ delimiter: settings.USERNAME_DELIMITER, tokens });
  const backend = new GraphBackend({
    http,
    endpoint: graphEndpoint,
    timeout: settings.GRAPH_HTTP_TIMEOUT,
    requestLimit: settings.GRAPH_REQUEST_LIMIT,
    concurrency: settings.GRAPH_CONCURRENCY,
    pacingTimeout: settings.PACING_TIMEOUT,
    deliveryTimeout: settings.DELIVERY_TIMEOUT,
    largeMessages: settings.LARGE_MESSAGES,
  });
  const delivery = new DirectDelivery({
    backend,
    hostname: settings.SERVER_HOSTNAME,
    reencodeQuotedPrintable: settings.REENCODE_QUOTED_PRINTABLE,
    duplicateWindow: settings.DUPLICATE_WINDOW,
  });
  const submissions = new WeakMap<Message, Submission>();
  return {
    async authenticate(credentials: Credentials, client: Client): Promise<Login<Account>> {
      const result = await accounts.login(credentials);
      events.login(credentials, client, result);
      return result.type === "account"
        ? { reply: result.reply, account: result.account }
        : { reply: result.reply };
    },
    async submit(account: Account, message: Message) {
      const submission: Submission = {
        id: randomBytes(8).toString("hex"),
        account,
        envelope: message.envelope,
        content: message.content,
        facts: message.facts,
        client: message.client.address,
        receivedAt: new Date(),
      };
      const begun = performance.now();
      submissions.set(message, submission);
      const outcome = await delivery.deliver(submission);
      events.message(submission, outcome, message.client, performance.now() - begun);
      return outcome.reply;
    },
    abandoned(message) {
      const submission = submissions.get(message);
      if (submission !== undefined) delivery.abandon(submission);
    },
    refused: (refusal, client, account) => events.refused(refusal, client, account),
    notAccepted: (error) => events.notAccepted(error),
    failed: (error, client) => events.bug(error, client),
    ended: (summary) => events.connection(summary),
  };
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

async function readOrError<T>(load: () => T | Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof CertificateError) throw new CommandError(EXIT.config, [error.message]);
    throw error;
  }
}

async function boundOrError<T>(
  setting: string,
  address: ListenAddress,
  bind: () => T | Promise<T>,
): Promise<T> {
  try {
    return await bind();
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === undefined) throw error;
    const where = `${setting} ${formatListenAddress(address)}`;
    throw new CommandError(EXIT.unavailable, [
      `${where}: ${bindProblem(code, message, address.port)}`,
    ]);
  }
}

function bindProblem(code: string, message: string, port: number): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use by another program";
    case "EACCES":
    case "EPERM":
      return port < 1024
        ? "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)"
        : "not allowed to listen there";
    case "EADDRNOTAVAIL":
      return "the address is not one of this machine's";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name cannot be resolved";
    default:
      return `cannot listen: ${code}: ${message}`;
  }
}
