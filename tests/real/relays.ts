// The relay under test: the program that is shipped, started with the settings of a run, and mail by
// nodemailer.

import type { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTransport } from "nodemailer";
import { bitsOf, hashOf, makePassword, STANDARD_LENGTH } from "../../src/accounts/made_password.ts";
import { type Relay, run, serve, SHIPPED } from "../end_to_end/programs.ts";
import type { RealSettings } from "./settings.ts";

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly raw: Buffer;
}

/** The relay's last reply to a message, and milliseconds until it came. */
export interface Sent {
  readonly reply: string;
  readonly took: number;
}

export type Variables = Readonly<Record<string, string>>;

/** Relays by their settings; each is started when it is first asked for. */
export class Relays {
  readonly #settings: RealSettings;
  readonly #variables: Variables;
  /** For files of this run; it is removed in the end. */
  readonly folder = mkdtempSync(join(tmpdir(), "relay-real-"));
  readonly #running = new Map<string, Promise<Relay>>();
  #login: Promise<{ user: string; pass: string }> | undefined;

  /** @param variables for all of them, such as a proxy that this network needs */
  constructor(settings: RealSettings, variables: Variables) {
    this.#settings = settings;
    this.#variables = variables;
  }

  async send(mail: Mail, variables: Variables = {}): Promise<Sent> {
    const { smtp } = await this.#relay(variables);
    return await submit(mail, `smtp://127.0.0.1:${smtp}`, await this.#credentials());
  }

  /** A login that is refused, or succeeds: its reply. */
  async logIn(user: string, pass: string): Promise<string> {
    const { smtp } = await this.#relay({});
    const transport = createTransport({ host: "127.0.0.1", port: smtp, auth: { user, pass } });
    try {
      await transport.verify();
      return "235";
    } catch (error) {
      return replyOf(error);
    } finally {
      transport.close();
    }
  }

  /** Another command of the program, to its end. */
  async command(
    args: readonly string[],
    variables: Variables = {},
  ): Promise<{ readonly stdout: string; readonly stderr: string }> {
    const running = run(SHIPPED, args, { ...await this.#environment(), ...variables });
    await running.exited;
    return running;
  }

  /** Arguments with which `check` logs in. */
  async checkLogin(): Promise<readonly string[]> {
    const { user, pass } = await this.#credentials();
    const file = join(this.folder, "password");
    writeFileSync(file, pass, { mode: 0o600 });
    return ["--username", user, "--password-file", file];
  }

  async stop(): Promise<void> {
    const relays = await Promise.allSettled(this.#running.values());
    for (const relay of relays) {
      if (relay.status === "fulfilled") await relay.value.running.stop();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #relay(variables: Variables): Promise<Relay> {
    const key = JSON.stringify(variables);
    let relay = this.#running.get(key);
    if (relay === undefined) {
      relay = this.#environment().then((common) => serve(SHIPPED, { ...common, ...variables }));
      this.#running.set(key, relay);
    }
    return relay;
  }

  /** With a certificate, the relay's own, an entry of the lookup stands for the app. */
  #credentials(): Promise<{ user: string; pass: string }> {
    const { tenant, app, mailboxes } = this.#settings;
    return this.#login ??= "secret" in app
      ? Promise.resolve({ user: `${tenant}@${app.clientId}`, pass: app.secret })
      : (async () => {
        const pass = makePassword(STANDARD_LENGTH);
        const entry = {
          tenant_id: tenant,
          client_id: app.clientId,
          allowed_senders: Object.values(mailboxes).join(","),
          credential: "certificate",
          password_hash: await hashOf(pass, bitsOf(STANDARD_LENGTH)),
        };
        writeFileSync(this.#lookup, JSON.stringify({ real: entry }), { mode: 0o600 });
        return { user: "real", pass };
      })();
  }

  get #lookup(): string {
    return join(this.folder, "lookup.json");
  }

  async #environment(): Promise<Variables> {
    await this.#credentials();
    const { tenant, app, cloud = "public", imitation } = this.#settings;
    return {
      ...this.#variables,
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      HTTP_LISTEN: "off",
      LOG_LEVEL: "INFO",
      ALLOWED_TENANTS: tenant,
      AZURE_CLOUD: cloud,
      MAX_MESSAGE_SIZE: "60m",
      MAX_MEMORY: "512m",
      DELIVERY_TIMEOUT: "9m",
      ...("secret" in app ? {} : {
        LOOKUP_FILE: this.#lookup,
        CLIENT_CERTIFICATE_FILEPATH: app.certificate,
        CLIENT_KEY_FILEPATH: app.key,
      }),
      ...(imitation === undefined ? {} : {
        AZURE_AUTHORITY_HOST: imitation.authority,
        GRAPH_ENDPOINT: imitation.graph,
      }),
    };
  }
}

/** Milliseconds: a large message takes a while to be uploaded. */
const SILENCE = 600_000;

/** Sends a message to an SMTP server. @param url `smtp://HOST:PORT`: STARTTLS, but for the loopback */
export async function submit(
  { from, to, raw }: Mail,
  url: string,
  auth: { user: string; pass: string } | { type: "OAuth2"; user: string; accessToken: string },
): Promise<Sent> {
  const { hostname, port } = new URL(url);
  const transport = createTransport({
    host: hostname,
    port: Number(port),
    requireTLS: hostname !== "127.0.0.1",
    socketTimeout: SILENCE,
    auth,
  });
  const begun = performance.now();
  const took = () => performance.now() - begun;
  try {
    const { response } = await transport.sendMail({ envelope: { from, to: [...to] }, raw });
    return { reply: response, took: took() };
  } catch (error) {
    return { reply: replyOf(error), took: took() };
  } finally {
    transport.close();
  }
}

function replyOf(error: unknown): string {
  const { response, code, message } = error as {
    response?: string;
    code?: string;
    message?: string;
  };
  return (response ?? `no reply: ${code ?? message}`).replaceAll("\n", " ");
}
