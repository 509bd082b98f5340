// `sandbox`: the same relay against an imitated cloud, with an inbox in the browser. Needs no
// setting, account or network.

import { isIP } from "node:net";
import process from "node:process";
import { shortId } from "../accounts/username.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { leafIn, readPem } from "../certificates/pem_files.ts";
import { selfSignedCertificate, selfSignedClientCertificate } from "../certificates/self_signed.ts";
import { fixedSource } from "../certificates/source.ts";
import { currentRuntime } from "../runtime/current.ts";
import { type Cloud, createCloud } from "../sandbox/cloud.ts";
import type { SandboxExchange } from "../sandbox/exchange/submission_server.ts";
import type { ConnectionDetails } from "../sandbox/inbox/routes.ts";
import { inboxRoutes } from "../sandbox/inbox/routes.ts";
import { Inbox } from "../sandbox/inbox/store.ts";
import { deviceRows, SANDBOX_DEVICES } from "../sandbox/devices.ts";
import { SandboxTable } from "../sandbox/imitated_table.ts";
import { Tracer } from "../sandbox/trace/tracer.ts";
import { sendWelcome } from "../sandbox/welcome.ts";
import { isSmarthost, type SmtpServerAddress } from "../settings/backend_settings.ts";
import { formatListenAddress, isLoopback, type ListenAddress } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";
import type { ServiceManager } from "../systemd/manager.ts";
import { type CommandSettings, environment, settingsFor } from "../settings/environment.ts";
import { CommandError, EXIT } from "../exit.ts";
import { type ProcessLog, withLog } from "../relay/process_log.ts";
import { openHttp } from "../relay/http.ts";
import { type Relay, startRelay } from "../relay/relay.ts";
import { socketsFor, underServiceManager } from "../relay/service_manager.ts";
import { untilStopped } from "./serve.ts";
import { buildLabels } from "./version.ts";
import { openStatusPage } from "./status_page.ts";

/** Any well-formed username is accepted; these are easy to distinguish from real ones. */
const TENANT = "11111111-1111-1111-1111-111111111111";
const CLIENT = "22222222-2222-2222-2222-222222222222";
const SECRET = "any-secret";
const APP = { tenantId: TENANT, clientId: CLIENT };

/** The entries of the imitated lookup table. */
const ENTRY = {
  id: "scanner",
  columns: {
    tenant_id: TENANT,
    client_id: CLIENT,
    from_email: "scanner@example.com",
    from_name: "Scanner",
  },
};

export async function sandbox(envFile: string | undefined): Promise<void> {
  await underServiceManager(async (manager) => {
    const loaded = settingsFor(envFile, { SMTP_LISTEN: "127.0.0.1:8025" }, true);
    await withLog(loaded.settings, (output) => sandboxWith(loaded, envFile, manager, output));
  });
}

