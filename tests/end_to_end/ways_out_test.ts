/** The program, also compiled, with each way out against the sandbox's imitations. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CLIENT, PROGRAMS, sandbox, SECRET, TENANT, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

interface Listed {
  readonly subject: string;
}

const OURS = { ALLOWED_TENANTS: TENANT };
const WAYS: readonly (readonly [name: string, environment: Record<string, string>])[] = [
  ["exchange", { BACKEND: "exchange" }],
  // The sandbox puts its own server in the place of a real one: no test mail leaves it.
  ["smarthost", { BACKEND: "smarthost", SMARTHOST_URL: "smtp://mail.example.invalid", ...OURS }],
  ["hve", { BACKEND: "hve" }],
  [
    "acs",
    { BACKEND: "acs", SMARTHOST_USERNAME: "acs", SMARTHOST_PASSWORD: "any", ...OURS },
  ],
];

for (const program of PROGRAMS) {
  describe(`${program.name} as a sandbox`, () => {
    for (const [name, environment] of WAYS) {
      it(`sends by ${name}`, async () => {
        const relay = await sandbox(program, {
          TLS_SOURCE: "off",
          REQUIRE_TLS: "false",
          SMTPS_LISTEN: "",
          LOG_LEVEL: "INFO",
          ...environment,
        });
        try {
          const client = new SmtpClient(relay.smtp);
          assert.match(await client.login(USERNAME, SECRET), /^235 /);
          assert.match(await client.send("me@example.com", "you@example.org", "by SMTP"), /^250 /);
          client.destroy();
          await relay.running.until(
            "stderr",
            new RegExp(`Message sent.* app=${CLIENT}.* backend=${name}`),
          );
          const response = await fetch(`http://127.0.0.1:${relay.http}/api/messages`);
          const messages = await response.json() as readonly Listed[];
          assert.equal(messages[0]?.subject, "by SMTP");
          const ready = await (await fetch(`http://127.0.0.1:${relay.http}/readyz`)).json() as {
            readonly parts?: Record<string, { readonly answers?: boolean }>;
          };
          assert.equal(
            JSON.stringify(ready).includes(`"${name}":{"ready":true,"answers":true}`),
            true,
          );
          const metrics = await (await fetch(`http://127.0.0.1:${relay.http}/metrics`)).text();
          assert.match(
            metrics,
            new RegExp(`last_success_timestamp_seconds\\{backend="${name}"\\} [1-9]`),
          );
          assert.match(
            metrics,
            new RegExp(`smtp_conversation_duration_seconds_count\\{backend="${name}"`),
          );
        } finally {
          assert.equal(await relay.running.stop(), 0);
        }
      });
    }
  });
}
