// The sandbox's devices without secrets: entries whose passwords the relay verifies itself, and for which it
// logs in with a certificate of its own. Their passwords are shown to everybody, so that they can be tried.

import type { Row } from "../accounts/entry.ts";

export interface SandboxDevice {
  readonly username: string;
  readonly password: string;
  /** What it may send as, for people. */
  readonly sender: string;
}

interface DeviceEntry extends SandboxDevice {
  /** Of the password, precomputed: scrypt would delay the start. */
  readonly hash: string;
  readonly columns: Readonly<Record<string, string>>;
}

const DEVICES: readonly DeviceEntry[] = [
  {
    username: "printer",
    // As `lookup set-password` makes them.
    password: "N4kT7mhVd3YjfaR9pXe6WUrn",
    hash: "$sha256$c2FuZGJveCBwcmludGVyIQ$CLsDaTZZJoKMyXb4MyZUDd4Ht2b7q8+VWdRp5DcTXJU",
    columns: { from_email: "printer@example.com", from_name: "Printer" },
    sender: "printer@example.com, whatever the message says",
  },
  {
    username: "copier@printers.example",
    password: "a-password-of-your-choice",
    hash:
      "$scrypt$ln=14,r=8,p=1$c2FuZGJveCBjb3BpZXIhIQ$0QV0toNTAUcaE2Ovnu7DmoVxWOJlHkexoU06DCVOBkM",
    columns: { allowed_senders: "@example.com" },
    sender: "any address at example.com",
  },
];

export const SANDBOX_DEVICES: readonly SandboxDevice[] = DEVICES.map(
  ({ username, password, sender }) => ({ username, password, sender }),
);

/** The entries of the imitated lookup table, for an app. */
export function deviceRows(app: { readonly tenantId: string; readonly clientId: string }): Row[] {
  return DEVICES.map(({ username, hash, columns }) => ({
    id: username,
    columns: {
      tenant_id: app.tenantId,
      client_id: app.clientId,
      ...columns,
      password_hash: hash,
      credential: "certificate",
    },
  }));
}
