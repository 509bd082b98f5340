// Whether the relay can listen where the settings say, or does so already. Listens on each free port
// for a moment; never connects to a port in use, except for /readyz.

import type { HttpClient, HttpFailure, HttpResponse } from "../http/client.ts";
import { Buffer } from "node:buffer";
import { asBuffer } from "../octets.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Secret } from "../secret.ts";
import { type BindProblem, bindProblem, listenDualStack } from "../server/addresses.ts";
import { formatListenAddress, isLoopback, type ListenAddress } from "../settings/listen_address.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

export interface WantedPort {
  /** The setting that it comes from. */
  readonly setting: "SMTP_LISTEN" | "SMTPS_LISTEN" | "HTTP_LISTEN";
  readonly address: ListenAddress;
  /** The setting is not set, so the relay starts without this port if it is taken. */
  readonly optional?: boolean;
}

export interface PortTools {
  /** @throws Error with a `code` such as `EADDRINUSE` */
  listen(hostname: string, port: number): { close(): void } | Promise<{ close(): void }>;
  /** Where to request /readyz; undefined if HTTP_LISTEN is off or invalid. */
  readonly http: ListenAddress | undefined;
  get(url: URL): Promise<HttpResponse | HttpFailure>;
}

/** A running relay that answers at HTTP_LISTEN. */
interface RunningRelay {
  readonly ready: boolean;
  /** Its SMTP ports. */
  readonly ports: ReadonlySet<number>;
}

/** Milliseconds for the request to /readyz. */
const READYZ_TIMEOUT = 10_000;

const CODE_OF: Readonly<Record<Exclude<BindProblem["kind"], "taken">, Code>> = {
  privileged: "ports.privileged",
  foreign: "ports.address",
  unresolved: "ports.address",
  other: "ports.other",
};

export async function checkPorts(
  wanted: readonly WantedPort[],
  tools: PortTools,
): Promise<readonly Finding[]> {
  // All are held until the last has been tried: two settings may want the same port.
  const held: { readonly port: WantedPort; readonly listener: { close(): void } }[] = [];
  const findings: Finding[] = [];
  let relay: Promise<RunningRelay | undefined> | undefined;
  try {
    for (const port of wanted) {
      const { setting, address } = port;
      const where = `${setting} ${formatListenAddress(address)}`;
      try {
        const listener = await listenDualStack(address, tools.listen);
        held.push({ port, listener });
        findings.push(finding("ports.free", `${where}: free, and may be listened on`));
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        if (code === undefined) throw error;
        const problem = bindProblem(code, message, address.port);
        if (port.optional && problem.kind !== "taken") {
          findings.push(finding("ports.http-taken", `${where}: ${problem.text}`));
          continue;
        }
        if (problem.kind !== "taken") {
          findings.push(finding(CODE_OF[problem.kind], `${where}: ${problem.text}`));
          continue;
        }
        const other = held.find((one) => one.port.address.port === address.port);
        if (other !== undefined) {
          findings.push(
            finding("ports.twice", `${where}: ${other.port.setting} wants the same port`),
          );
          continue;
        }
        findings.push(judgeTaken(where, port, await (relay ??= runningRelay(tools)), tools));
      }
    }
  } finally {
    for (const { listener } of held) listener.close();
  }
  return findings;
}

function judgeTaken(
  where: string,
  { setting, address, optional }: WantedPort,
  relay: RunningRelay | undefined,
  { http }: PortTools,
): Finding {
  if (relay === undefined && optional) {
    return finding("ports.http-taken", `${where}: the port is in use by another program`);
  }
  if (relay === undefined || (setting !== "HTTP_LISTEN" && !relay.ports.has(address.port))) {
    const unknown = http === undefined
      ? ", or by a running relay, which HTTP_LISTEN=off keeps from being asked"
      : "";
    return finding("ports.taken", `${where}: the port is in use by another program${unknown}`);
  }
  return relay.ready
    ? finding("ports.relay", `${where}: in use by the relay that is running, which is ready`)
    : finding(
      "ports.relay-not-ready",
      `${where}: in use by a relay that is running, but not ready`,
    );
}

/** Requests /readyz: only a relay answers in this form. */
async function runningRelay({ http, get }: PortTools): Promise<RunningRelay | undefined> {
  if (http === undefined) return undefined;
  const all = http.hostname === "::" || http.hostname === "0.0.0.0";
  const host = formatListenAddress(all ? { ...http, hostname: "127.0.0.1" } : http);
  const response = await get(new URL(`http://${host}/readyz`));
  if (response.type === "failure") return undefined;
  try {
    const { ready, parts } = JSON.parse(asBuffer(response.body).toString("utf8")) as {
      ready: unknown;
      parts: { smtp: { listening: unknown } };
    };
    const { listening } = parts.smtp;
    if (typeof ready !== "boolean" || !Array.isArray(listening)) return undefined;
    const ports = listening.map((address) => Number(/:(\d+)$/.exec(String(address))?.[1]));
    return { ready, ports: new Set(ports) };
  } catch {
    // A page of another program.
    return undefined;
  }
}

/** Where the relay would listen, as far as the settings are valid. */
export function portsOf(
  settings: Settings,
  invalid: ReadonlySet<SettingName>,
  given: ReadonlySet<SettingName>,
): readonly WantedPort[] {
  const { SMTP_LISTEN, SMTPS_LISTEN = [], HTTP_LISTEN } = settings;
  const all: WantedPort[] = [
    ...SMTP_LISTEN.map((address) => ({ setting: "SMTP_LISTEN", address } as const)),
    ...SMTPS_LISTEN.map((address) => ({ setting: "SMTPS_LISTEN", address } as const)),
    ...(HTTP_LISTEN === "off" ? [] : [
      {
        setting: "HTTP_LISTEN",
        address: HTTP_LISTEN,
        optional: !given.has("HTTP_LISTEN"),
      } as const,
    ]),
  ];
  return all.filter(({ setting }) => !invalid.has(setting));
}

export function portTools(
  { HTTP_LISTEN, HTTP_PASSWORD }: Settings,
  invalid: ReadonlySet<SettingName>,
  runtime: Runtime,
  http: HttpClient,
): PortTools {
  const on = HTTP_LISTEN === "off" || invalid.has("HTTP_LISTEN") ? undefined : HTTP_LISTEN;
  // Except on the loopback, /readyz shows addresses only with the password.
  const password = on === undefined || isLoopback(on.hostname) ? undefined : HTTP_PASSWORD;
  return {
    listen: (hostname, port) =>
      runtime.listen({
        hostname,
        port,
        // A client that connects in this moment is disconnected at once.
        accept: (connection) => ({
          opened: () => connection.destroy(),
          data() {},
          drained() {},
          ended() {},
          secured() {},
          closed() {},
        }),
      }),
    http: on,
    get: (url) =>
      http.request({ method: "GET", url, headers: basic(password), timeout: READYZ_TIMEOUT }),
  };
}

/** RFC 7617; the relay ignores the user name. */
function basic(password: Secret | undefined): Record<string, string> {
  if (password === undefined) return {};
  const pair = Buffer.from(`check:${password.reveal()}`, "utf8").toString("base64");
  return { Authorization: `Basic ${pair}` };
}
