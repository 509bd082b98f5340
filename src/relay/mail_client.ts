// The SMTP client of the ways out, with the authorities and the proxy of the settings. It is loaded with the
// first message that goes by SMTP.

import type { Settings } from "../settings/schema.ts";
import type { MailClient, ProbeOptions } from "../smtp_client/mail_client.ts";
import { proxyFor } from "./http_client.ts";

/** @param authorities those of EXTRA_CA_CERTS_FILEPATH, PEM, one each */
export function mailClient(settings: Settings, authorities: readonly string[]): MailClient {
  let loaded: Promise<MailClient> | undefined;
  const load = () =>
    loaded ??= import("../smtp_client/smtp_client.ts").then(({ SmtpClient }) =>
      new SmtpClient({
        name: settings.SERVER_HOSTNAME,
        authorities,
        proxyFor: (hostname, port) => proxyFor(settings, hostname, port),
      })
    );
  return {
    send: async (...message) => await (await load()).send(...message),
    probe: async (server, login, options: ProbeOptions) =>
      await (await load()).probe(server, login, options),
    close: async () => await (await loaded)?.close(),
  };
}
