// Builds the checks of everything that is configured, out of the relay's own parts, and runs them.

import { resolve } from "node:path";
import process from "node:process";
import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { CommandError } from "../exit.ts";
import { HttpClient } from "../http/client.ts";
import { outgoingClient, proxyFor } from "../relay/http_client.ts";
import { mailClient } from "../relay/mail_client.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Secret } from "../secret.ts";
import { cloudOf } from "../settings/clouds.ts";
import { environment } from "../settings/environment.ts";
import { type ExaminedSettings, examineSettings } from "../settings/load.ts";
import { queueEndpoints } from "../settings/queue_settings.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import type { Environment } from "../settings/setting.ts";
import { checkCertificate } from "./certificate_check.ts";
import { checkCredentials, openCredentialsToCheck } from "./credential_check.ts";
import { type ClockReading, judgeClock } from "./clock_findings.ts";
import { checkService, clockAt, type Service, type ServiceResult } from "./cloud_check.ts";
import { type Finding, finding } from "./finding.ts";
import { type ServiceToCheck, serviceToCheck } from "./installed_service.ts";
import { checkLogin } from "./login_check.ts";
import { type CheckOptions, passwordFor, testMessage } from "./options.ts";
import type { EntryRules } from "../accounts/entry_state.ts";
import type { LookupFileToCheck } from "./lookup_file_check.ts";
import { checkQueue } from "./queue_check.ts";
import { checkPorts, portsOf, portTools } from "./ports_check.ts";
import { type Check, runChecks } from "./run.ts";
import {
  canJudge,
  checkSettings,
  countSet,
  OWN_CREDENTIALS,
  type Part,
  withContradictions,
} from "./settings_check.ts";
import { entryRulesOf } from "./entry_findings.ts";
import { openTableToCheck } from "./table_check.ts";
import type { MailClient } from "../smtp_client/mail_client.ts";
import type { TestMessage } from "./test_message.ts";
import { checkTrusted } from "./trusted_check.ts";
import { wayChecks } from "./way_check.ts";
import { checkTraces, checkWebhook } from "./watchers_check.ts";

/** Milliseconds for one request that needs no login. */
const REQUEST_TIMEOUT = 10_000;
/** Milliseconds for a check that sends nothing over the network. */
const LOCAL_DEADLINE = 20_000;
/** Milliseconds for the certificate, which a vault may have: a token, a request, their repeats. */
const CERTIFICATE_DEADLINE = 40_000;
/** Milliseconds for the table: more than the timeout of its requests. */
const TABLE_DEADLINE = 25_000;
/** Milliseconds for the queue: opening it, the longest survey, and requests to a storage account. */
const QUEUE_DEADLINE = 60_000;
/** Milliseconds for a check of a service: a request, then a handshake to read its certificate. */
const SERVICE_DEADLINE = 2 * REQUEST_TIMEOUT + 5_000;

/** What the checks are built from. */
interface Context {
  readonly settings: Settings;
  /** Settings whose values are not allowed, or that are missing. */
  readonly invalid: ReadonlySet<SettingName>;
  /** Settings that have a value of their own. */
  readonly given: ReadonlySet<SettingName>;
  readonly login: LoginOptions;
  /** EXTRA_CA_CERTS_FILEPATH's, PEM; undefined if they cannot be read. */
  readonly authorities: readonly string[] | undefined;
  /** SERVER_HOSTNAME is not set. */
  readonly unnamed: boolean;
  readonly service: ServiceToCheck | undefined;
  readonly variables: Environment;
  readonly runtime: Runtime;
  readonly http: HttpClient;
  /** For the ways out by SMTP. */
  readonly mail: MailClient;
  /** Only for this machine: never through the proxy. */
  readonly local: HttpClient;
  /** Takes what closes what has been opened. */
  readonly closing: (() => void)[];
}

interface LoginOptions {
  readonly username: string | undefined;
  readonly password: Secret | Finding | undefined;
  readonly test: TestMessage | undefined;
  readonly sent: string[];
}

/**
 * Yields the findings in the order of the checks.
 *
 * @param sent takes the ids of the messages that were sent, or may have been
 * @throws CommandError 2 if the options are not allowed together
 */
export async function* check(options: CheckOptions, sent: string[]): AsyncGenerator<Finding> {
  const test = testMessage(options);
  // Resolved before the working directory becomes the service's.
  const passwordFile = absolute(options.passwordFile);
  const { variables, problem, service } = readVariables(options);
  try {
    if (service !== undefined) yield* service.findings;
    if (problem !== undefined) return yield problem;
    if (service?.stopped) return;
    const { username } = options;
    const password = await passwordFor({ username, passwordFile }, variables);
    yield* checkVariables(variables, service, { username, password, test, sent });
  } finally {
    // Until then, decrypted credentials are in files.
    service?.close();
  }
}

function absolute(passwordFile: string | undefined): string | undefined {
  return passwordFile === undefined || passwordFile === "-" ? passwordFile : resolve(passwordFile);
}

