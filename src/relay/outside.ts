// Prepares what the relay needs from outside of the program: authorities to trust, proxy, certificate, and
// its own credentials towards Entra ID.

import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError, CertificateUnavailable } from "../certificates/certificate.ts";
import { CertificateManager } from "../certificates/certificate_manager.ts";
import type { CertificateSource } from "../certificates/source.ts";
import type { CredentialName } from "../entra/app_credentials.ts";
import { CommandError, EXIT, type ExitStatus } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import type { LevelLog } from "../observe/log.ts";
import type { Notify } from "../observe/relay_event.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { formatListenAddress } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";
import { certificateSource } from "./certificate_source.ts";
import type { MailClient } from "../smtp_client/mail_client.ts";
import { outgoingClient, proxyIn } from "./http_client.ts";
import { mailClient } from "./mail_client.ts";
import { type OpenCredentials, openCredentials } from "./relay_credentials.ts";

export interface Outside {
  /** The client of all outgoing requests. */
  readonly client: HttpClient;
  /** The client of the ways out by SMTP. */
  readonly mail: MailClient;
  /** Undefined if TLS is off. */
  readonly tls: CertificateManager | undefined;
  readonly own: OpenCredentials;
}

export interface OutsideParts {
  readonly settings: Settings;
  readonly log: LevelLog;
  readonly notify: Notify;
  readonly runtime: Runtime;
  /** Replaces the certificate of the settings, unless TLS is off. */
  readonly certificates: CertificateSource | undefined;
  /** Replaces the relay's own certificate for Entra ID of the settings. */
  readonly clientCertificates?: CertificateSource | undefined;
  /** Called when one of the relay's own credentials has been renewed. */
  readonly renewed?: (name: CredentialName) => void;
}

/** @throws CommandError with all problems at once; nothing stays open then */
export async function openOutside(parts: OutsideParts): Promise<Outside> {
  const { settings, log, notify, runtime, certificates } = parts;
  const problems: string[] = [];
  let status: ExitStatus = EXIT.unavailable;
  const note = (error: unknown) => {
    if (!(error instanceof CertificateError)) throw error;
    problems.push(...error.lines);
    if (!(error instanceof CertificateUnavailable)) status = EXIT.config;
  };
  const noteOr = (error: unknown, close: () => void) => {
    if (!(error instanceof CertificateError)) close();
    note(error);
  };
  let authorities: readonly string[] = [];
  try {
    authorities = readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH);
  } catch (error) {
    note(error);
  }
  const client = outgoingClient(settings, runtime, authorities);
  const proxy = proxyIn(settings);
  if (proxy !== undefined) {
    log.info("Outgoing connections use the proxy", { proxy: formatListenAddress(proxy) });
  }
  let tls: CertificateManager | undefined;
  try {
    const source = await sourceFor(settings, client, certificates, problems.length > 0);
    if (source !== undefined) {
      tls = await CertificateManager.open({ source, settings, runtime, notify });
    }
  } catch (error) {
    noteOr(error, () => client.close());
  }
  let own: OpenCredentials | undefined;
  try {
    const { clientCertificates, renewed = () => {} } = parts;
    // No vault without the authorities, as above.
    if (problems.length === 0 || settings.AZURE_KEY_VAULT_CLIENT_CERT_NAME === undefined) {
      own = await openCredentials({
        settings,
        http: client,
        notify,
        renewed,
        certificates: clientCertificates,
      });
    }
  } catch (error) {
    noteOr(error, () => {
      tls?.close();
      client.close();
    });
  }
  if (problems.length === 0 && own !== undefined) {
    return { tls, own, client, mail: mailClient(settings, authorities) };
  }
  own?.credentials.close();
  tls?.close();
  client.close();
  throw new CommandError(status, problems);
}

/** @param alone no vault: without the authorities it would add a second, misleading error line */
async function sourceFor(
  settings: Settings,
  client: HttpClient,
  given: CertificateSource | undefined,
  alone: boolean,
): Promise<CertificateSource | undefined> {
  if (settings.TLS_SOURCE === "off") return undefined;
  if (given !== undefined) return given;
  if (settings.TLS_SOURCE === "keyvault" && alone) return undefined;
  return await certificateSource(settings, client);
}
