// The sandbox's first message: sent through the relay's own port as any client would, with TLS and AUTH.
// The dialogue is kept for new users to read.

import { Buffer } from "node:buffer";
import { rfc5322Date } from "../message/received.ts";
import { type ConnectUpgradable, connectUpgradable } from "../runtime/upgradable.ts";
import { Secret } from "../secret.ts";
import type { DialogueObserver } from "../smtp_client/dialogue.ts";
import { SmtpClient } from "../smtp_client/smtp_client.ts";

export interface WelcomeOptions {
  readonly hostname: string;
  readonly port: number;
  /** The relay's certificate, PEM, for `localhost`; undefined if TLS is off. */
  readonly certificate: string | undefined;
  /** Whether the relay expects a PROXY header from this machine. */
  readonly proxied: boolean;
  readonly username: string;
  readonly password: string;
  /** Further lines of the message: where to look, what to do next. */
  readonly lines: readonly string[];
}

const TIMEOUT_MS = 15_000;
const FROM = "sandbox@example.com";
const TO = "you@example.org";

/**
 * Sends the message.
 *
 * @returns the dialogue, one line each, with `C:` and `S:` in front, the password masked
 * @throws Error with the unexpected reply
 */
export async function sendWelcome(options: WelcomeOptions): Promise<readonly string[]> {
  const { hostname, port, certificate, proxied, username, password, lines } = options;
  const dialogue: string[] = [];
  const client = new SmtpClient({
    name: "newcomer.example.com",
    authorities: certificate === undefined ? [] : [certificate],
    connect: connectTo(hostname, proxied, dialogue),
    observer: noting(dialogue),
  });
  const content = Buffer.from(message(lines));
  const result = await client.send(
    {
      // As in the certificate, wherever the relay listens.
      hostname: "localhost",
      port,
      tls: certificate === undefined ? "loopback" : "starttls",
      account: username,
      limit: { connections: 1 },
    },
    { type: "password", username, password: new Secret(password) },
    {
      from: FROM,
      recipients: [TO],
      content: [content],
      size: content.length,
      eightBit: false,
      smtputf8: false,
    },
    { waitTimeout: TIMEOUT_MS, timeout: TIMEOUT_MS, partlyRefused: "stop" },
  );
  await client.close();
  if (result.type === "accepted") return dialogue;
  if (result.type === "failed") throw new Error(result.message);
  const { code, enhanced, text } = result.reply;
  throw new Error(`the relay answered "${[code, enhanced, text].filter(Boolean).join(" ")}"`);
}

/** Connects to an address of the relay, with a header of the PROXY protocol if it expects one. */
function connectTo(address: string, proxied: boolean, dialogue: string[]): ConnectUpgradable {
  return (target, handler) => {
    let isNew = true;
    const connection = connectUpgradable({ ...target, address }, {
      connected() {
        if (isNew && proxied) {
          // From a proxy itself, for no client (proxy-protocol.txt §2.1).
          dialogue.push("C: PROXY UNKNOWN");
          connection.write("PROXY UNKNOWN\r\n");
        }
        isNew = false;
        handler.connected();
      },
      data: (octets) => handler.data(octets),
      drained: () => handler.drained(),
      closed: (error) => handler.closed(error),
    });
    return connection;
  };
}

/** Notes what both sides say. */
function noting(dialogue: string[]): DialogueObserver {
  return {
    said(text) {
      const shown = text.replace("(credentials)", "(username and secret in base64)");
      for (const line of shown.split("\r\n")) dialogue.push(`C: ${line}`);
    },
    heard({ code, lines }) {
      const isHandshake = dialogue.at(-1) === "C: STARTTLS" && code === 220;
      for (const [i, line] of lines.entries()) {
        dialogue.push(`S: ${code}${i < lines.length - 1 ? "-" : " "}${line}`);
      }
      if (isHandshake) dialogue.push("   (TLS handshake)");
    },
  };
}

function message(lines: readonly string[]): string {
  return [
    `Date: ${rfc5322Date(new Date())}`,
    `From: The sandbox <${FROM}>`,
    `To: <${TO}>`,
    "Subject: Welcome: the relay relays",
    `Message-ID: <${crypto.randomUUID()}@example.com>`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "",
    "This message arrived over SMTP, with a login. The relay exchanged the login for a token at a",
    "simulated Entra ID, and handed the message to a simulated Microsoft Graph. Your devices' mail",
    "will take the same path.",
    "",
    ...lines,
    "",
  ].join("\r\n");
}
