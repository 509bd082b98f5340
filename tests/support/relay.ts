// A whole relay in this process, on a free port of the loopback, without TLS: the one place where tests
// start one that is no sandbox.

import { afterEach } from "node:test";
import { type Relay, type RelayParts, startRelay } from "../../src/commands/relay.ts";
import { createLog } from "../../src/observe/log.ts";
import type { Settings } from "../../src/settings/schema.ts";
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

export interface RelaySetup
  extends Partial<Omit<RelayParts, "settings" | "log" | "metrics" | "clock">> {
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
  /** Of its first SMTP address. */
  readonly port: number;
  /** What it logs, from DEBUG on. */
  readonly lines: readonly Line[];
  /** Those whose message begins so. */
  told(message: string): readonly Line[];
  stop(): Promise<void>;
}

export const SECRET = "S3cret-that-must-not-show";

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
    const { cloud, environment, settings, clock, ...parts } = setup;
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
    const relay = await startRelay({
      ...parts,
      ...(clock === undefined ? {} : { clock }),
      settings: { ...loaded, ...settings },
      log: createLog({
        level: "DEBUG",
        format: "json",
        write: (line) => void lines.push(JSON.parse(line)),
      }),
    });
    const stop = () => clock === undefined ? relay.stop() : clock.passUntil(relay.stop());
    // The clients leave first, so that it does not wait for them.
    this.#ends.unshift(stop);
    const { port } = relay.smtp[0]!;
    return {
      relay,
      port,
      lines,
      told: (message) => lines.filter((line) => line.message.startsWith(message)),
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
