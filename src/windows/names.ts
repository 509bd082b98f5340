// What the relay's service is called on Windows, and where its files are.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { win32 } from "node:path";

export const SERVICE = "smtp-oauth-relay";
export const DISPLAY_NAME = "SMTP OAuth relay";
export const DESCRIPTION = "Takes mail by SMTP and hands it to Microsoft Graph";
/** The virtual account of the service: exists as long as the service, has no password and no other rights. */
export const ACCOUNT = `NT SERVICE\\${SERVICE}`;
/** The program that the service manager starts: deploy/windows/service_host.c. */
export const HOST = `${SERVICE}-service.exe`;
export const RELAY = `${SERVICE}.exe`;
export const SETTINGS = "relay.env";

/** Seconds after which Windows stops counting failures, and the pauses before the restarts, milliseconds. */
export const FAILURE_RESET = 86_400;
export const RESTARTS = [10_000, 60_000, 600_000] as const;
/** Milliseconds that a shutdown of the machine waits: a little more than SHUTDOWN_TIMEOUT's 90 s. */
export const PRESHUTDOWN = 100_000;

/** The registry's key of the event log's source. */
export const EVENT_SOURCE =
  `SYSTEM\\CurrentControlSet\\Services\\EventLog\\Application\\${SERVICE}`;
/** Texts for the events 1 to 1000, each the one that is given with the event. */
export const EVENT_MESSAGES = "%SystemRoot%\\System32\\EventCreate.exe";
/** Errors, warnings and information (EVENTLOG_*_TYPE). */
export const EVENT_TYPES = 7;
/** The key by which the .msi package is known. */
export const PACKAGE = `SOFTWARE\\${SERVICE}`;
/** The value in it that says that an installation has made the folder of the data. It stays with the folder. */
export const DATA_MADE = "DataMade";

/** What the file for the settings says before somebody has written into it. */
export const SETTINGS_FILE = `# Settings of the relay, NAME=value in each line.
# Restart the service after a change: Restart-Service smtp-oauth-relay
# Relative paths start at the folder of this file. Only administrators and the service can read it.
LOG_LEVEL=INFO
SMTP_LISTEN=:25,:587
# The certificate is read from certs\\cert.pem and certs\\key.pem. Other places:
#TLS_CERT_FILEPATH=
#TLS_KEY_FILEPATH=
#SERVER_HOSTNAME=smtp.example.com
# The queue, which the service may write only in this folder:
#DELIVERY_MODE=queue
#QUEUE_URL=sqlite:queue\\queue.db
#QUEUE_KEY_FILE=queue.key
`.replaceAll("\n", "\r\n");

/**
 * The security identifier of a service: S-1-5-80 and the SHA-1 of its name in capitals, UTF-16, as five numbers
 * ([MS-DTYP] 2.4.2.4, NT_SERVICE). It can be granted access before the service exists, in any language.
 */
export function serviceSid(name: string): string {
  const hash = createHash("sha1").update(Buffer.from(name.toUpperCase(), "utf16le")).digest();
  const numbers = [0, 4, 8, 12, 16].map((offset) => hash.readUInt32LE(offset));
  return `S-1-5-80-${numbers.join("-")}`;
}

export interface Layout {
  /** The folder of the programs. */
  readonly programs: string;
  /** The folder of settings, certificates, log and queue. */
  readonly data: string;
}

/** @param environment of which `ProgramFiles` and `ProgramData` are read */
export function layoutOf(environment: Readonly<Record<string, string | undefined>>): Layout {
  const under = (name: string, otherwise: string) =>
    win32.join(environment[name] || otherwise, SERVICE);
  return {
    programs: under("ProgramFiles", "C:\\Program Files"),
    data: under("ProgramData", "C:\\ProgramData"),
  };
}
