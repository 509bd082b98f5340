// How the imitated Entra ID verifies a client assertion, in place of a secret: one that the key of a
// registered certificate signs, or a token of another issuer, which a federated credential of the app names.
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation

import { Buffer } from "node:buffer";
import { constants, createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import { LRUCache } from "lru-cache";

/** What an app trusts besides secrets. */
export interface RegisteredApp {
  /** PEM. */
  readonly certificates?: readonly string[];
  readonly federated?: readonly FederatedCredential[];
}

export interface FederatedCredential {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  /** The issuer's public key, PEM. The real one reads it from the issuer's own metadata. */
  readonly issuerKey: string;
}

export interface AssertionRequest {
  readonly form: URLSearchParams;
  readonly client: string;
  /** The address of the request, without a query. */
  readonly endpoint: string;
  readonly app: RegisteredApp;
}

/** The number of the AADSTS code, and its description. */
export type AssertionFault = readonly [number: number, description: string];

/** RFC 7523 §2.2. */
const TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** Seconds by which clocks may differ. */
const SKEW = 300;
/** Seconds that an assertion of the app's own may be good for. The real one has no limit here. */
const LONGEST = 3600;
/** Assertions that are remembered, so that none is used twice. */
const MAX_REMEMBERED = 20_000;

interface Jwt {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signed: string;
  readonly signature: Uint8Array;
}

export class ClientAssertions {
  /** The `jti` of those that were accepted, by app. */
  readonly #used = new LRUCache<string, true>({ max: MAX_REMEMBERED });

  /** @returns undefined if it proves that the request is the app's */
  faultOf({ form, client, endpoint, app }: AssertionRequest): AssertionFault | undefined {
    if (form.get("client_assertion_type") !== TYPE) return FAULTS.malformed;
    const jwt = parse(form.get("client_assertion") ?? "");
    if (jwt === undefined) return FAULTS.malformed;
    const { iss } = jwt.claims;
    if (typeof iss === "string" && iss.toLowerCase() !== client.toLowerCase()) {
      return federatedFault(jwt, app.federated ?? []);
    }
    const fault = ownFault(jwt, client, endpoint, app.certificates ?? []);
    if (fault !== undefined) return fault;
    const { jti } = jwt.claims;
    if (typeof jti !== "string" || jti === "") return FAULTS.malformed;
    const key = `${client} ${jti}`.toLowerCase();
    // The real one seems not to remember them; RFC 7523 §3 (7) lets it.
    if (this.#used.has(key)) return FAULTS.replayed;
    this.#used.set(key, true);
    return undefined;
  }
}

const FAULTS = {
  malformed: [50027, "JWT token is invalid or malformed."],
  replayed: [50027, "JWT token has been used before (jti)."],
  unregistered: [
    700027,
    "The certificate with identifier used to sign the client assertion is not registered on " +
    "application. [Reason - The key was not found.]",
  ],
  ended: [700027, "Client assertion failed signature validation. [Reason - The key was expired.]"],
  signature: [700027, "Client assertion failed signature validation."],
  client: [700021, "Client assertion application identifier doesn't match 'client_id' parameter."],
  audience: [700023, "Client assertion audience claim does not match Realm issuer."],
  time: [700024, "Client assertion is not within its valid time range."],
  noRecord: [70021, "No matching federated identity record found for presented assertion."],
  noIssuer: [700211, "No matching federated identity record found for presented assertion issuer."],
  noAudience: [
    700212,
    "No matching federated identity record found for presented assertion audience.",
  ],
  noSubject: [
    700213,
    "No matching federated identity record found for presented assertion subject.",
  ],
  foreignSignature: [50013, "Assertion failed signature validation."],
} as const satisfies Readonly<Record<string, AssertionFault>>;

/** Of an assertion that the app itself makes. */
function ownFault(
  jwt: Jwt,
  client: string,
  endpoint: string,
  certificates: readonly string[],
): AssertionFault | undefined {
  const certificate = certificates.map((pem) => new X509Certificate(pem))
    .find((one) => isNamed(one, jwt));
  if (certificate === undefined) return FAULTS.unregistered;
  if (!isSigned(jwt, certificate.publicKey.export({ format: "pem", type: "spki" }).toString())) {
    return FAULTS.signature;
  }
  const now = Date.now();
  if (Date.parse(certificate.validTo) <= now || Date.parse(certificate.validFrom) > now) {
    return FAULTS.ended;
  }
  const { aud, sub } = jwt.claims;
  // The token endpoint of the tenant, or its issuer.
  if (aud !== endpoint && aud !== endpoint.replace(/\/oauth2\/v2\.0\/token$/, "/v2.0")) {
    return FAULTS.audience;
  }
  if (typeof sub !== "string" || sub.toLowerCase() !== client.toLowerCase()) return FAULTS.client;
  return timeFault(jwt, LONGEST);
}

/** `x5t#S256` is of SHA-256, the older `x5t` of SHA-1 (RFC 7515 §4.1.7, §4.1.8). */
function isNamed({ raw }: X509Certificate, { header }: Jwt): boolean {
  const digest = (name: string) => createHash(name).update(raw).digest("base64url");
  if (header["x5t#S256"] !== undefined) return header["x5t#S256"] === digest("sha256");
  return header["x5t"] === digest("sha1");
}

/** PS256 or RS256 (RFC 7518 §3.3, §3.5). */
function isSigned({ header: { alg }, signed, signature }: Jwt, key: string): boolean {
  const padding = alg === "PS256"
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    : alg === "RS256"
    ? { padding: constants.RSA_PKCS1_PADDING }
    : undefined;
  if (padding === undefined) return false;
  const octets = Buffer.from(signed, "utf8");
  return verify("sha256", octets, { key: createPublicKey(key), ...padding }, signature);
}

/** Of another issuer's token. */
function federatedFault(
  jwt: Jwt,
  credentials: readonly FederatedCredential[],
): AssertionFault | undefined {
  const { iss, sub, aud } = jwt.claims;
  if (credentials.length === 0) return FAULTS.noRecord;
  const ofIssuer = credentials.filter(({ issuer }) => issuer === iss);
  if (ofIssuer.length === 0) return FAULTS.noIssuer;
  const ofSubject = ofIssuer.filter(({ subject }) => subject === sub);
  if (ofSubject.length === 0) return FAULTS.noSubject;
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  const found = ofSubject.find(({ audience }) => audiences.includes(audience));
  if (found === undefined) return FAULTS.noAudience;
  if (!isSigned(jwt, found.issuerKey)) return FAULTS.foreignSignature;
  return timeFault(jwt);
}

/** @param longest seconds from `nbf` to `exp` */
function timeFault({ claims }: Jwt, longest = Infinity): AssertionFault | undefined {
  const { exp, nbf, iat } = claims;
  const now = Date.now() / 1000;
  const from = nbf ?? iat;
  if (typeof exp !== "number" || typeof from !== "number") return FAULTS.time;
  const good = now < exp + SKEW && now >= from - SKEW && exp - from <= longest;
  return good ? undefined : FAULTS.time;
}

/** RFC 7515 §7.1. */
function parse(token: string): Jwt | undefined {
  const segments = token.split(".");
  if (segments.length !== 3 || !segments.every((one) => /^[A-Za-z0-9_-]+$/.test(one))) {
    return undefined;
  }
  const [header, claims] = segments.map(objectIn);
  if (header === undefined || claims === undefined) return undefined;
  const signed = `${segments[0]}.${segments[1]}`;
  return { header, claims, signed, signature: Buffer.from(segments[2]!, "base64url") };
}

function objectIn(segment: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null
      ? value as Record<string, unknown>
      : undefined;
  } catch {
    return undefined;
  }
}
