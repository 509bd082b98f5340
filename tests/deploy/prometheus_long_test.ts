/**
 * Debian's Prometheus scrapes a relay and evaluates the rules of deploy/monitoring; promtool checks all
 * that is written for it.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CLIENT,
  PROGRAMS,
  type Relay,
  sandbox,
  SECRET,
  TENANT,
  USERNAME,
} from "../end_to_end/programs.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { EXPRESSIONS, metricsIn, MONITORING, RULES } from "./monitoring.ts";
import { ABSENT, Prometheus, promtool } from "./prometheus.ts";

const PASSWORD = "a-password-of-the-pages";

/** The page's blocks in a language. */
function codeBlocks(language: string): readonly string[] {
  const page = readFileSync(join(MONITORING, "../../docs/monitoring.md"), "utf8");
  const block = new RegExp(`^ *\`\`\`${language}\\n([^]*?)\\n *\`\`\`$`, "gm");
  return [...page.matchAll(block)].map((match) => match[1]!);
}

function inDirectory(use: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "relay-promtool-"));
  try {
    use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function promtoolSays(args: readonly string[], input?: string): void {
  const { status, said } = promtool(args, input);
  assert.equal(status, 0, said);
}

describe("promtool", { skip: ABSENT }, () => {
  it("finds the alert rules in order, and each firing when it should", () => {
    promtoolSays(["check", "rules", MONITORING + "alerts.yaml"]);
    promtoolSays(["test", "rules", MONITORING + "alerts_test.yaml"]);
  });

  it("reads each expression of the dashboard and of the page, and would refuse a wrong one", () => {
    const page = codeBlocks("text").flatMap((block) => block.split("\n\n"));
    assert.ok(page.length >= 5);
    inDirectory((directory) => {
      const file = join(directory, "rules.yaml");
      const check = (expressions: readonly string[]) => {
        const rules = expressions.map((expr, index) => ({ record: `tried:${index}`, expr }));
        writeFileSync(file, JSON.stringify({ groups: [{ name: "tried", rules }] }));
        return promtool(["check", "rules", file]);
      };
      const { status, said } = check([...EXPRESSIONS.map(([, expression]) => expression), ...page]);
      assert.equal(status, 0, said);
      assert.notEqual(check(["sum by (a rate(b[5m])"]).status, 0);
    });
  });

  it("finds the configuration in docs/monitoring.md in order", () => {
    const [configuration] = codeBlocks("yaml");
    inDirectory((directory) => {
      const password = join(directory, "password");
      const file = join(directory, "prometheus.yml");
      writeFileSync(password, PASSWORD);
      writeFileSync(
        file,
        configuration!.replace("/etc/prometheus/smtp_relay_alerts.yaml", MONITORING + "alerts.yaml")
          .replace("/etc/prometheus/smtp_relay_password", password),
      );
      const { status, said } = promtool(["check", "config", file]);
      assert.equal(status, 0, said);
      assert.match(said, new RegExp(`\\b${RULES.length} rules found`));
    });
  });
});

for (const program of PROGRAMS) {
  describe(`Prometheus scrapes ${program.name}`, { skip: ABSENT }, () => {
    it("and the first message whose sending is in doubt raises its alert", async () => {
      const relay = await sandbox(program, { HTTP_PASSWORD: PASSWORD, REQUIRE_TLS: "false" });
      const rules = MONITORING + "alerts.yaml";
      const prometheus = await Prometheus.start({ port: relay.http, password: PASSWORD, rules });
      try {
        await prometheus.until('smtp_oauth_relay_messages_total{result="ambiguous"} == 0');
        await prometheus.until('smtp_oauth_relay_messages_total{result="sent"} == 1');
        assert.deepEqual(await prometheus.query('ALERTS{alertstate="firing"}'), []);

        await loseAnAnswer(relay);

        const [alert] = await prometheus.until('ALERTS{alertstate="firing"}');
        const { __name__: _, instance: __, ...labels } = alert!.metric;
        assert.deepEqual(labels, {
          alertname: "SmtpRelayAmbiguous",
          alertstate: "firing",
          job: "smtp",
          result: "ambiguous",
          severity: "warning",
        });
        await everyExpressionWorks(prometheus);
        await pageIsInOrder(relay);
      } finally {
        await prometheus.stop();
        await relay.running.stop();
      }
    });
  });
}

/** Sends a message whose connection to Graph breaks after Graph has taken it. */
async function loseAnAnswer({ smtp, http }: Relay): Promise<void> {
  const fault = { on: "sendMail", after: "take", connection: "reset" };
  const scripted = await fetch(`http://127.0.0.1:${http}/api/faults`, {
    method: "POST",
    headers: { Authorization: basic(), "Content-Type": "application/json" },
    body: JSON.stringify(fault),
  });
  assert.equal(scripted.status, 201, await scripted.text());
  const client = new SmtpClient(smtp);
  assert.match(await client.login(USERNAME, SECRET), /^235/);
  assert.match(await client.send("printer@example.com", "ann@other.example"), /^451 4\.4\.2/);
  client.destroy();
}

function basic(): string {
  return `Basic ${btoa(`prometheus:${PASSWORD}`)}`;
}

/** What the rules and the dashboard ask for is answered, and each metric in it is there. */
async function everyExpressionWorks(prometheus: Prometheus): Promise<void> {
  const expressions = [...EXPRESSIONS.map(([, text]) => text), ...RULES.map(({ expr }) => expr)];
  for (const expression of expressions) await prometheus.query(expression);
  // Without DELIVERY_MODE=queue there is no queue, and here no LOOKUP_FILE nor a client certificate.
  const names = new Set(expressions.flatMap(metricsIn));
  for (const name of names) {
    if (
      /_queue_(?:waiting|sending|held|dead)_messages$|_queue_(?:bytes|oldest(?:_dead)?_seconds)$|_lookup_file_(?:entries|usable)$|_client_credential_|_backend_down$/
        .test(name)
    ) {
      continue;
    }
    assert.ok((await prometheus.query(name)).length > 0, name);
  }
}

async function pageIsInOrder({ http }: Relay): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${http}/metrics`, {
    headers: { Authorization: basic() },
  });
  const page = await response.text();
  promtoolSays(["check", "metrics"], page);
  // No client, no address: only the tenant.
  assert.ok(page.includes(TENANT));
  for (const secret of [CLIENT, "example", "127.0.0.1"]) assert.ok(!page.includes(secret), secret);
}
