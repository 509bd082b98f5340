/** The settings from the environment: defaults, all problems together, and warnings. */
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { cloudOf } from "../../src/settings/clouds.ts";
import { loadSettings } from "../../src/settings/load.ts";
import type { Environment } from "../../src/settings/setting.ts";
import { nearest } from "../../src/nearest.ts";
import { SETTINGS, type Settings } from "../../src/settings/schema.ts";

function load(environment: Environment = {}): { settings: Settings; warnings: readonly string[] } {
  const loaded = loadSettings(environment);
  assert(loaded.type === "settings", JSON.stringify(loaded));
  return loaded;
}

function problems(environment: Environment): readonly string[] {
  const loaded = loadSettings(environment);
  assert(loaded.type === "problems", "no problem was found");
  return loaded.problems;
}

/** The contract's defaults, in the words of the program. */
const DEFAULTS: Readonly<Partial<Record<keyof Settings, unknown>>> = {
  LOG_LEVEL: "WARNING",
  TLS_SOURCE: "file",
  REQUIRE_TLS: true,
  SERVER_GREETING: "Microsoft Graph SMTP OAuth Relay",
  TLS_CERT_FILEPATH: "certs/cert.pem",
  TLS_KEY_FILEPATH: "certs/key.pem",
  TLS_CIPHER_SUITE: undefined,
  AZURE_KEY_VAULT_URL: undefined,
  AZURE_KEY_VAULT_CERT_NAME: undefined,
  USERNAME_DELIMITER: "@",
  GRAPH_HTTP_TIMEOUT: 30_000,
  SMTP_LISTEN: [{ hostname: "::", port: 8025 }],
  SMTPS_LISTEN: undefined,
  HTTP_LISTEN: { hostname: "127.0.0.1", port: 8026 },
  HTTP_PASSWORD: undefined,
  EXTRA_CA_CERTS_FILEPATH: undefined,
  HTTPS_PROXY: undefined,
  NO_PROXY: undefined,
  TLS_MIN_VERSION: "1.2",
  AZURE_CLOUD: "public",
  AZURE_AUTHORITY_HOST: undefined,
  AZURE_CLIENT_SECRET: undefined,
  GRAPH_ENDPOINT: undefined,
  AZURE_TABLES_URL: undefined,
  AZURE_TABLES_PARTITION_KEY: "user",
  AZURE_TABLES_FORCE_USAGE: false,
  AZURE_TABLES_CONNECTION_STRING: undefined,
  LOOKUP_FILE: undefined,
  AZURE_TABLES_CACHE_MAX_AGE: 12 * 3_600_000,
  PROXY_PROTOCOL_NETWORKS: undefined,
  ALLOWED_TENANTS: undefined,
  ALLOWED_SENDERS: undefined,
  OTEL_EXPORTER_OTLP_ENDPOINT: undefined,
  OTEL_EXPORTER_OTLP_HEADERS: undefined,
  MAX_MESSAGE_SIZE: 36_700_160,
  AUTH_MECHANISMS: ["LOGIN", "PLAIN"],
  MAX_RECIPIENTS: 500,
  AUTH_RATE_LIMIT: { most: 10, window: 60_000 },
  MESSAGE_RATE_LIMIT: "off",
  MAX_CONNECTIONS: 1000,
  MAX_CONNECTIONS_PER_IP: 100,
  MAX_ERRORS: 20,
  MAX_IDLE_COMMANDS: 100,
  MIN_DATA_RATE: 500,
  MAX_HEADER_SIZE: 262_144,
  MAX_MIME_DEPTH: 100,
  MAX_MIME_PARTS: 1000,
  COMMAND_TIMEOUT: 300_000,
  DATA_TIMEOUT: 180_000,
  GRAPH_REQUEST_LIMIT: 4_000_000,
  GRAPH_CONCURRENCY: 4,
  PACING_TIMEOUT: 240_000,
  DELIVERY_TIMEOUT: 60_000,
  DUPLICATE_WINDOW: 600_000,
  REENCODE_QUOTED_PRINTABLE: true,
  STATUS_MESSAGES: 500,
  LARGE_MESSAGES: "upload",
  BACKEND: ["graph"],
  SMARTHOST_URL: undefined,
  SMARTHOST_USERNAME: undefined,
  SMARTHOST_PASSWORD: undefined,
  EXCHANGE_SMTP_URL: { hostname: "smtp.office365.com", port: 587, tls: "starttls" },
  TOKEN_CACHE_MAX_AGE: 3_600_000,
  SHUTDOWN_TIMEOUT: 90_000,
  LOG_FORMAT: "text",
  LOG_RECIPIENTS: false,
  TRUSTED_NETWORKS: undefined,
  TRUSTED_USERNAME: undefined,
  TRUSTED_PASSWORD: undefined,
  DELIVERY_MODE: "direct",
  QUEUE_URL: { type: "sqlite", path: "queue.db" },
  QUEUE_CONNECTION_STRING: undefined,
  QUEUE_KEY: undefined,
  QUEUE_MAX_AGE: 172_800_000,
  QUEUE_MAX_MESSAGES: 100_000,
  QUEUE_MAX_BYTES: 10 * 1024 ** 3,
  QUEUE_AMBIGUOUS: "retry",
  QUEUE_BOUNCE: false,
  WEBHOOK_URL: undefined,
  WEBHOOK_SECRET: undefined,
  QUEUE_OFFLINE_LOGIN: 86_400_000,
  CLIENT_SECRET: undefined,
  CLIENT_CERTIFICATE_FILEPATH: undefined,
  CLIENT_KEY_FILEPATH: undefined,
  AZURE_KEY_VAULT_CLIENT_CERT_NAME: undefined,
  MANAGED_IDENTITY_CLIENT_ID: undefined,
};

