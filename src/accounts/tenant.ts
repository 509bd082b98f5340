// A tenant's names: its id, or one of its domains.

import { parseId } from "./username.ts";

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_DOMAIN = 253;

/** A tenant's id as a UUID in lower case, or a domain in lower case; undefined for what is neither. */
export function parseTenant(text: string): string | undefined {
  const id = parseId(text);
  if (id !== undefined) return id;
  const domain = text.toLowerCase();
  if (domain.length > MAX_DOMAIN || !domain.includes(".")) return undefined;
  return domain.split(".").every((label) => LABEL.test(label)) ? domain : undefined;
}

/** Whether {@link parseTenant} gave a domain, which only Entra ID knows the tenant of. */
export function isDomain(tenant: string): boolean {
  return tenant.includes(".");
}