function readVariables({ envFile, service: unit }: CheckOptions): {
  readonly variables: Environment;
  readonly problem?: Finding;
  readonly service?: ServiceToCheck;
} {
  try {
    if (unit === undefined) return { variables: environment(envFile) };
    const service = serviceToCheck(unit);
    return { variables: service.variables, service };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { variables: {}, problem: finding("settings.env-file", error.lines.join("; ")) };
  }
}

async function* checkVariables(
  variables: Environment,
  service: ServiceToCheck | undefined,
  login: LoginOptions,
): AsyncGenerator<Finding> {
  const examined: ExaminedSettings = examineSettings(variables);
  const { settings, problems, warnings, given } = examined;
  const invalid = withContradictions(settings, examined.invalid);
  const wanted = wantedParts(login.username, settings, invalid);
  yield* checkSettings({ problems, warnings, invalid }, countSet(variables), wanted);

  const { authorities, problems: unread } = authoritiesOf(settings);
  yield* unread;
  const runtime = await currentRuntime();
  const http = outgoingClient(settings, runtime, authorities ?? []);
  const mail = mailClient(settings, authorities ?? []);
  const local = new HttpClient({ connect: runtime.connect });
  const closing: (() => void)[] = [];
  const unnamed = (variables["SERVER_HOSTNAME"] ?? "") === "" || invalid.has("SERVER_HOSTNAME");
  try {
    yield* runChecks(
      await checksFor({
        settings,
        invalid,
        given,
        login,
        authorities,
        unnamed,
        service,
        variables,
        runtime,
        http,
        mail,
        local,
        closing,
      }),
    );
  } finally {
    closing.forEach((close) => close());
    http.abort();
    http.close();
    local.close();
    void mail.close();
  }
}

/** The checks that the settings ask for. */
function wantedParts(
  username: string | undefined,
  settings: Settings,
  invalid: ReadonlySet<SettingName>,
): readonly Part[] {
  const parts: Part[] = ["certificate", "SMTP port", "HTTP port", "Entra ID", "Graph"];
  if (settings.SMTPS_LISTEN !== undefined || invalid.has("SMTPS_LISTEN")) parts.push("SMTPS port");
  if (settings.AZURE_TABLES_URL !== undefined || invalid.has("AZURE_TABLES_URL")) {
    parts.push("table");
  }
  const isOther = settings.BACKEND.some((name) => name !== "graph");
  if (isOther || invalid.has("BACKEND")) parts.push("ways out");
  if (settings.LOOKUP_FILE !== undefined || invalid.has("LOOKUP_FILE")) parts.push("lookup file");
  if (OWN_CREDENTIALS.some((name) => settings[name] !== undefined || invalid.has(name))) {
    parts.push("own credentials");
  }
  if (settings.DELIVERY_MODE === "queue") parts.push("queue");
  if (settings.TRUSTED_NETWORKS !== undefined || invalid.has("TRUSTED_NETWORKS")) {
    parts.push("trusted networks");
  }
  if (username !== undefined) parts.push("login");
  return parts;
}

function authoritiesOf(
  settings: Settings,
): { readonly authorities: readonly string[] | undefined; readonly problems: readonly Finding[] } {
  try {
    return { authorities: readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH), problems: [] };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    const problems = error.lines.map((line) => finding("authorities.unusable", line));
    return { authorities: undefined, problems };
  }
}

/** In the order of their findings. */
async function checksFor(context: Context): Promise<readonly Check[]> {
  const { settings, invalid, http, mail, login, variables, closing } = context;
  const rules = entryRulesOf(settings, canJudge("ways out", invalid));
  const table = canJudge("table", invalid)
    ? await openTableToCheck(settings, http, rules)
    : undefined;
  const lookup = canJudge("lookup file", invalid) ? await lookupFileOf(settings, rules) : undefined;
  const own = await openCredentialsToCheck(
    canJudge("own credentials", invalid) ? settings : withoutCredentials(settings),
    http,
    variables,
  );
  closing.push(() => lookup?.file?.close(), () => own.credentials.close());
  const parts = {
    ...{ settings, http, entries: table?.entries },
    ...{ file: lookup?.file, own: own.credentials },
  };
  const trusted = canJudge("trusted networks", invalid) ? checkTrusted(parts) : undefined;
  const rows = table === undefined && lookup?.file === undefined
    ? undefined
    : async () => [...lookup?.file?.rows ?? [], ...await table?.rows() ?? []];
  const credentials = checkCredentials(own, rows, { settings, http });
  return [
    ...certificateChecks(context),
    portsCheck(context),
    ...cloudChecks(context),
    ...(table === undefined
      ? []
      : [{ subject: "table", deadline: TABLE_DEADLINE, run: table.run }]),
    ...(canJudge("ways out", invalid)
      ? wayChecks(settings, { mail: context.mail, timeout: REQUEST_TIMEOUT }, rows)
      : []),
    ...(lookup === undefined ? [] : [{
      subject: "lookup",
      deadline: LOCAL_DEADLINE,
      run: () => Promise.resolve(lookup.findings),
    }]),
    ...(credentials === undefined ? [] : [credentials]),
    ...queueChecks(context),
    ...watcherChecks(context),
    ...(trusted === undefined ? [] : [trusted]),
    ...(login.username === undefined || canJudge("login", invalid)
      ? [checkLogin({ ...login, ...parts, mail })]
      : []),
  ];
}

