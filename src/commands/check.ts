// `check`: tries every configured thing and says, a line each, what is wrong and what to do about it.

import { resolve } from "node:path";
import process from "node:process";
import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { type ClockReading, judgeClock } from "../check/clock.ts";
import { type Finding, finding, worst } from "../check/finding.ts";
import { checkPorts } from "../check/ports.ts";
import {
  failedAgain,
  jsonReport,
  summaryLine,
  terminalOf,
  terminalText,
  textLine,
} from "../check/report.ts";
import { type Check, runChecks } from "../check/run.ts";
import { checkService, type Service, type ServiceResult } from "../check/services.ts";
import {
  canJudge,
  checkSettings,
  countSet,
  type Part,
  withContradictions,
} from "../check/settings.ts";
import { HttpClient } from "../http/client.ts";
import { currentRuntime } from "../runtime/current.ts";
import { cloudOf } from "../settings/clouds.ts";
import { examineSettings } from "../settings/load.ts";
import type { Environment } from "../settings/setting.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { checkLogin } from "./check_login.ts";
import { type ServiceToCheck, serviceToCheck } from "./check_service.ts";
import { checkTrusted } from "./check_trusted.ts";
import { type CheckOptions, passwordFor, testMessage } from "./check_options.ts";
import {
  checkCertificate,
  portsOf,
  portTools,
  REQUEST_TIMEOUT,
  tableToCheck,
} from "./check_parts.ts";
import { environment } from "../settings/environment.ts";
import { CommandError, EXIT } from "../exit.ts";
import { outgoingClient, proxyFor } from "../relay/http_client.ts";

/** Milliseconds for a check that asks nobody but this machine. */
const LOCAL_DEADLINE = 20_000;
/** Milliseconds for the certificate, which a vault may have: a token, a request, their repeats. */
const CERTIFICATE_DEADLINE = 40_000;
/** Milliseconds for the table, which has less for its answer. */
const TABLE_DEADLINE = 25_000;
/** Milliseconds for a check of a service: a request, then a look at its certificate. */
const SERVICE_DEADLINE = 2 * REQUEST_TIMEOUT + 5_000;

/**
 * Prints the findings.
 *
 * @throws CommandError 1 where one is a FAIL, 2 where the options do not go together
 */
export async function check(options: CheckOptions): Promise<void> {
  const findings: Finding[] = [];
  const sent: string[] = [];
  const terminal = options.json ? undefined : terminalOf(process.stdout, process.env);
  for await (const found of look(options, sent)) {
    findings.push(found);
    if (options.json) continue;
    print(terminal === undefined ? textLine(found) : terminalText(found, terminal));
  }
  if (terminal !== undefined) { for (const line of failedAgain(findings, terminal)) print(line); }
  print(options.json ? jsonReport(findings, sent) : summaryLine(findings));
  if (worst(findings) === "fail") throw new CommandError(EXIT.failure, []);
}

