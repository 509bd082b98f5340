// Clients of a server in layers: each begins where the one before ends.

import assert from "node:assert/strict";
import { SmtpClient } from "../end_to_end/smtp_client.ts";

export interface LayerOptions {
  /** 127.0.0.1 when left out. */
  readonly host?: string;
  /** TLS from the first octet (RFC 8314). */
  readonly implicitTls?: boolean;
  /** The default username. */
  readonly username: string;
  readonly password: string;
  /** Has each client destroyed after the test. */
  keep(client: SmtpClient): SmtpClient;
}

export interface Layers {
  /** A client that has read nothing yet. @param tls from the first octet */
  connect(tls?: boolean): SmtpClient;
  /** … that has read the greeting. */
  greeted(): Promise<SmtpClient>;
  /** … that has sent EHLO. */
  ehlo(): Promise<SmtpClient>;
  /** … that has logged in. */
  authed(username?: string, password?: string): Promise<SmtpClient>;
  /** … whose message's content comes next. */
  sending(): Promise<SmtpClient>;
}

export function layers(port: number, options: LayerOptions): Layers {
  const { host = "127.0.0.1", implicitTls = false, keep } = options;
  const connect = (tls = implicitTls) => keep(new SmtpClient(port, host, tls));
  const greeted = async () => {
    const client = connect();
    assert.match(await client.reply(), /^220 /);
    return client;
  };
  const ehlo = async () => {
    const client = await greeted();
    assert.match(await client.say("EHLO client.example"), /^250/);
    return client;
  };
  const authed = async (username = options.username, password = options.password) => {
    const client = connect();
    assert.match(await client.login(username, password), /^235 /);
    return client;
  };
  const sending = async () => {
    const client = await authed();
    assert.match(await client.say("MAIL FROM:<a@example.com>"), /^250/);
    assert.match(await client.say("RCPT TO:<b@example.org>"), /^250/);
    assert.match(await client.say("DATA"), /^354/);
    return client;
  };
  return { connect, greeted, ehlo, authed, sending };
}
