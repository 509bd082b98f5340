// A whole relay in this process, on a free port of the loopback, without TLS: the one place where tests
// start one that is no sandbox.

import { afterEach } from "node:test";
import { type Relay, type Replacements, startRelay } from "../../src/relay/relay.ts";
import { openStatusPage } from "../../src/commands/status_page.ts";
import { createLog, type LevelLog } from "./log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { openHttp } from "../../src/relay/http.ts";
import type { Settings } from "../../src/settings/schema.ts";
import { NO_SOCKETS } from "../../src/systemd/sockets.ts";
import type { FakeClock } from "./fake_clock.ts";
import { type Layers, layers } from "./layers.ts";
import { USERNAME } from "./logins.ts";
import { settingsOf } from "./settings.ts";

/** A line of the log. */
export interface Line {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface RelaySetup extends Omit<Replacements, "clock"> {
  /** The services that it logs in and sends with. */
  readonly cloud: { readonly authority: URL; readonly endpoint: URL };
  readonly environment?: Readonly<Record<string, string>>;
  /** What no environment can say. */
  readonly settings?: Partial<Settings>;
  readonly clock?: FakeClock | undefined;
}

/** Logs in with {@link USERNAME} and a secret that the imitated Entra ID takes. */
export interface TestRelay extends Layers {
  readonly relay: Relay;
  /** Of its HTTP server, without a slash at the end; undefined where HTTP_LISTEN is off. */
  readonly url: string | undefined;
  /** Of its first SMTP address. */
  readonly port: number;
  /** What it logs, from DEBUG on. */
  readonly lines: readonly Line[];
  /** Those whose message begins so. */
  linesOf(message: string): readonly Line[];
  stop(): Promise<void>;
}

export const SECRET = "S3cret-that-must-not-show";

/** Starts a relay, with its HTTP server where the settings ask for one. */
export async function openRelay(
  settings: Settings,
  log: LevelLog,
  replaced: Replacements = {},
): Promise<{ readonly relay: Relay; readonly url: string | undefined }> {
  const metrics = new Metrics();
  const sockets = NO_SOCKETS.http;
  const http = await openHttp({ settings, log, metrics, sockets, optional: false });
  const page = http && openStatusPage({ http, settings, given: new Set(), variables: {} });
  const { status } = page ?? {};
  const relay = await startRelay({ settings, log, metrics, http, replaced, status });
  return { relay, url: http && `http://127.0.0.1:${http.addresses[0]!.port}` };
}

/** Relays and their clients for a suite; after each test they end. */
export class TestRelays {
  readonly #ends: (() => void | Promise<void>)[] = [];

  constructor() {
    afterEach(() => this.#end());
  }

  /** @param client to destroy after the test */
  keep<Client extends { destroy(): void }>(client: Client): Client {
    this.#ends.push(() => client.destroy());
    return client;
  }

  async start(setup: RelaySetup): Promise<TestRelay> {
    const { cloud, environment, settings, clock, ...others } = setup;
    const loaded = settingsOf({
      SMTP_LISTEN: "127.0.0.1:0",
      HTTP_LISTEN: "off",
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
      ...environment,
    });
    const lines: Line[] = [];
    const log = createLog({
      level: "DEBUG",
      format: "json",
      write: (line) => void lines.push(JSON.parse(line)),
    });
    const { relay, url } = await openRelay({ ...loaded, ...settings }, log, {
      ...others,
      ...(clock === undefined ? {} : { clock }),
    });
    const stop = () => clock === undefined ? relay.stop() : clock.passUntil(relay.stop());
    // The clients leave first, so that it does not wait for them.
    this.#ends.unshift(stop);
    const { port } = relay.addresses.smtp[0]!;
    return {
      relay,
      url,
      port,
      lines,
      linesOf: (message) => lines.filter((line) => line.message.startsWith(message)),
      stop,
      ...layers(port, {
        username: USERNAME,
        password: SECRET,
        keep: (client) => this.keep(client),
      }),
    };
  }

  async #end(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}
