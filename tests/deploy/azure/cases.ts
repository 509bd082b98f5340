/** Parameters that the templates of deploy/azure are tried with. */
import type { Value } from "./functions.ts";

/** 32 octets in base64. */
export const QUEUE_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
export const SUBNET =
  "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/a";
export const hostname = "smtp.example.com";

export const CASES: Readonly<Record<string, Readonly<Record<string, Value>>>> = {
  "with all that is made": { hostname, certificatePem: "-----BEGIN PRIVATE KEY-----" },
  "with what is there": {
    hostname,
    vaultName: "vault",
    subnetId: SUBNET,
    registryName: "registry",
  },
  "with a queue": { hostname, vaultName: "vault", queue: true, queueKey: QUEUE_KEY },
  "on the internet": {
    hostname,
    vaultName: "vault",
    internal: false,
    allowedNetworks: ["192.0.2.1/32"],
  },
};