/** Those whose default is this machine's, tested below and in memory_test.ts. */
const MACHINES_OWN = new Set(["SERVER_HOSTNAME", "MAX_MEMORY"]);

describe("settings", () => {
  for (const [name, value] of Object.entries(DEFAULTS)) {
    it(`have ${name} = ${JSON.stringify(value)} unless it is set, or set to nothing`, () => {
      for (const environment of [{}, { [name]: "" }, { [name]: undefined }]) {
        assert.deepEqual(load(environment).settings[name as keyof Settings], value);
      }
    });
  }

  it("have a default for each setting whose function is there, tested above", () => {
    for (const name of Object.keys(SETTINGS)) {
      if (MACHINES_OWN.has(name)) continue;
      assert(name in DEFAULTS, name);
    }
  });

  it("have the machine's name for SERVER_HOSTNAME", () => {
    assert.equal(load().settings.SERVER_HOSTNAME, hostname());
  });

  it("take the words of the Python relay in any case", () => {
    const { settings } = load({
      LOG_LEVEL: "info",
      TLS_SOURCE: "OFF",
      REQUIRE_TLS: "FALSE",
      AZURE_TABLES_FORCE_USAGE: "True",
      AZURE_TABLES_URL: "https://account.table.core.windows.net/users",
      LOG_FORMAT: "JSON",
      AZURE_CLOUD: "UsGov",
    });
    const { LOG_LEVEL, TLS_SOURCE, REQUIRE_TLS, LOG_FORMAT, AZURE_CLOUD } = settings;
    assert.deepEqual(
      [LOG_LEVEL, TLS_SOURCE, REQUIRE_TLS, LOG_FORMAT, AZURE_CLOUD],
      ["INFO", "off", false, "json", "usgov"],
    );
    assert.equal(settings.AZURE_TABLES_FORCE_USAGE, true);
  });

  it("take a command's own standard where nothing is set, and what is set before it", () => {
    const standards = { SMTP_LISTEN: "127.0.0.1:8025" };
    for (const [given, host] of [["", "127.0.0.1"], ["[::1]:1", "::1"]] as const) {
      const loaded = loadSettings({ SMTP_LISTEN: given }, standards);
      assert(loaded.type === "settings");
      assert.equal(loaded.settings.SMTP_LISTEN[0]!.hostname, host);
    }
  });

  it("report all problems together, each with variable, value and what is allowed", () => {
    const found = problems({
      LOG_LEVEL: "LOUD",
      REQUIRE_TLS: "maybe",
      MAX_RECIPIENTS: "1001",
      SMTP_LISTEN: "here",
      GRAPH_ENDPOINT: "http://graph.microsoft.com",
      QUEUE_URL: "postgres:queue",
      TLS_SOURCE: "vault",
    });
    assert.deepEqual(found.map((problem) => problem.split(" ")[0]).sort(), [
      "GRAPH_ENDPOINT",
      "LOG_LEVEL",
      "MAX_RECIPIENTS",
      "QUEUE_URL",
      "REQUIRE_TLS",
      "SMTP_LISTEN",
      "TLS_SOURCE",
    ]);
    const level = found.find((problem) => problem.startsWith("LOG_LEVEL"));
    assert.equal(
      level,
      'LOG_LEVEL "LOUD" must be "DEBUG", "INFO", "WARNING", "ERROR" or "CRITICAL"',
    );
    assert(found.every((problem) => !/[\r\n]/.test(problem)));
  });

  it("show a bad value so that it cannot end its line", () => {
    const [problem] = problems({ SERVER_GREETING: "a\r\nb" });
    assert.match(problem!, /^SERVER_GREETING "a\\r\\nb" must be /);
  });

  // Found by fuzzing: JSON lets pass what a terminal obeys.
  it("show nothing that moves a terminal's cursor or turns text about", () => {
    const [level] = problems({ LOG_LEVEL: "a\x9b2J\u202e" });
    assert.match(level!, /^LOG_LEVEL "a\\u009b2J\\u202e" must be /);
    assert.deepEqual(load({ "LOG_LEVEL\n": "x" }).warnings, [
      '"LOG_LEVEL\\n" is not a setting: did you mean LOG_LEVEL?',
    ]);
  });
});

