// `check`: tries every configured thing and says, a line each, what is wrong and what to do about it.

import process from "node:process";
import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { type CertificateTools, checkFiles, checkVault } from "../check/certificate.ts";
import { type ClockReading, judgeClock } from "../check/clock.ts";
import { type Finding, finding, worst } from "../check/finding.ts";
import { checkPorts, type PortTools, type WantedPort } from "../check/ports.ts";
import { jsonReport, summaryLine, textLine } from "../check/report.ts";
import { type Check, runChecks } from "../check/run.ts";
import { checkService, type Service, type ServiceResult } from "../check/services.ts";
import { canJudge, checkSettings, countSet, type Part } from "../check/settings.ts";
import { HttpClient } from "../http/client.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { cloudOf } from "../settings/clouds.ts";
import { type Environment, examineSettings } from "../settings/load.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { certificateSource } from "./certificates.ts";
import { checkLogin } from "./check_login.ts";
import { type CheckOptions, passwordFor, testMessage } from "./check_options.ts";
import { environment } from "./environment.ts";
import { CommandError, EXIT } from "./exit.ts";
import { outgoingClient, proxyFor } from "./outgoing.ts";

/** Milliseconds for one request that only looks. */
const REQUEST_TIMEOUT = 10_000;
/** Milliseconds for a check that asks nobody but this machine. */
const LOCAL_DEADLINE = 20_000;
/** Milliseconds for the certificate, which a vault may have: a token, a request, their repeats. */
const CERTIFICATE_DEADLINE = 40_000;
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
  for await (const found of look(options, sent)) {
    findings.push(found);
    if (!options.json) print(textLine(found));
  }
  print(options.json ? jsonReport(findings, sent) : summaryLine(findings));
  if (worst(findings) === "fail") throw new CommandError(EXIT.failure, []);
}

/** @param sent takes the ids of the messages that were sent, or may have been */
async function* look(options: CheckOptions, sent: string[]): AsyncGenerator<Finding> {
  const test = testMessage(options);
  const { variables, problem } = variablesOf(options.envFile);
  if (problem !== undefined) return yield problem;
  const password = passwordFor(options, variables);
  const examined = examineSettings(variables);
  const { settings, bad } = examined;
  yield* checkSettings(examined, countSet(variables), wantedParts(options, settings, bad));

  const { authorities, problem: unread } = authoritiesOf(settings);
  if (unread !== undefined) yield unread;
  const runtime = await currentRuntime();
  const http = outgoingClient(settings, runtime, authorities ?? []);
  // Never by way of a proxy, whatever the settings say: it asks this machine.
  const local = new HttpClient({ connect: runtime.connect });

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
      () => checkCertificate(settings, http, { runtime, authorities }),
    );
  }
  add(
    "ports",
    LOCAL_DEADLINE,
    () => checkPorts(portsOf(settings, bad), portTools(settings, bad, runtime, local)),
  );
  if (authority !== undefined) {
    add("authority", SERVICE_DEADLINE, async () => (await authority).findings);
  }
  if (graph !== undefined) add("graph", SERVICE_DEADLINE, async () => (await graph).findings);
  add("clock", SERVICE_DEADLINE, async () => [judgeClock(await clocksOf([authority, graph]))]);
  if (options.username === undefined || judged("login")) {
    checks.push(checkLogin({ username: options.username, password, test, settings, http, sent }));
  }
  try {
    yield* runChecks(checks);
  } finally {
    http.abort();
    http.close();
    local.close();
  }
}

async function checkCertificate(
  settings: Settings,
  http: HttpClient,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  switch (settings.TLS_SOURCE) {
    case "off":
      return [finding("certificate.off", "TLS_SOURCE is off: clients speak in plain text")];
    case "file":
      return await checkFiles(settings, tools);
    case "keyvault": {
      const { AZURE_KEY_VAULT_URL: vault, AZURE_KEY_VAULT_CERT_NAME: name } = settings;
      // That they are missing is among the settings' problems.
      if (vault === undefined || name === undefined) return [];
      try {
        const source = await certificateSource(settings, http);
        return source === undefined ? [] : await checkVault(source, settings, tools);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        return [finding("vault.identity", error.lines.join("; "))];
      }
    }
  }
}

function variablesOf(
  envFile: string | undefined,
): { readonly variables: Environment; readonly problem?: Finding } {
  try {
    return { variables: environment(envFile) };
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
  if (username !== undefined) parts.push("login");
  return parts;
}

function portsOf(settings: Settings, bad: ReadonlySet<SettingName>): readonly WantedPort[] {
  const { SMTP_LISTEN, SMTPS_LISTEN = [], HTTP_LISTEN } = settings;
  const all: WantedPort[] = [
    ...SMTP_LISTEN.map((address) => ({ setting: "SMTP_LISTEN", address } as const)),
    ...SMTPS_LISTEN.map((address) => ({ setting: "SMTPS_LISTEN", address } as const)),
    ...(HTTP_LISTEN === "off" ? [] : [{ setting: "HTTP_LISTEN", address: HTTP_LISTEN } as const]),
  ];
  return all.filter(({ setting }) => !bad.has(setting));
}

function portTools(
  { HTTP_LISTEN }: Settings,
  bad: ReadonlySet<SettingName>,
  runtime: Runtime,
  http: HttpClient,
): PortTools {
  return {
    listen: (hostname, port) =>
      runtime.listen({
        hostname,
        port,
        // Whoever comes in this moment is hung up on, as if nobody listened.
        accept: (connection) => ({
          opened: () => connection.destroy(),
          data() {},
          drained() {},
          ended() {},
          secured() {},
          closed() {},
        }),
      }),
    http: HTTP_LISTEN === "off" || bad.has("HTTP_LISTEN") ? undefined : HTTP_LISTEN,
    get: (url) => http.request({ method: "GET", url, headers: {}, timeout: REQUEST_TIMEOUT }),
  };
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
): { readonly authorities: readonly string[] | undefined; readonly problem?: Finding } {
  try {
    return { authorities: readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH) };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    return { authorities: undefined, problem: finding("authorities.unusable", error.message) };
  }
}

function print(line: string): void {
  process.stdout.write(line + "\n");
}
