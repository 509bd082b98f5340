// The HTTP server as the settings ask for it. It is there before the relay: pages and readiness are
// mounted on it.

import { CommandError } from "../exit.ts";
import { type HttpService, serveHttp } from "../observe/http.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Settings } from "../settings/schema.ts";
import type { HandedOverSockets } from "../systemd/sockets.ts";
import { listenOrError } from "./bind.ts";

export interface HttpParts {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Take the place of HTTP_LISTEN, where there are some. */
  readonly sockets: HandedOverSockets["http"];
  /** Goes on without, with a warning, where HTTP_LISTEN cannot be had: it is only the default. */
  readonly optional: boolean;
}

/**
 * @returns undefined where HTTP_LISTEN is off, or cannot be had and is optional
 * @throws CommandError 69 where it cannot be had
 */
export async function openHttp(parts: HttpParts): Promise<HttpService | undefined> {
  const { settings, log, metrics, sockets, optional } = parts;
  const listen = sockets[0] ?? settings.HTTP_LISTEN;
  if (listen === "off") return undefined;
  try {
    return await listenOrError("HTTP_LISTEN", listen, (hostname, port) =>
      serveHttp({
        listen: { hostname, port },
        sockets,
        metrics,
        password: settings.HTTP_PASSWORD,
        names: [settings.SERVER_HOSTNAME],
      }));
  } catch (error) {
    if (!optional || !(error instanceof CommandError)) throw error;
    const text =
      "No health, metrics and pages: HTTP_LISTEN is not set, and its default is not free";
    log.warning(text, { reason: error.lines.join("; ") });
    return undefined;
  }
}
