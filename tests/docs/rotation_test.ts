/** docs/rotation.md: no secret is forgotten there, and its tests exist. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { SETTINGS } from "../../src/settings/schema.ts";
import type { Setting } from "../../src/settings/setting.ts";

const ROOT = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/rotation.md", ROOT), "utf8");

describe("rotation.md", () => {
  const secrets = Object.entries(SETTINGS as Record<string, Setting<unknown>>)
    .filter(([, { secret }]) => secret === true).map(([name]) => name);

  it("has every setting that is a secret", () => {
    assert.ok(secrets.length >= 10);
    assert.deepEqual(secrets.filter((name) => !page.includes(`\`${name}\``)), []);
  });

  it("says how many days before its end each certificate is reported, as the alerts do", () => {
    const alerts = readFileSync(new URL("deploy/monitoring/alerts.yaml", ROOT), "utf8");
    const days = [
      ...alerts.matchAll(
        /(?:certificate|credential)_expires_timestamp_seconds - time\(\) < (\d+) \* 86400/g,
      ),
    ]
      .map(([, number]) => number!);
    assert.equal(days.length, 2);
    const [tls, login] = days;
    const words = page.replace(/\s+/g, " ");
    assert.ok(
      words.includes(
        `of TLS from ${tls} days before its end, of the login to Entra ID from ${login}`,
      ),
    );
  });

  it("names tests that exist", () => {
    const paths = [...page.matchAll(/`(tests\/[\w/]+\.ts)`/g)].map((match) => match[1]!);
    assert.ok(paths.length >= 5);
    assert.deepEqual(paths.filter((path) => !existsSync(new URL(path, ROOT))), []);
  });
});