/** @param sent takes the ids of the messages that were sent, or may have been */
async function* look(given: CheckOptions, sent: string[]): AsyncGenerator<Finding> {
  const test = testMessage(given);
  const { passwordFile } = given;
  // A service has a working directory of its own, this file is of the one who asks.
  const options = given.service === undefined || passwordFile === undefined || passwordFile === "-"
    ? given
    : { ...given, passwordFile: resolve(passwordFile) };
  const { variables, problem, service } = variablesOf(options);
  if (service !== undefined) yield* service.findings;
  if (problem !== undefined) return yield problem;
  if (service?.stopped) return;
  const password = await passwordFor(options, variables);
  const examined = examineSettings(variables);
  const { settings } = examined;
  const bad = withContradictions(settings, examined.bad);
  const { problems, warnings } = examined;
  const wanted = wantedParts(options, settings, bad);
  yield* checkSettings({ problems, warnings, bad }, countSet(variables), wanted);

  const { authorities, problems: unread } = authoritiesOf(settings);
  yield* unread;
  const runtime = await currentRuntime();
  const http = outgoingClient(settings, runtime, authorities ?? []);
  // Never by way of a proxy, whatever the settings say: it asks this machine.
  const local = new HttpClient({ connect: runtime.connect });

  const unnamed = (variables["SERVER_HOSTNAME"] ?? "") === "" || bad.has("SERVER_HOSTNAME");
  const judged = (part: Part) => canJudge(part, bad);
  const { authorityHost, graphEndpoint } = cloudOf(settings);
  const ask = (service: Service, base: URL, timeout = REQUEST_TIMEOUT) =>
    checkService(service, base, {
      http,
      timeout,
      proxyFor: (hostname, port) => proxyFor(settings, hostname, port),
    });
  const authority = judged("Entra ID") ? ask("authority", authorityHost) : undefined;
  const graph = judged("Graph")
    ? ask("graph", graphEndpoint, Math.min(settings.GRAPH_HTTP_TIMEOUT, REQUEST_TIMEOUT))
    : undefined;

  const checks: Check[] = [];
  const add = (subject: string, deadline: number, run: Check["run"]) =>
    checks.push({ subject, deadline, run });
  if (judged("certificate")) {
    add(
      "certificate",
      CERTIFICATE_DEADLINE,
      () => checkCertificate(settings, http, { runtime, authorities, unnamed }),
    );
  }
  add(
    "ports",
    LOCAL_DEADLINE,
    () => {
      const wanted = portsOf(settings, bad, examined.given);
      const tools = portTools(settings, bad, runtime, local);
      return checkPorts(...(service?.ports(wanted, tools) ?? [wanted, tools] as const));
    },
  );
  if (authority !== undefined) {
    add("authority", SERVICE_DEADLINE, async () => (await authority).findings);
  }
  if (graph !== undefined) add("graph", SERVICE_DEADLINE, async () => (await graph).findings);
  add("clock", SERVICE_DEADLINE, async () => [judgeClock(await clocksOf([authority, graph]))]);
  const table = judged("table") ? await tableToCheck(settings, http) : undefined;
  if (table !== undefined) add("table", TABLE_DEADLINE, table.run);
  const trusted = judged("trusted networks")
    ? checkTrusted({ settings, http, entries: table?.entries })
    : undefined;
  if (trusted !== undefined) checks.push(trusted);
  const { username } = options;
  if (username === undefined || judged("login")) {
    const entries = table?.entries;
    checks.push(checkLogin({ username, password, test, settings, http, entries, sent }));
  }
  try {
    yield* runChecks(checks);
  } finally {
    service?.close();
    http.abort();
    http.close();
    local.close();
  }
}

function variablesOf({ envFile, service: unit }: CheckOptions): {
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

function wantedParts(
  { username }: CheckOptions,
  settings: Settings,
  bad: ReadonlySet<SettingName>,
): readonly Part[] {
  const parts: Part[] = ["certificate", "SMTP port", "HTTP port", "Entra ID", "Graph"];
  if (settings.SMTPS_LISTEN !== undefined || bad.has("SMTPS_LISTEN")) parts.push("SMTPS port");
  if (settings.AZURE_TABLES_URL !== undefined || bad.has("AZURE_TABLES_URL")) parts.push("table");
  if (settings.TRUSTED_NETWORKS !== undefined || bad.has("TRUSTED_NETWORKS")) {
    parts.push("trusted networks");
  }
  if (username !== undefined) parts.push("login");
  return parts;
}

async function clocksOf(
  results: readonly (Promise<ServiceResult> | undefined)[],
): Promise<ClockReading[]> {
  const settled = await Promise.allSettled(results);
  return settled.flatMap((result) => {
    const clock = result.status === "fulfilled" ? result.value?.clock : undefined;
    return clock === undefined ? [] : [clock];
  });
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

function print(line: string): void {
  process.stdout.write(line + "\n");
}
