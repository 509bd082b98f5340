// Builds the ways out of the settings: Graph, and what is reached by SMTP.

import type { SenderRules } from "../accounts/senders.ts";
import type { BackendName } from "../backend_name.ts";
import { type Clock, realClock } from "../clock.ts";
import { Backends, type Way } from "../delivery/backends.ts";
import { GraphBackend } from "../graph/backend.ts";
import type { HttpClient } from "../http/client.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Notify } from "../observe/relay_event.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import { SmtpBackend } from "../smtp_backend/backend.ts";
import type { MailClient } from "../smtp_client/mail_client.ts";
import { messageLimits } from "./message_limits.ts";
import { loginFor, serverOf, SERVICES } from "./smtp_services.ts";

export interface WaysOutParts {
  readonly settings: Settings;
  readonly http: Pick<HttpClient, "request">;
  readonly mail: Pick<MailClient, "send">;
  readonly senders: SenderRules;
  readonly notify: Notify;
  readonly metrics: Metrics | undefined;
  /** Once it is aborted, nothing is begun. */
  readonly stop: AbortSignal;
  /** Ends what is under way by SMTP. */
  readonly abort: AbortSignal;
  readonly clock?: Clock;
}

/** Octets that the relay adds to a message at most, or nearly so. */
const ADDED = 1_000;

export function waysOut(parts: WaysOutParts): Backends {
  const { settings, notify, metrics, clock = realClock } = parts;
  const graph = graphBackend(parts);
  const ways = new Map<BackendName, Way & { readonly load: Load }>([["graph", graph]]);
  const sum = (figure: keyof Load) => () =>
    [...ways.values()].reduce((total, { load }) => total + load[figure], 0);
  metrics?.gauge({ name: "deliveries_in_flight", value: sum("active") });
  metrics?.gauge({ name: "deliveries_waiting", value: sum("waiting") });
  metrics?.gauge({ name: "throttled_mailboxes", value: sum("throttled") });
  if (settings.BACKEND.length > 1) {
    for (const backend of settings.BACKEND) metrics?.set("backend_down", { backend }, 0);
  }
  const wayOf = (name: BackendName) => {
    const known = ways.get(name);
    if (known !== undefined) return known;
    const way = smtpBackend(name, parts);
    if (typeof way !== "string") ways.set(name, way);
    return way;
  };
  const isBySize = settings.LARGE_MESSAGES === "exchange";
  return new Backends({
    standard: settings.BACKEND,
    wayOf,
    // Base64 makes four octets of three.
    largeFrom: isBySize ? Math.floor(settings.GRAPH_REQUEST_LIMIT / 4) * 3 - ADDED : undefined,
    sentLookup: graph,
    changed: (change) => notify({ type: "backend", ...change }),
    clock,
  });
}

type Load = Pick<GraphBackend["load"], "active" | "waiting" | "throttled">;

function smtpBackend(
  name: BackendName,
  { settings, mail, senders, stop, abort, clock = realClock }: WaysOutParts,
): SmtpBackend | string {
  const server = serverOf(settings, name);
  if (typeof server === "string" || name === "graph") return String(server);
  return new SmtpBackend({
    id: name,
    client: mail,
    server,
    login: loginFor(settings, name),
    service: SERVICES[name],
    message: {
      hostname: settings.SERVER_HOSTNAME,
      senders,
      limits: messageLimits(settings),
    },
    pacingTimeout: settings.PACING_TIMEOUT,
    deliveryTimeout: settings.DELIVERY_TIMEOUT,
    largeFrom: settings.GRAPH_REQUEST_LIMIT,
    stop,
    abort,
    clock,
  });
}

function graphBackend(
  { settings, http, senders, stop, clock = realClock }: WaysOutParts,
): GraphBackend {
  const { graphEndpoint, graphScope } = cloudOf(settings);
  return new GraphBackend({
    http,
    endpoint: graphEndpoint,
    scope: graphScope,
    message: {
      hostname: settings.SERVER_HOSTNAME,
      reencodeQuotedPrintable: settings.REENCODE_QUOTED_PRINTABLE,
      senders,
      limits: messageLimits(settings),
    },
    timeout: settings.GRAPH_HTTP_TIMEOUT,
    requestLimit: settings.GRAPH_REQUEST_LIMIT,
    concurrency: settings.GRAPH_CONCURRENCY,
    pacingTimeout: settings.PACING_TIMEOUT,
    deliveryTimeout: settings.DELIVERY_TIMEOUT,
    // Without the one that takes large messages, what Graph refuses goes by SMTP.
    largeMessages: settings.LARGE_MESSAGES === "upload" ? "upload" : "reject",
    stop,
    clock,
  });
}
