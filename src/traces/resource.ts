// What the spans say about the relay that has made them.
// https://opentelemetry.io/docs/specs/semconv/resource/

import { randomUUID } from "node:crypto";
import metadata from "../../package.json" with { type: "json" };
import type { Resource } from "./otlp.ts";

/** @param hostname SERVER_HOSTNAME */
export function relayResource(hostname: string): Resource {
  const { name, version } = metadata;
  return {
    attributes: {
      "service.name": name,
      "service.version": version,
      // Another one after each start.
      "service.instance.id": randomUUID(),
      "host.name": hostname,
    },
    scope: { name, version },
  };
}