async function sandboxWith(
  { settings, warnings, given }: CommandSettings,
  envFile: string | undefined,
  manager: ServiceManager,
  output: ProcessLog,
): Promise<void> {
  if (settings.HTTP_LISTEN === "off") {
    throw new CommandError(EXIT.config, [
      "HTTP_LISTEN must not be off: the sandbox's cloud is served there",
    ]);
  }
  const others = certificateOfAnotherRelay(settings);
  const { log, metrics } = output;
  metrics.set("build_info", await buildLabels(), 1);
  for (const warning of warnings) log.warning(warning);
  manager.logTo((message, fields) => log.warning(message, fields));
  const sockets = await socketsFor(settings);

  const certificate = settings.TLS_SOURCE === "off" ? undefined : await selfSignedCertificate();
  const certificates = certificate === undefined
    ? {}
    : { certificates: fixedSource("self-signed", certificate) };
  // The relay's own, for the devices without secrets.
  const own = await selfSignedClientCertificate();
  const http = await openHttp({
    ...{ settings, log, metrics, sockets: sockets.http },
    optional: false,
    // The cloud's faults.
    breaking: true,
  });
  if (http === undefined) throw new Error("HTTP_LISTEN has been checked");
  const base = localUrl(http.addresses[0]!);
  const host = isLoopback(settings.HTTP_LISTEN.hostname) ? [] : [settings.SERVER_HOSTNAME];
  const inbox = new Inbox();
  const tracer = new Tracer(settings.USERNAME_DELIMITER);
  const traceOf = (clientRequestId: string | undefined) => tracer.find(clientRequestId);
  const entra = { app: () => ({ certificates: [own.certificate, ...others] }) };
  const cloud = createCloud({ inbox, entra, allowedHosts: host, traceOf });
  http.mount(cloud.routes, ["/entra/", "/graph/"]);

  const variables = environment(envFile);
  const page = openStatusPage({ http, settings, given, variables, sandbox: true });
  const relay = await startRelay({
    settings: { ...pointedAt(settings, base), ...await listenBySmtp(cloud, settings) },
    log,
    metrics,
    http,
    replaced: {
      sockets,
      entries: new SandboxTable([ENTRY, ...deviceRows(APP)]),
      ...certificates,
      clientCertificates: fixedSource("self-signed", own),
    },
    tracing: tracer,
    status: page.status,
  });
  const connection = connectionDetails(relay, settings);
  const ended = new AbortController();
  const { faults } = cloud;
  const { signal } = ended;
  http.mount(inboxRoutes(inbox, { connection, allowedHosts: host, faults, tracer, signal }));
  const stopping = () => {
    ended.abort();
    page.close();
  };
  const stopped = untilStopped(relay, output, manager, { stopping });
  try {
    await welcome(relay, connection, {
      settings,
      url: base,
      certificate: certificate?.certificate,
    });
  } catch (error) {
    log.error("The welcome message could not be sent", { error: String(error) });
  }
  manager.ready(() => relay.state());
  await stopped;
  for (const server of [cloud.exchange, cloud.smarthost]) server.close();
}

/**
 * Another relay that uses the imitated services logs in with a certificate that this one has not made. It is
 * read once, so that an exchanged certificate is not registered, as in the real Entra ID.
 *
 * @throws CommandError 78 if there is no certificate in the file
 */
function certificateOfAnotherRelay(settings: Settings): readonly string[] {
  const { CLIENT_CERTIFICATE_FILEPATH: path } = settings;
  if (path === undefined) return [];
  const setting = "CLIENT_CERTIFICATE_FILEPATH";
  try {
    return [leafIn(path, readPem(setting, path), setting).toString()];
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new CommandError(EXIT.config, error.lines);
  }
}

/** The settings, with the imitated services instead of the real ones. */
function pointedAt(settings: Settings, base: string): Settings {
  return {
    ...settings,
    AZURE_AUTHORITY_HOST: new URL(`${base}/entra`),
    GRAPH_ENDPOINT: new URL(`${base}/graph`),
  };
}

/** The imitated SMTP servers of the ways out that may be used: nothing is sent to real ones. */
async function listenBySmtp(
  { exchange, smarthost }: Cloud,
  settings: Settings,
): Promise<Partial<Settings>> {
  const { BACKEND: names, LARGE_MESSAGES: large, SMARTHOST_URL: other } = settings;
  // Its entries may name any of them.
  const table = settings.AZURE_TABLES_URL !== undefined || settings.LOOKUP_FILE !== undefined;
  const isExchange = table || names.includes("exchange") || large === "exchange";
  const isOther = table || names.some(isSmarthost) || other !== undefined;
  if (!isExchange && !isOther) return {};
  const runtime = await currentRuntime();
  const listen = (server: SandboxExchange): SmtpServerAddress => ({
    hostname: "127.0.0.1",
    port: server.listen(runtime).port,
    tls: "loopback",
  });
  return {
    ...(isExchange ? { EXCHANGE_SMTP_URL: listen(exchange) } : {}),
    ...(isOther ? { SMARTHOST_URL: listen(smarthost) } : {}),
  };
}

