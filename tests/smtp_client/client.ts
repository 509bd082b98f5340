/** A client and messages for tests on sockets. */
import { Buffer } from "node:buffer";
import type {
  Login,
  MailServer,
  OutgoingMessage,
  SendOptions,
} from "../../src/smtp_client/mail_client.ts";

export const NO_LOGIN: Login = { type: "none" };

export function server(port: number, changes: Partial<MailServer> = {}): MailServer {
  return {
    hostname: "127.0.0.1",
    port,
    tls: "loopback",
    account: "account",
    limit: { connections: 3 },
    ...changes,
  };
}

export const TEXT = "Subject: x\r\n\r\n.a dot\r\n";

export function message(
  changes: Partial<OutgoingMessage> & { text?: string } = {},
): OutgoingMessage {
  const { text = TEXT, ...others } = changes;
  const content = Buffer.from(text, "latin1");
  return {
    from: "alice@example.com",
    recipients: ["bob@example.org"],
    content: [content],
    size: content.length,
    eightBit: false,
    smtputf8: false,
    ...others,
  };
}

export const OPTIONS: SendOptions = {
  waitTimeout: 3_600_000,
  timeout: 3_600_000,
  partlyRefused: "stop",
};