describe("settings that contradict each other", () => {
  it("stop the start: a client certificate that is half given, or given twice", () => {
    const certificate = { CLIENT_CERTIFICATE_FILEPATH: "cert.pem" };
    const key = { CLIENT_KEY_FILEPATH: "key.pem" };
    const name = { AZURE_KEY_VAULT_CLIENT_CERT_NAME: "relay" };
    const vault = { AZURE_KEY_VAULT_URL: "https://example.vault.azure.net" };
    assert.deepEqual(problems(certificate), [
      "CLIENT_KEY_FILEPATH must be set when CLIENT_CERTIFICATE_FILEPATH is; it may be the same file",
    ]);
    assert.deepEqual(problems(key), [
      "CLIENT_CERTIFICATE_FILEPATH must be set when CLIENT_KEY_FILEPATH is",
    ]);
    assert.deepEqual(problems({ ...certificate, ...key, ...vault, ...name }), [
      "CLIENT_CERTIFICATE_FILEPATH and AZURE_KEY_VAULT_CLIENT_CERT_NAME are both set: the relay has " +
      "one certificate of its own for Entra ID",
    ]);
    assert.deepEqual(problems(name), [
      "AZURE_KEY_VAULT_URL must be set when AZURE_KEY_VAULT_CLIENT_CERT_NAME is",
    ]);
    // One line for one mistake.
    assert.equal(problems({ ...name, AZURE_KEY_VAULT_URL: "x" }).length, 1);
    load({ ...certificate, ...key });
    load({ ...vault, ...name });
  });

  it("stop the start: a managed identity that is no client ID", () => {
    const id = "11111111-2222-4333-8444-555555555555";
    const [problem] = problems({ MANAGED_IDENTITY_CLIENT_ID: `{${id}}` });
    assert.match(
      problem!,
      /^MANAGED_IDENTITY_CLIENT_ID .* must be a UUID.*did you mean "11111111-2222/,
    );
    const { settings } = load({
      MANAGED_IDENTITY_CLIENT_ID: "ABCDEF11-2222-4333-8444-555555555555",
    });
    assert.equal(settings.MANAGED_IDENTITY_CLIENT_ID, "abcdef11-2222-4333-8444-555555555555");
  });

  it("stop the start: SMTPS_LISTEN without a certificate (RFC 8314 §3.3)", () => {
    const [problem] = problems({ TLS_SOURCE: "off", SMTPS_LISTEN: ":465" });
    assert.match(problem!, /^SMTPS_LISTEN needs a certificate/);
    load({ TLS_SOURCE: "file", SMTPS_LISTEN: ":465" });
  });

  it("stop the start: TLS_SOURCE=keyvault without a vault or a name, in any case", () => {
    const vault = { AZURE_KEY_VAULT_URL: "https://example.vault.azure.net/" };
    const name = { AZURE_KEY_VAULT_CERT_NAME: "smtp-relay" };
    const unset = (lines: readonly string[]) => lines.map((line) => line.split(" must be set")[0]);
    for (const TLS_SOURCE of ["keyvault", "KeyVault"]) {
      assert.deepEqual(unset(problems({ TLS_SOURCE })), [
        "AZURE_KEY_VAULT_URL",
        "AZURE_KEY_VAULT_CERT_NAME",
      ]);
      assert.deepEqual(unset(problems({ TLS_SOURCE, ...name })), ["AZURE_KEY_VAULT_URL"]);
      assert.deepEqual(unset(problems({ TLS_SOURCE, ...vault })), ["AZURE_KEY_VAULT_CERT_NAME"]);
      load({ TLS_SOURCE, ...vault, ...name });
    }
    load({ ...vault, ...name });
  });

  it("stop the start: a vault that is no https origin, a name that no certificate has", () => {
    const names = { TLS_SOURCE: "keyvault", AZURE_KEY_VAULT_CERT_NAME: "under_score" };
    for (
      const url of [
        "example.vault.azure.net",
        "http://example.vault.azure.net",
        "https://example.vault.azure.net/certificates/smtp",
        "https://example.vault.azure.net?x=y",
      ]
    ) {
      const [vault, name, ...others] = problems({ ...names, AZURE_KEY_VAULT_URL: url });
      assert.match(vault!, /^AZURE_KEY_VAULT_URL ".*" must be an https URL .*without a path$/);
      assert.match(name!, /^AZURE_KEY_VAULT_CERT_NAME "under_score" must be 1 to 127 letters/);
      assert.deepEqual(others, []);
    }
    for (const url of ["http://127.0.0.1:8443", "https://[::1]:8443/"]) {
      load({ ...names, AZURE_KEY_VAULT_CERT_NAME: "a", AZURE_KEY_VAULT_URL: url });
    }
  });

  it("stop the start: pages off the loopback without a password", () => {
    for (const listen of [":8026", "0.0.0.0:8026", "[::]:8026", "192.0.2.1:8026", "relay:8026"]) {
      assert.match(problems({ HTTP_LISTEN: listen })[0]!, /^HTTP_PASSWORD must be set/, listen);
      load({ HTTP_LISTEN: listen, HTTP_PASSWORD: "secret" });
    }
    for (const listen of ["127.0.0.1:1", "[::1]:1", "localhost:1", "off"]) {
      load({ HTTP_LISTEN: listen });
    }
  });

  const TABLE = "https://account.table.core.windows.net/users";
  const ACCESS = "UseDevelopmentStorage=true";

  it("stop the start: AZURE_TABLES_FORCE_USAGE, or access to a table, without a table", () => {
    const [force] = problems({ AZURE_TABLES_FORCE_USAGE: "true" });
    assert.match(force!, /^AZURE_TABLES_FORCE_USAGE needs entries: LOOKUP_FILE or .* must be set$/);
    const [access] = problems({ AZURE_TABLES_CONNECTION_STRING: ACCESS });
    assert.match(access!, /^AZURE_TABLES_CONNECTION_STRING .*AZURE_TABLES_URL must be set/);
    load({ AZURE_TABLES_URL: TABLE, AZURE_TABLES_FORCE_USAGE: "true" });
    load({ LOOKUP_FILE: "lookup.json", AZURE_TABLES_FORCE_USAGE: "true" });
    load({ AZURE_TABLES_URL: TABLE, AZURE_TABLES_CONNECTION_STRING: ACCESS });
  });

  it("show no signature or password of a URL that should have none", () => {
    const [problem] = problems({ AZURE_TABLES_URL: `${TABLE}?sv=2024&sig=hunter2%3D&sp=r` });
    assert.match(problem!, /^AZURE_TABLES_URL "https:.*sig=….*" must be the https URL of a table/);
    assert(!problem!.includes("hunter2"));
    const [other] = problems({ GRAPH_ENDPOINT: "https://ann:hunter2@graph.example" });
    assert(!other!.includes("hunter2"));
  });

  it("name the variable that was set, where another program's means the same", () => {
    const [problem] = problems({ https_proxy: "socks5://a.test" });
    assert.match(problem!, /^https_proxy must be /);
  });

  it("show no key of a connection string that stands in the wrong place", () => {
    for (
      const misplaced of [
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2==;EndpointSuffix=b",
        "TableEndpoint=https://a.test/;SharedAccessSignature=sig=hunter2%3D&sv=2024",
        "SharedAccessSignature=sv=2024&sig=hunter2",
      ]
    ) {
      const [problem] = problems({ AZURE_TABLES_URL: misplaced });
      assert.match(problem!, /^AZURE_TABLES_URL ".*….*" must be the https URL of a table/);
      assert(!problem!.includes("hunter2"));
    }
  });

  it("stop the start: an identity's token to a table over http", () => {
    const url = "http://127.0.0.1:10002/devstoreaccount1/users";
    assert.match(
      problems({ AZURE_TABLES_URL: url })[0]!,
      /^AZURE_TABLES_URL with http needs AZURE_TABLES_CONNECTION_STRING/,
    );
    load({ AZURE_TABLES_URL: url, AZURE_TABLES_CONNECTION_STRING: ACCESS });
  });

  it("are said together with all other problems", () => {
    assert.equal(
      problems({ TLS_SOURCE: "off", SMTPS_LISTEN: ":465", HTTP_LISTEN: ":1", LOG_LEVEL: "x" })
        .length,
      3,
    );
  });

  it("are not looked for in values that are bad themselves", () => {
    assert.equal(
      problems({ HTTP_LISTEN: "here", SMTPS_LISTEN: "there", TLS_SOURCE: "off" }).length,
      2,
    );
    assert.equal(problems({ TLS_SOURCE: "what", SMTPS_LISTEN: ":465" }).length, 1);
    const password = { HTTP_PASSWORD: "secret", HTTP_PASSWORD_FILE: "/secret" };
    assert.equal(problems({ HTTP_LISTEN: ":8026", ...password }).length, 1);
  });

  it("are warnings if every client could claim any address", () => {
    for (const all of ["0.0.0.0/0", "::/0", "10.0.0.0/8, ::/0", "::ffff:0:0/96"]) {
      const { warnings } = load({ PROXY_PROTOCOL_NETWORKS: all });
      assert.equal(warnings.length, 1, all);
      assert.match(warnings[0]!, /^PROXY_PROTOCOL_NETWORKS contains all addresses/);
    }
    assert.deepEqual(load({ PROXY_PROTOCOL_NETWORKS: "10.0.0.0/8, 2001:db8::/32" }).warnings, []);
    assert.match(problems({ PROXY_PROTOCOL_NETWORKS: "10.0.0.0/33" })[0]!, /must be networks/);
  });

  it("give no advice that would not help: trusted networks need neither TLS nor a login", () => {
    const { warnings } = load({
      TLS_SOURCE: "off",
      TRUSTED_NETWORKS: "192.0.2.0/24",
      TRUSTED_USERNAME: "11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-222222222222",
      TRUSTED_PASSWORD: "secret",
      ALLOWED_SENDERS: "scanner@example.com",
    });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /no client can log in, only those in TRUSTED_NETWORKS can send$/);
  });

  it("are warnings only if no client could log in, or only in plain text", () => {
    assert.match(load({ TLS_SOURCE: "off" }).warnings[0]!, /no client can log in/);
    assert.match(load({ REQUIRE_TLS: "false" }).warnings[0]!, /plain text/);
    assert.deepEqual(load().warnings, []);
  });
});

