/** A relay in this process, with its HTTP server where the settings ask for one. */
import type { LevelLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { openHttp } from "../../src/relay/http.ts";
import { type Relay, type Replacements, startRelay } from "../../src/relay/relay.ts";
import type { Settings } from "../../src/settings/schema.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";

export interface TestRelay {
  readonly relay: Relay;
  /** Of the HTTP server, without a slash at its end; undefined where HTTP_LISTEN is off. */
  readonly url: string | undefined;
}

export async function openRelay(
  settings: Settings,
  log: LevelLog,
  replaced: Replacements = {},
): Promise<TestRelay> {
  const metrics = new Metrics();
  const sockets = NO_SOCKETS.http;
  const http = await openHttp({ settings, log, metrics, sockets, optional: false });
  const relay = await startRelay({ settings, log, metrics, http, replaced });
  return { relay, url: http && `http://127.0.0.1:${http.addresses[0]!.port}` };
}
