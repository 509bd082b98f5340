// A relay without table and vault loads none of their packages, which are most of the code: shown
// by its imports, and by running it with traps in place of these packages.

import assert from "node:assert/strict";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, type Program, root, run, SECRET, serve, TENANT, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

/**
 * What is for table, vault, identities, the sandbox, the queue, the status page, events, traces,
 * LOOKUP_FILE or LOG_FORMAT=json only; and modules of the runtime that are no part of a start.
 */
const LATE =
  /^(?:@azure\/(?!msal-(?:node|common)$)|@azure-rest\/|@typespec\/|node-forge$|@peculiar\/|node:(?:sqlite|tls|dns|net|https?|http2|stream|util|url|fs\/promises|child_process)$|jsonc-parser$|pino$|src\/observe\/(?:json_lines|node_server)|src\/accounts\/lookup_file|src\/(?:queue\/(?:azure|sqlite)|webhook|status|traces)\/|src\/commands\/status_page|src\/entra\/(?:managed_identity|token_file|fixed_secret)|src\/certificates\/(?:client_certificate|keyvault))/;

/** `import … from "x"`, `export … from "x"`, `import "x"`; not those of types, nor `import("x")`. */
const STATIC = /^(?:import|export)\s(?!type\s)(?:[^;"']*?\sfrom\s)?\s*["']([^"']+)["']/gm;

/** Every file and package that a file loads, each with its import path. */
function comesWith(file: string, way: readonly string[] = [], found = new Map<string, string>()) {
  const path = [...way, file];
  found.set(file, path.join(" → "));
  for (const [, target = ""] of readFileSync(join(root, file), "utf8").matchAll(STATIC)) {
    const module = target.startsWith(".") ? join(dirname(file), target) : target;
    if (found.has(module)) continue;
    if (target.startsWith(".")) comesWith(module, path, found);
    else found.set(module, [...path, module].join(" → "));
  }
  return found;
}

describe("the modules that a relay loads", () => {
  for (
    const start of ["src/command_line.ts", "src/commands/serve.ts", "src/commands/healthcheck.ts"]
  ) {
    it(`include nothing for table, vault, identities, the queue, the page, traces or JSON: ${start}`, () => {
      const found = comesWith(start);
      assert(found.size > 3, "the imports have been read");
      const late = [...found].filter(([module]) => LATE.test(module)).map(([, way]) => way);
      assert.deepEqual(late, []);
    });
  }

  it("are found correctly", () => {
    const found = comesWith("src/commands/serve.ts");
    assert(found.has("src/smtp/session.ts") && found.has("hono"));
    assert(!found.has("@azure/msal-node"), "it is imported when it is needed");
    assert(comesWith("src/entra/msal.ts").has("@azure/msal-node"));
    assert(comesWith("src/queue/sqlite/worker.ts").has("node:sqlite"));
    assert(comesWith("src/traces/traces.ts").has("src/traces/otlp.ts"));
    assert(comesWith("src/accounts/lookup_file.ts").has("jsonc-parser"));
    for (const door of ["sqlite_queue", "administration"]) {
      assert(!comesWith(`src/queue/sqlite/${door}.ts`).has("node:sqlite"), door);
    }
  });
});

describe("a relay whose packages for table, vault and identities are traps", () => {
  let directory: string;
  let program: Program;
  let cloud: CloudServer;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "relay-late-"));
    for (const name of ["src", "package.json", "deno.json"]) {
      cpSync(join(root, name), join(directory, name), { recursive: true });
    }
    const real = realpathSync(join(root, "node_modules"));
    const copy = join(directory, "node_modules");
    for (const name of packages(real)) {
      mkdirSync(dirname(join(copy, name)), { recursive: true });
      // A relay with LOOKUP_FILE needs it.
      const isNeeded = !LATE.test(name) || name === "jsonc-parser";
      if (isNeeded) symlinkSync(join(real, name), join(copy, name));
      else setTrap(join(copy, name), name);
    }
    const main = join(directory, "src", "main.ts");
    const deno = "Deno" in globalThis;
    program = deno
      ? { name: "Deno", command: [process.execPath, "run", "-A", "--no-check", main] }
      : { name: "Bun", command: [process.execPath, main] };
    cloud = await startCloud();
  });
  after(async () => {
    await cloud.close();
    rmSync(directory, { recursive: true });
  });

  /** Names of all packages, with their scopes. */
  function packages(folder: string): string[] {
    return readdirSync(folder).filter((name) => !name.startsWith(".")).flatMap((name) =>
      name.startsWith("@") ? readdirSync(join(folder, name)).map((own) => `${name}/${own}`) : name
    );
  }

  function setTrap(path: string, name: string): void {
    mkdirSync(path, { recursive: true });
    const { version } = JSON.parse(
      readFileSync(join(root, "node_modules", name, "package.json"), "utf8"),
    ) as { version: string };
    writeFileSync(
      join(path, "package.json"),
      JSON.stringify({ name, version, type: "module", exports: "./index.js" }),
    );
    writeFileSync(
      join(path, "index.js"),
      `import process from "node:process";\nprocess.stderr.write("LOADED ${name}\\n");\n` +
        `export default undefined;\n`,
    );
  }

  const settings: readonly [name: string, username: string, more: () => Record<string, string>][] =
    [
      ["logs in, sends and stops without loading them", USERNAME, () => ({})],
      ["does the same with its entries in a file alone", "scanner@lookup", () => {
        const path = join(directory, "lookup.json");
        const entry = { tenant_id: TENANT, client_id: CLIENT };
        writeFileSync(path, JSON.stringify({ scanner: entry }));
        return { LOOKUP_FILE: path, AZURE_TABLES_FORCE_USAGE: "true" };
      }],
    ];
  for (const [name, username, more] of settings) {
    it(name, async () => {
      const relay = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        ...more(),
      });
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(username, SECRET), /^235 2\.7\.0/);
      assert.match(await client.send("me@example.com", "you@example.org"), /^250 2\.0\.0/);
      client.destroy();
      assert.equal(await relay.running.stop(), 0);
      assert.doesNotMatch(relay.running.stderr, /LOADED/);
    });
  }

  it("would fail if it loaded one", async () => {
    const script = join(directory, "src", "trapped.ts");
    writeFileSync(
      script,
      `import { azureCredential } from "./azure/credential.ts";\n` +
        `await azureCredential({ http: undefined, authorityHost: new URL("https://a.test") });\n`,
    );
    const command = [...program.command.slice(0, -1), script];
    const trapped = run({ name: program.name, command }, []);
    await trapped.exited;
    assert.match(trapped.stderr, /^LOADED @azure\/identity$/m);
  });
});
