import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ServiceUrl } from "../../src/http/service_url.ts";

const PARTS = [
  "href",
  "origin",
  "protocol",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
] as const;

describe("a service's URL", () => {
  const services = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us:8443/",
    "http://127.0.0.1:8080/graph",
    "http://[::1]:8080/deep/er//",
  ];
  for (const service of services) {
    it(`is one of ${service} with a path, as URL would have it`, () => {
      const url = new ServiceUrl(new URL(service));
      const { href } = url;
      assert(!href.endsWith("/"));
      for (
        const sender of ["ann@example.com", "o'hara+x!~*(1)@example.com", "jürgen@example.com"]
      ) {
        const path = `/v1.0/users/${encodeURIComponent(sender)}/sendMail`;
        const made = url.at(path);
        const parsed = new URL(href + path);
        for (const part of PARTS) assert.equal(made[part], parsed[part], part);
      }
    });
  }
});