/** So that no credential is opened by settings that are wrong. */
function withoutCredentials(settings: Settings): Settings {
  return { ...settings, ...Object.fromEntries(OWN_CREDENTIALS.map((name) => [name, undefined])) };
}

async function lookupFileOf(
  settings: Settings,
  rules: EntryRules,
): Promise<LookupFileToCheck | undefined> {
  const { LOOKUP_FILE: path } = settings;
  if (path === undefined) return undefined;
  const { checkLookupFile } = await import("./lookup_file_check.ts");
  return await checkLookupFile({ path, rules, alone: settings.AZURE_TABLES_URL === undefined });
}

function certificateChecks(context: Context): readonly Check[] {
  const { settings, invalid, http, runtime, authorities, unnamed } = context;
  if (!canJudge("certificate", invalid)) return [];
  return [{
    subject: "certificate",
    deadline: CERTIFICATE_DEADLINE,
    run: () => checkCertificate(settings, http, { runtime, authorities, unnamed }),
  }];
}

function portsCheck({ settings, invalid, given, runtime, local, service }: Context): Check {
  const wanted = portsOf(settings, invalid, given);
  const tools = portTools(settings, invalid, runtime, local);
  return {
    subject: "ports",
    deadline: LOCAL_DEADLINE,
    run: () => checkPorts(...(service?.ports(wanted, tools) ?? [wanted, tools] as const)),
  };
}

function queueChecks({ settings, invalid, http, service }: Context): readonly Check[] {
  if (settings.DELIVERY_MODE === "direct" || !canJudge("queue", invalid)) return [];
  const place = service?.queuePlace ?? { directory: process.cwd(), isMade: () => false };
  return [{
    subject: "queue",
    deadline: QUEUE_DEADLINE,
    run: () => checkQueue({ settings, http, place }),
  }];
}

/** The webhook and the collector of traces, where they are set. */
function watcherChecks({ settings, invalid, http }: Context): readonly Check[] {
  const tools = { http, timeout: REQUEST_TIMEOUT };
  const deadline = SERVICE_DEADLINE;
  const checks: Check[] = [];
  if (settings.WEBHOOK_URL !== undefined && !invalid.has("WEBHOOK_URL")) {
    checks.push({ subject: "webhook", deadline, run: () => checkWebhook(settings, tools) });
  }
  if (
    settings.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined &&
    !invalid.has("OTEL_EXPORTER_OTLP_ENDPOINT") && !invalid.has("OTEL_EXPORTER_OTLP_HEADERS")
  ) {
    checks.push({ subject: "traces", deadline, run: () => checkTraces(settings, tools) });
  }
  return checks;
}

/** Entra ID and Graph, and this machine's clock against theirs and that of a storage account. */
function cloudChecks({ settings, invalid, http }: Context): readonly Check[] {
  const { authorityHost, graphEndpoint } = cloudOf(settings);
  const deadline = SERVICE_DEADLINE;
  const results: Promise<ServiceResult>[] = [];
  const checks: Check[] = [];
  const add = (service: Service, base: URL, timeout: number) => {
    const result = checkService(service, base, {
      http,
      timeout,
      proxyFor: (hostname, port) => proxyFor(settings, hostname, port),
    });
    results.push(result);
    checks.push({ subject: service, deadline, run: async () => (await result).findings });
  };
  if (canJudge("Entra ID", invalid)) add("authority", authorityHost, REQUEST_TIMEOUT);
  const isGraph = settings.BACKEND.includes("graph") || settings.AZURE_TABLES_URL !== undefined;
  if (isGraph && canJudge("Graph", invalid)) {
    add("graph", graphEndpoint, Math.min(settings.GRAPH_HTTP_TIMEOUT, REQUEST_TIMEOUT));
  }
  const storage = storageClock(settings, invalid, http);
  const run = async () => [judgeClock([...await clocksOf(results), ...await storage])];
  return [...checks, { subject: "clock", deadline, run }];
}

/** Of the storage account with the queue, if there is one. */
async function storageClock(
  settings: Settings,
  invalid: ReadonlySet<SettingName>,
  http: HttpClient,
): Promise<readonly ClockReading[]> {
  if (settings.DELIVERY_MODE === "direct" || !canJudge("queue", invalid)) return [];
  const endpoints = queueEndpoints(settings);
  if (endpoints === undefined) return [];
  const clock = await clockAt(endpoints.blobs, { http, timeout: REQUEST_TIMEOUT });
  return clock === undefined ? [] : [clock];
}

async function clocksOf(results: readonly Promise<ServiceResult>[]): Promise<ClockReading[]> {
  const settled = await Promise.allSettled(results);
  return settled.flatMap((result) => {
    const clock = result.status === "fulfilled" ? result.value.clock : undefined;
    return clock === undefined ? [] : [clock];
  });
}
