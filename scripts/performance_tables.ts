// The tables of docs/performance.md, from docs/performance.json: the results of a run of
// `npm run bench -- peers`, copied from dist/performance/results.json.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chartOf } from "../bench/peers/chart.ts";
import { SECTIONS } from "../bench/peers/figures.ts";
import { bottleneck, goalsTable, number, provenance, sectionTable } from "../bench/peers/report.ts";
import { type Results, valueOf } from "../bench/peers/results.ts";

/** Graph's limits for an app and a mailbox: requests in ten minutes, and at once (learn.microsoft.com, throttling-limits). */
const REQUESTS_IN_TEN_MINUTES = 10_000;
const AT_ONCE = 4;
/** Graph's limit for an app over all tenants, in requests a second (same page). */
const REQUESTS_OF_APP = 2_000;
/** Exchange Online's limit for a mailbox. */
const RECIPIENTS_A_DAY = 10_000;

const PATH = fileURLToPath(new URL("../docs/performance.json", import.meta.url));

/** @throws Error if the results are not there */
export function publishedResults(): Results {
  if (!existsSync(PATH)) throw new Error(`${PATH} is missing`);
  return JSON.parse(readFileSync(PATH, "utf8")) as Results;
}

export const PERFORMANCE_TABLES: Readonly<Record<string, () => string>> = {
  "performance run": () => provenance(publishedResults()),
  "performance goals": () => goalsTable(publishedResults()),
  "performance figures": () => {
    const results = publishedResults();
    const sections = SECTIONS.map((section) =>
      `### ${section.title}\n\n${section.text}\n\n${sectionTable(results, section)}`
    );
    return [...sections, `### The bench itself\n\n${bottleneck(results)}`].join("\n\n");
  },
  "capacity": () => capacity(publishedResults()),
};

export function performanceChart(): string {
  return chartOf(publishedResults());
}

/** What one instance carries, and what Graph makes of it: the paragraphs whose figures were measured. */
function capacity(results: Results): string {
  const of = (figure: string) => valueOf(results, figure, "ours") ?? NaN;
  const top = of("steady.rate");
  const ofMailbox = REQUESTS_IN_TEN_MINUTES / 600;
  const ecdsa = of("sessions.ecdsa.cpu");
  const rsa = of("sessions.rsa.cpu");
  const rest = of("rest.resident");
  const idle = of("idle.marginal");
  const devices = 1_000;
  const lines = [
    `**One instance** passes ${number(top, 0)} messages of 10 KB a second at most, ` +
    `${number(top * 3600 / 1e6, 0)} million in an hour, on one core. At half of that, it adds ` +
    `${number(of("half.p50"), 2)} ms to a message (median) and ${number(of("half.p99"), 1)} ms ` +
    "to 99 of 100. All of this is without the network, and with a Graph that answers at once.",
    `**Connections** that stay open cost memory, not time: ${number(rest, 0)} MiB at rest and ` +
    `${number(idle, 1)} KiB for each, so ${number(rest + idle * devices / 1024, 0)} MiB with ` +
    `${number(devices, 0)} devices.`,
    `**Graph** takes ${number(REQUESTS_IN_TEN_MINUTES, 0)} requests in ten minutes of an app and ` +
    `mailbox, which is ${number(ofMailbox, 1)} a second, and ${AT_ONCE} at once: ` +
    `${AT_ONCE} messages a second of a mailbox if each takes a second there. ` +
    `${number(REQUESTS_OF_APP, 0)} requests a second are the most for an app over all mailboxes. ` +
    `Exchange takes ${number(RECIPIENTS_A_DAY, 0)} recipients a day of a mailbox. So one mailbox ` +
    `uses ${number(AT_ONCE / top * 100, 2)} % of what an instance can do, one app ` +
    `${number(REQUESTS_OF_APP / top * 100, 0)} %, and it takes ` +
    `${
      number(Math.ceil(top / AT_ONCE), 0)
    } mailboxes at work at the same time to fill an instance.`,
    `**Devices that connect for each message** pay for a TLS handshake each time: a session takes ` +
    `${number(ecdsa, 2)} ms of CPU with an ECDSA P-256 certificate, and ${
      number(rsa, 2)
    } ms with ` +
    `RSA of 2048 bits. With ECDSA a core carries ${number(1000 / ecdsa, 0)} such messages a ` +
    `second, with RSA ${number(1000 / rsa, 0)}.`,
  ];
  return lines.filter((line) => !line.includes("NaN")).join("\n\n");
}
