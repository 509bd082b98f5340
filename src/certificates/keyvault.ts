// The certificate from Azure Key Vault: chain and private key are in the secret that has the
// certificate's name. https://learn.microsoft.com/azure/key-vault/certificates/about-certificates
//
// The key stays in memory. The permission to get secrets is enough.

import { Buffer } from "node:buffer";
import type { TokenCredential } from "@azure/core-auth";
import type { KeyVaultSecret, SecretClient } from "@azure/keyvault-secrets";
import type { AzureClientOptions } from "../azure/transport.ts";
import {
  assemble,
  type Certificate,
  CertificateError,
  certificatesIn,
  CertificateUnavailable,
  keysIn,
} from "./certificate.ts";
import { serviceCode } from "../service_text.ts";
import { explainVault, troubleOf } from "./keyvault_errors.ts";
import type { CertificateSource, ReadRequest, ReadResult } from "./source.ts";

/** Milliseconds between two reads: a change must be in use within 60 s. */
const INTERVAL = 45_000;
/** Milliseconds for one read, token and retries included. */
const TIMEOUT = 20_000;
/** An API version that every cloud has. */
const API_VERSION = "7.4";

export interface KeyVaultOptions {
  /** AZURE_KEY_VAULT_URL */
  readonly vault: URL;
  /** The certificate's. */
  readonly name: string;
  /** The setting that names it; AZURE_KEY_VAULT_CERT_NAME when left out. */
  readonly setting?: string;
  readonly credential: TokenCredential;
  /** How requests are sent and retried. */
  readonly client: AzureClientOptions;
  /**
   * The vault is an imitation on this machine. A real vault's name must match the resource that its
   * challenge asks a token for.
   */
  readonly imitated?: boolean;
  /** Milliseconds between two reads; 45 s when left out. */
  readonly interval?: number;
}

/** @throws CertificateUnavailable from `read`, if the vault does not return it */
export class KeyVaultSource implements CertificateSource {
  readonly name = "keyvault";
  readonly interval: number;
  readonly patience = 0;
  readonly #options: KeyVaultOptions;
  #client: SecretClient | undefined;

  constructor(options: KeyVaultOptions) {
    this.#options = options;
    this.interval = options.interval ?? INTERVAL;
  }

  async read({ known, signal }: ReadRequest): Promise<ReadResult | undefined> {
    const { vault, name, setting } = this.#options;
    const deadline = AbortSignal.timeout(TIMEOUT);
    let secret: KeyVaultSecret;
    try {
      this.#client ??= await this.#open();
      const abortSignal = AbortSignal.any([signal, deadline]);
      secret = await this.#client.getSecret(name, { abortSignal });
    } catch (error) {
      const late = deadline.aborted ? `no answer within ${TIMEOUT / 1000} seconds` : undefined;
      throw new CertificateUnavailable(
        `Key Vault ${vault.origin}: ${explainVault(error, name, late, setting)}`,
        troubleOf(error, late),
      );
    }
    // A version never changes its content.
    const { contentType } = secret.properties;
    const version = serviceCode(secret.properties.version) ?? "unknown";
    if (version === known) return undefined;
    const where = `Key Vault ${vault.origin}, certificate "${name}", version ${version}`;
    const certificate = await certificateOf(secret.value ?? "", contentType, where);
    return { certificate, revision: version, detail: { vault: vault.host, version } };
  }

  async #open(): Promise<SecretClient> {
    const { vault, credential, client, imitated = false } = this.#options;
    // Loaded only where a certificate comes from a vault.
    const { SecretClient } = await import("@azure/keyvault-secrets");
    return new SecretClient(vault.origin, credential, {
      ...client,
      serviceVersion: API_VERSION,
      ...(imitated
        ? { disableChallengeResourceVerification: true, allowInsecureConnection: true }
        : {}),
    });
  }
}

/** @param where names the place in errors */
async function certificateOf(
  value: string,
  contentType: string | undefined,
  where: string,
): Promise<Certificate> {
  // A certificate stored as a plain secret has no content type, so the text decides.
  const pem = value.includes("-----BEGIN ");
  const { certificates, keys } = pem
    ? { certificates: certificatesIn(value), keys: keysIn(value) }
    : await fromPkcs12(value, contentType, where);
  const [key] = keys;
  if (key === undefined) {
    throw new CertificateError(
      `${where}: it has no private key; make the certificate with an exportable key`,
    );
  }
  if (certificates.length === 0) throw new CertificateError(`${where}: it has no certificate`);
  return assemble(certificates, key, where);
}

async function fromPkcs12(value: string, contentType: string | undefined, where: string) {
  const { Pkcs12Error, readPkcs12 } = await import("./pkcs12.ts");
  try {
    return await readPkcs12(Buffer.from(value, "base64"));
  } catch (error) {
    if (!(error instanceof Pkcs12Error)) throw error;
    const type = contentType === undefined ? "no content type" : named(contentType);
    throw new CertificateError(
      `${where}: it ${error.message} (${type}); application/x-pkcs12 and application/x-pem-file can be read`,
    );
  }
}

/** A media type (RFC 6838 §4.2); the field may contain any text. */
function named(contentType: string): string {
  return /^[\w.+-]{1,64}\/[\w.+-]{1,64}$/.test(contentType) ? contentType : "another content type";
}
