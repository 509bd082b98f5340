// An access token and its roles.

import { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";
import { serviceCode } from "../service_text.ts";

/** The application permission that sendMail needs, as the `roles` claim names it. */
export const MAIL_SEND = "Mail.Send";

/** The same for Exchange Online by SMTP. RBAC for Applications needs none. */
export const SMTP_SEND = "SMTP.SendAsApp";

export interface AccessToken {
  readonly value: Secret;
  /** Milliseconds of the monotonic clock, so that setting the machine's time changes nothing. */
  readonly fetchedAt: number;
  readonly expiresAt: number;
  /** Application permissions; empty where the token cannot be read. */
  readonly roles: readonly string[];
}

/**
 * Reads the `roles` of a token, for diagnosis only: Graph decides whether the token is good. An app
 * whose permission comes from RBAC for Applications sends mail with a token that has no role.
 */
export function rolesOf(token: string): readonly string[] {
  const payload = token.split(".")[1];
  if (payload === undefined) return [];
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    const roles = (claims as { roles?: unknown } | null)?.roles;
    return Array.isArray(roles)
      ? roles.filter((role): role is string => serviceCode(role) !== undefined)
      : [];
  } catch {
    return [];
  }
}
