/** Devices with a password of their own at a whole relay: their entries, and the relay's own credential. */
import type { EntrySource } from "../../src/accounts/entry_source.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import { requestToken } from "../../src/entra/msal.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { Secret } from "../../src/secret.ts";
import type { CloudServer } from "./cloud.ts";
import { httpClient } from "./http.ts";
import { CLIENT, TENANT } from "./logins.ts";
import { hashOf } from "./passwords.ts";

/** Nothing in them needs escaping, so that they are found wherever they are printed. */
export const DEVICE_PASSWORD = "D3vice-passw0rd-that-must-not-show";
export const RELAY_SECRET = "Relay-s3cret-that-must-not-show";

const IDS = { tenant_id: TENANT, client_id: CLIENT };
const HASH = hashOf(DEVICE_PASSWORD, "scrypt");
export const DEVICE = {
  ...IDS,
  credential: "certificate",
  password_hash: HASH,
  from_email: "scanner@example.com",
};
/** What must show nowhere. */
export const HIDDEN: readonly string[] = [
  DEVICE_PASSWORD,
  RELAY_SECRET,
  ...HASH.split("$").slice(-2),
];

export class DeviceWorld {
  /** By id; a test may change them. */
  readonly rows: Record<string, Record<string, unknown>>;
  /** What the relay's own credential gets instead of a token. */
  refusal: EntraRefusal | undefined;
  /** Token requests with it. */
  asked = 0;
  readonly #http: HttpClient = httpClient();
  readonly #cloud: CloudServer;

  constructor(cloud: CloudServer, rows: Record<string, Record<string, unknown>>) {
    this.#cloud = cloud;
    this.rows = rows;
  }

  get entries(): EntrySource {
    return {
      find: (id) => Promise.resolve(this.rows[id] && { id, columns: this.rows[id] }),
      findByClient: () =>
        Promise.resolve(Object.entries(this.rows).map(([id, columns]) => ({ id, columns }))),
    };
  }

  /** To be made for each relay. */
  tokens(): TokenSource {
    return new TokenSource({
      maxAge: 3_600_000,
      request: (credentials, scope) => {
        const own = "credential" in credentials;
        if (own) this.asked++;
        if (own && this.refusal !== undefined) return Promise.resolve(this.refusal);
        const secret = own ? new Secret(RELAY_SECRET) : credentials.clientSecret;
        const { authority: authorityHost } = this.#cloud;
        const options = { http: this.#http, authorityHost, scope, timeout: 10_000 };
        return requestToken(credentials, { type: "secret", secret }, options);
      },
    });
  }

  close(): void {
    this.#http.close();
  }
}