describe("a value that is not allowed", () => {
  const MEANT: readonly (readonly [name: keyof Settings, given: string, meant: string])[] = [
    ["SMTP_LISTEN", "25", ":25"],
    ["SMTP_LISTEN", "25, 587", ":25,:587"],
    ["SMTP_LISTEN", "*:25", ":25"],
    ["SMTPS_LISTEN", "465", ":465"],
    ["HTTP_LISTEN", "8026", "127.0.0.1:8026"],
    ["LOG_LEVEL", "WARN", "WARNING"],
    ["LOG_LEVEL", "debg", "DEBUG"],
    ["TLS_SOURCE", "files", "file"],
    ["REQUIRE_TLS", "yes", "true"],
    ["REQUIRE_TLS", "0", "false"],
    ["COMMAND_TIMEOUT", "60", "60s"],
    ["DUPLICATE_WINDOW", "5 min", "5m"],
    ["MAX_MESSAGE_SIZE", "35MB", "35m"],
    ["GRAPH_HTTP_TIMEOUT", "30s", "30"],
  ];
  for (const [name, given, meant] of MEANT) {
    it(`is reported with the intended one: ${name}=${given} with ${meant}`, () => {
      assert.equal(load({ [name]: meant }).settings[name] === undefined, false);
      const line = problems({ [name]: given })[0]!;
      assert.ok(line.startsWith(`${name} "${given}" must be `), line);
      assert.ok(line.endsWith(`; did you mean "${meant}"?`), line);
    });
  }

  it("is reported without a guess if nothing is similar", () => {
    for (
      const [name, given] of [
        ["SMTP_LISTEN", "99999"],
        ["SMTP_LISTEN", "here"],
        ["LOG_LEVEL", "LOUD"],
        ["USERNAME_DELIMITER", "#"],
        ["MAX_MESSAGE_SIZE", "900gb"],
        ["COMMAND_TIMEOUT", "0"],
        ["COMMAND_TIMEOUT", "soon"],
      ]
    ) assert.doesNotMatch(problems({ [name!]: given })[0]!, /did you mean/, `${name}=${given}`);
  });
});

