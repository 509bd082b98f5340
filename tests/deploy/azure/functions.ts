/**
 * The functions of ARM templates that ours use (also under the same names in Bicep), for a subscription that
 * does not exist. https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
 */
import { createHash } from "node:crypto";

// deno-lint-ignore no-explicit-any -- templates have values of any type
export type Value = any;

const SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001";
const GROUP = `${SUBSCRIPTION}/resourceGroups/group`;
const hash = (texts: readonly unknown[]) =>
  createHash("sha256").update(JSON.stringify(texts)).digest("hex");

function uuid(...texts: unknown[]): string {
  const digits = hash(texts);
  return [[0, 8], [8, 12], [12, 16], [16, 20], [20, 32]].map(([from, to]) => digits.slice(from, to))
    .join("-");
}

function pathOf(type: string, names: readonly string[]): string {
  const [provider, ...segments] = type.split("/");
  if (provider === undefined || segments.length === 0 || segments.length !== names.length) {
    throw new Error(`${type} has not the names ${names}`);
  }
  if (names.some((name) => typeof name !== "string" || name === "")) {
    throw new Error(`a name of ${type} is empty`);
  }
  return `/providers/${provider}/${
    segments.map((segment, i) => `${segment}/${names[i]}`).join("/")
  }`;
}

/** What Azure knows about a resource once it is there. */
export function deployed(id: string): Value {
  const [, type, name] = /\/providers\/([^/]+\/[^/]+)\/([^/]+)$/.exec(id) ?? [];
  switch (type) {
    case "Microsoft.ManagedIdentity/userAssignedIdentities":
      return { principalId: uuid("principal", name), clientId: uuid("client", name) };
    case "Microsoft.App/managedEnvironments":
      return { staticIp: "10.80.0.4" };
    default:
      throw new Error(`nothing is known about ${id}`);
  }
}

export const FUNCTIONS: Readonly<Record<string, (...args: Value[]) => Value>> = {
  concat: (...parts) =>
    parts.every(Array.isArray) ? parts.flat() : parts.map((part) => String(part)).join(""),
  createArray: (...items) => items,
  createObject: (...pairs) =>
    Object.fromEntries(
      pairs.flatMap((key, i) => i % 2 === 0 ? [[key, pairs[i + 1]]] : []),
    ),
  empty: (value) => value.length === 0,
  environment: () => ({
    suffixes: {
      acrLoginServer: ".azurecr.io",
      keyvaultDns: ".vault.azure.net",
      storage: "core.windows.net",
    },
  }),
  extensionResourceId: (id, type, ...names) => id + pathOf(type, names),
  format: (text: string, ...values) =>
    text.replace(/\{(\d+)\}/g, (_, i) => {
      if (Number(i) >= values.length) throw new Error(`"${text}" has no value ${i}`);
      return String(values[Number(i)]);
    }),
  guid: uuid,
  json: (text) => JSON.parse(text),
  length: (value) => value.length,
  newGuid: () => uuid("new"),
  not: (value) => !value,
  reference: deployed,
  resourceGroup: () => ({ id: GROUP, location: "westeurope" }),
  resourceId: (type, ...names) => GROUP + pathOf(type, names),
  subscription: () => ({ id: SUBSCRIPTION, tenantId: uuid("tenant") }),
  subscriptionResourceId: (type, ...names) => SUBSCRIPTION + pathOf(type, names),
  take: (text, count) => text.slice(0, count),
  uniqueString: (...texts) => hash(texts).slice(0, 13),
};

/** A property that must be there. */
export function property(value: Value, name: string): Value {
  if (value === null || typeof value !== "object" || !(name in value)) {
    throw new Error(`there is no ${name} in ${JSON.stringify(value)}`);
  }
  return value[name];
}
