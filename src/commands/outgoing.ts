// The HTTP client of commands that ask a service.

import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError } from "../certificates/certificate.ts";
import { CommandError, EXIT } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { outgoingClient, type ProxySettings } from "../relay/http_client.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Settings } from "../settings/schema.ts";

/** @throws CommandError 78 if the authorities cannot be read */
export async function outgoingHttp(
  settings: ProxySettings & Pick<Settings, "EXTRA_CA_CERTS_FILEPATH">,
): Promise<HttpClient> {
  const runtime = await currentRuntime();
  try {
    return outgoingClient(settings, runtime, readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH));
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw new CommandError(EXIT.config, error.lines);
  }
}
