// A relay with devices that have a password of their own, as a process: its lookup and the cloud are in memory. Prints
// its SMTP port.

import process from "node:process";
import { startRelay } from "../../src/relay/relay.ts";
import { createLog } from "../../src/observe/log.ts";
import { startCloud } from "../../tests/support/cloud.ts";
import { DeviceWorld } from "../../tests/support/device_world.ts";
import { plainSettings } from "../../tests/support/settings.ts";

export interface RelayOptions {
  readonly rows: Record<string, Record<string, unknown>>;
  readonly environment: Record<string, string>;
}

export interface RelayStarted {
  readonly port: number;
}

const { rows, environment } = JSON.parse(process.argv[2]!) as RelayOptions;
const cloud = await startCloud();
const world = new DeviceWorld(cloud, rows);
const settings = plainSettings({
  AZURE_AUTHORITY_HOST: cloud.authority.href,
  GRAPH_ENDPOINT: cloud.endpoint.href,
  ...environment,
});
const relay = await startRelay({
  settings,
  log: createLog({ level: "CRITICAL", format: "text", write: () => {} }),
  replaced: { entries: world.entries, tokens: world.tokens() },
});
const { port } = relay.addresses.smtp[0]!;
console.log(JSON.stringify({ port } satisfies RelayStarted));
