// Starts the HTTP server by the settings, before the relay: pages and readiness are added to it
// later.

import { CommandError } from "../exit.ts";
import { type HttpService, serveHttp } from "../observe/http.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { pageGarbage } from "../runtime/current.ts";
import type { Settings } from "../settings/schema.ts";
import type { HandedOverSockets } from "../systemd/sockets.ts";
import { listenOrError } from "./bind.ts";

export interface HttpParts {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  /** If there are any, they replace HTTP_LISTEN. */
  readonly sockets: HandedOverSockets["http"];
  /** HTTP_LISTEN is only the default: if its port is taken, a warning is enough. */
  readonly optional: boolean;
  /** Pages break connections on purpose. */
  readonly breaking?: boolean;
}

/**
 * @returns undefined if HTTP_LISTEN is off, or is optional and its port is taken
 * @throws CommandError 69 if it cannot listen there
 */
export async function openHttp(parts: HttpParts): Promise<HttpService | undefined> {
  const { settings, log, metrics, sockets, optional, breaking } = parts;
  const listen = sockets[0] ?? settings.HTTP_LISTEN;
  if (listen === "off") return undefined;
  const garbage = await pageGarbage();
  try {
    return await listenOrError("HTTP_LISTEN", listen, (hostname, port) =>
      serveHttp({
        listen: { hostname, port },
        sockets,
        breaking,
        metrics,
        garbage,
        password: settings.HTTP_PASSWORD,
        guard: {
          limited: (client) =>
            log.warning("Too many wrong passwords for the HTTP pages from an address", { client }),
        },
        names: [settings.SERVER_HOSTNAME],
      }));
  } catch (error) {
    if (!optional || !(error instanceof CommandError)) throw error;
    const text =
      "No health, metrics and pages: HTTP_LISTEN is not set, and its default port is in use";
    log.warning(text, { reason: error.lines.join("; ") });
    return undefined;
  }
}