describe("a variable that is not a setting", () => {
  const NEAR: readonly (readonly [given: string, meant: string])[] = [
    ["LOG_LEVL", "LOG_LEVEL"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["REQUIRE_TSL", "REQUIRE_TLS"],
    ["SMTP_LISTENS", "SMTP_LISTEN"],
    ["HTTP_PASSWORD_FILES", "HTTP_PASSWORD_FILE"],
    ["GRAPH_ENDPOINTS", "GRAPH_ENDPOINT"],
  ];
  for (const [given, meant] of NEAR) {
    it(`is warned about when it is ${given}, and ${meant} is named`, () => {
      assert.deepEqual(load({ [given]: "x" }).warnings, [
        `${given} is not a setting: did you mean ${meant}?`,
      ]);
    });
  }

  it("is ignored when it differs by three letters or more, or is known", () => {
    const others = [
      "PATH",
      "HOME",
      "LANG",
      "LOG_LVL_X",
      "NODE_EXTRA_CA_CERTS",
      "AZURE_CLIENT_SECRET",
    ];
    const environment = Object.fromEntries(others.map((name) => [name, "x"]));
    assert.deepEqual(load({ ...environment, HTTP_PASSWORD_FILE: "" }).warnings, []);
  });

  it("is taken by its other names too, where it has some; its own goes first", () => {
    const read = (environment: Environment) =>
      load(environment).settings.EXTRA_CA_CERTS_FILEPATH?.map(({ variable, path }) =>
        `${variable}=${path}`
      );
    const other = { SSL_CERT_FILE: "system.pem", REQUESTS_CA_BUNDLE: "other.pem" };
    assert.deepEqual(read({ NODE_EXTRA_CA_CERTS: "node.pem" }), ["NODE_EXTRA_CA_CERTS=node.pem"]);
    assert.deepEqual(read({ REQUESTS_CA_BUNDLE: "o.pem" }), ["REQUESTS_CA_BUNDLE=o.pem"]);
    // Base images set SSL_CERT_FILE: it must not stand in the way of the other.
    assert.deepEqual(read({ ...other, EXTRA_CA_CERTS_FILEPATH: "" }), [
      "SSL_CERT_FILE=system.pem",
      "REQUESTS_CA_BUNDLE=other.pem",
    ]);
    assert.deepEqual(read({ ...other, EXTRA_CA_CERTS_FILEPATH: "own.pem" }), [
      "EXTRA_CA_CERTS_FILEPATH=own.pem",
    ]);
    assert.match(problems({ SSL_CERT_FILE: "a\nb" })[0]!, /^SSL_CERT_FILE "a\\nb" must be text/);
  });

  it("is reported together with bad values: it may be the missing one", () => {
    assert.deepEqual(problems({ LOG_LEVEL: "LOUD", USERNAME_DELIMTER: ":" }).slice(1), [
      "USERNAME_DELIMTER is not a setting: did you mean USERNAME_DELIMITER?",
    ]);
    assert.deepEqual(
      problems({ TLS_SOURCE: "keyvault", AZURE_KEYVAULT_URL: "x", AZURE_KEY_VAULT_CERT_NAME: "a" }),
      [
        "AZURE_KEY_VAULT_URL must be set when TLS_SOURCE is keyvault",
        "AZURE_KEYVAULT_URL is not a setting: did you mean AZURE_KEY_VAULT_URL?",
      ],
    );
  });

  it("is near by Levenshtein's distance of two", () => {
    assert.equal(nearest("abcd", ["abxy"]), "abxy");
    assert.equal(nearest("abcd", ["axyz"]), undefined);
    assert.equal(nearest("abcd", ["ab", "abd"]), "abd");
    assert.equal(nearest("abcd", []), undefined);
    assert.equal(nearest("abcd", ["abcde", "abce"]), "abcde", "the first of the nearest");
    assert.equal(nearest("abcd", ["abcef", "xbcd"]), "xbcd");
  });

  it("is found for every two edits, wherever they are", () => {
    const name = "TLS_CERT_FILEPATH";
    const missed: string[] = [];
    for (const one of edited(name)) {
      for (const two of edited(one)) {
        if (nearest(two, ["QUEUE_URL", name]) !== name) missed.push(two);
      }
    }
    assert.deepEqual(missed, []);
  });
});

/** The word after each edit: a letter removed, replaced by another, or added. */
function edited(word: string): string[] {
  return Array.from(word + ".").flatMap((_, i) => [
    word.slice(0, i) + word.slice(i + 1),
    `${word.slice(0, i)}Q${word.slice(i + 1)}`,
    `${word.slice(0, i)}X${word.slice(i)}`,
  ]);
}

describe("a cloud", () => {
  const CLOUDS: readonly (readonly [cloud: string, authority: string, graph: string])[] = [
    ["public", "login.microsoftonline.com", "graph.microsoft.com"],
    ["usgov", "login.microsoftonline.us", "graph.microsoft.us"],
    ["usgov-dod", "login.microsoftonline.us", "dod-graph.microsoft.us"],
    ["china", "login.partner.microsoftonline.cn", "microsoftgraph.chinacloudapi.cn"],
  ];
  for (const [cloud, authority, graph] of CLOUDS) {
    it(`${cloud} has its own Entra ID and Graph (learn.microsoft.com/graph/deployments)`, () => {
      const { settings } = load({ AZURE_CLOUD: cloud });
      const { authorityHost, graphEndpoint, graphScope } = cloudOf(settings);
      assert.equal(authorityHost.href, `https://${authority}/`);
      assert.equal(graphEndpoint.href, `https://${graph}/`);
      assert.equal(graphScope, `https://${graph}/.default`);
    });
  }

  it("may have each of its two places set by itself", () => {
    const { settings } = load({ AZURE_CLOUD: "china", GRAPH_ENDPOINT: "http://127.0.0.1:1/graph" });
    const { authorityHost, graphEndpoint, graphScope } = cloudOf(settings);
    assert.equal(authorityHost.host, "login.partner.microsoftonline.cn");
    assert.equal(graphEndpoint.href, "http://127.0.0.1:1/graph");
    assert.equal(graphScope, "http://127.0.0.1:1/.default");
  });
});