/** How this machine reaches an address that was bound. */
function local({ hostname, port }: ListenAddress): ListenAddress {
  // `::` takes IPv4 too, and a machine may have no `::1`.
  const all = hostname === "::" || hostname === "0.0.0.0";
  return { hostname: all ? "127.0.0.1" : hostname, port };
}

function localUrl(address: ListenAddress): string {
  return `http://${formatListenAddress(local(address))}`;
}

function connectionDetails({ addresses }: Relay, settings: Settings): ConnectionDetails {
  const smtp = formatListenAddress(local(addresses.smtp[0]!));
  const smtps = addresses.smtps[0];
  const delimiter = settings.USERNAME_DELIMITER;
  const username = `${shortId(TENANT)}${delimiter}${shortId(CLIENT)}`;
  const tls = settings.TLS_SOURCE === "off" ? "" : " --ssl-reqd --insecure";
  const command = `printf 'Subject: Hello\\r\\n\\r\\nIt works.\\r\\n' | curl${tls} ` +
    `--url smtp://${smtp} --user '${username}:${SECRET}' ` +
    `--mail-from me@example.com --mail-rcpt you@example.org --upload-file -`;
  return {
    smtp,
    ...(smtps === undefined ? {} : { smtps: formatListenAddress(local(smtps)) }),
    username,
    password: SECRET,
    devices: settings.AZURE_TABLES_URL === undefined ? SANDBOX_DEVICES : [],
    command,
  };
}

async function welcome(
  relay: Relay,
  connection: ConnectionDetails,
  { settings, url, certificate }: {
    readonly settings: Settings;
    readonly url: string;
    readonly certificate: string | undefined;
  },
): Promise<void> {
  const { hostname, port } = local(relay.addresses.smtp[0]!);
  // A local connection comes from the address that it goes to, except for names and 127.0.0.0/8.
  const source = isIP(hostname) === 6 || !isLoopback(hostname) ? hostname : "127.0.0.1";
  const lines = [
    `SMTP server  ${connection.smtp}${
      settings.TLS_SOURCE === "off" ? "" : " (STARTTLS, self-signed certificate)"
    }`,
    ...(connection.smtps === undefined ? [] : [`TLS at once  ${connection.smtps}`]),
    `Username     ${connection.username}`,
    `             (any other TENANT_ID@CLIENT_ID works too)`,
    ...(settings.AZURE_TABLES_URL !== undefined ? [] : [
      `             ${ENTRY.id}${settings.USERNAME_DELIMITER}lookup, from a simulated lookup table`,
      `             (sends as ${ENTRY.columns.from_email}, whatever the message says)`,
    ]),
    `Password     ${connection.password}`,
    `             (any works, but not wrong-secret, expired-secret or no-permission)`,
    ...connection.devices.flatMap(({ username, password, sender }) => [
      `Device       ${username} with the password ${password}`,
      `             (no secret: sends as ${sender})`,
    ]),
    `Inbox        ${url}/`,
  ];
  const told = settings.AUTH_MECHANISMS.includes("PLAIN")
    ? [
      "One message has just gone through this relay:",
      "",
      ...(await sendWelcome({
        hostname,
        port,
        certificate,
        proxied: settings.PROXY_PROTOCOL_NETWORKS?.has(source) ?? false,
        username: connection.username,
        password: connection.password,
        lines,
      })).map((line) => `  ${line}`),
      "",
      `It has arrived: ${url}/`,
      "",
    ]
    : ["No message has been sent yet: AUTH_MECHANISMS leaves PLAIN out.", ""];
  process.stdout.write([
    ...told,
    "Send one yourself:",
    "",
    ...lines.map((line) => `  ${line}`),
    "",
    `  ${connection.command}`,
    "",
    "Ctrl-C ends the sandbox.",
    "",
  ].join("\n"));
}
