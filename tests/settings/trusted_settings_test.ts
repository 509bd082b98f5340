/** TRUSTED_NETWORKS, TRUSTED_USERNAME, TRUSTED_PASSWORD: what each takes, and what they need. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadSettings } from "../../src/settings/load.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const CLIENT = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const USERNAME = `${TENANT}@${CLIENT}`;
const TABLE = "https://account.table.core.windows.net/users";
const SECRET = "S3cret-that-must-not-show";

const SOUND = {
  TRUSTED_NETWORKS: "10.20.0.0/16",
  TRUSTED_USERNAME: USERNAME,
  TRUSTED_PASSWORD: SECRET,
  ALLOWED_SENDERS: "@example.com",
};

function problems(environment: Readonly<Record<string, string>>): readonly string[] {
  const loaded = loadSettings({ ...SOUND, ...environment });
  return loaded.type === "problems" ? loaded.problems : [];
}

describe("TRUSTED_NETWORKS", () => {
  for (
    const networks of [
      "10.0.0.0/8",
      "192.168.1.17",
      "2001:db8::/32",
      "fd00::/32, 127.0.0.0/8",
      "::ffff:10.0.0.0/104",
    ]
  ) {
    it(`may be ${networks}`, () => {
      assert.deepEqual(problems({ TRUSTED_NETWORKS: networks }), []);
    });
  }

  const allowed =
    "must be networks such as 192.0.2.0/24 or 2001:db8::/32, or single addresses, with " +
    "commas between them; no prefix shorter than /8, or /32 for IPv6";
  for (
    const [networks, culprit] of [
      ["0.0.0.0/0", undefined],
      ["10.0.0.0/7", undefined],
      ["::/0", undefined],
      ["2001:db8::/31", undefined],
      ["fd00::/8", undefined],
      // IPv4 in the forms of IPv6 (RFC 4291 §2.5.5.2).
      ["::ffff:0.0.0.0/96", undefined],
      ["::ffff:0:0/96", undefined],
      ["::ffff:a00:0/103", undefined],
      ["printers.example.com", undefined],
      ["10.20.0.0/16, 0.0.0.0/1, 192.168.1.1", "0.0.0.0/1"],
      ["10.20.0.0/16,10.20.0.256", "10.20.0.256"],
      [",", undefined],
    ] as const
  ) {
    it(`may not be ${networks}, and the line names the bad entry`, () => {
      const shown = culprit === undefined
        ? JSON.stringify(networks)
        : `${JSON.stringify(culprit)}, in ${JSON.stringify(networks)},`;
      assert.deepEqual(problems({ TRUSTED_NETWORKS: networks }), [
        `TRUSTED_NETWORKS ${shown} ${allowed}`,
      ]);
    });
  }
});

describe("the settings of trusted networks", () => {
  const NO_SENDERS = [
    "ALLOWED_SENDERS must be set when TRUSTED_NETWORKS is, unless TRUSTED_USERNAME is an entry of " +
    "the lookup (id@lookup) with from_email: clients there could send as anybody",
  ];
  const cases: readonly [
    name: string,
    environment: Record<string, string>,
    expected: readonly string[],
  ][] = [
    ["are fine as they are", {}, []],
    ["may be left out all together", {
      TRUSTED_NETWORKS: "",
      TRUSTED_USERNAME: "",
      TRUSTED_PASSWORD: "",
      ALLOWED_SENDERS: "",
    }, []],
    ["need an account", { TRUSTED_USERNAME: "", TRUSTED_PASSWORD: "" }, [
      "TRUSTED_USERNAME must be set when TRUSTED_NETWORKS is: clients there send as that account",
      "TRUSTED_PASSWORD must be set when TRUSTED_NETWORKS is: clients there send as that account",
    ]],
    ["need networks", { TRUSTED_NETWORKS: "" }, [
      "TRUSTED_USERNAME is set, but TRUSTED_NETWORKS is not: set both, or neither",
      "TRUSTED_PASSWORD is set, but TRUSTED_NETWORKS is not: set both, or neither",
    ]],
    ["need ALLOWED_SENDERS", { ALLOWED_SENDERS: "" }, NO_SENDERS],
    ["are reported together, whichever of them is bad itself", {
      TRUSTED_NETWORKS: "10.0.0.0/7",
      TRUSTED_USERNAME: "printers",
      TRUSTED_PASSWORD: "",
      ALLOWED_SENDERS: "",
    }, [
      'TRUSTED_NETWORKS "10.0.0.0/7" must be networks such as 192.0.2.0/24 or 2001:db8::/32, or ' +
      "single addresses, with commas between them; no prefix shorter than /8, or /32 for IPv6",
      "TRUSTED_PASSWORD must be set when TRUSTED_NETWORKS is: clients there send as that account",
      'TRUSTED_USERNAME (8 characters, not shown) is not a username: the username has no "@"; ' +
      "expected tenant@client or id@lookup",
      ...NO_SENDERS,
    ]],
    ["are reported together when only the networks are set", {
      TRUSTED_USERNAME: "",
      TRUSTED_PASSWORD: "",
      ALLOWED_SENDERS: "",
    }, [
      "TRUSTED_USERNAME must be set when TRUSTED_NETWORKS is: clients there send as that account",
      "TRUSTED_PASSWORD must be set when TRUSTED_NETWORKS is: clients there send as that account",
      ...NO_SENDERS,
    ]],
    ["may go without where the account is of the table", {
      ALLOWED_SENDERS: "",
      TRUSTED_USERNAME: "printers@lookup",
      AZURE_TABLES_URL: TABLE,
    }, []],
    ["may go without where the account is a device of the table, by its id alone", {
      ALLOWED_SENDERS: "",
      TRUSTED_USERNAME: "printers@devices.example",
      AZURE_TABLES_URL: TABLE,
    }, []],
    ["may go without where all accounts are of the table", {
      ALLOWED_SENDERS: "",
      AZURE_TABLES_URL: TABLE,
      AZURE_TABLES_FORCE_USAGE: "true",
    }, []],
    ["may not where this one need not be of it", {
      ALLOWED_SENDERS: "",
      AZURE_TABLES_URL: TABLE,
    }, NO_SENDERS],
    ["may go without where the entry is in a file", {
      ALLOWED_SENDERS: "",
      TRUSTED_USERNAME: "printers@lookup",
      LOOKUP_FILE: "lookup.json",
    }, []],
    ["may go without where the account is a device of a file, by its id alone", {
      ALLOWED_SENDERS: "",
      TRUSTED_USERNAME: "printers",
      LOOKUP_FILE: "lookup.json",
    }, []],
    ["may go without where all accounts are in a file", {
      ALLOWED_SENDERS: "",
      LOOKUP_FILE: "lookup.json",
      AZURE_TABLES_FORCE_USAGE: "true",
    }, []],
    ["need entries for an account of them", { TRUSTED_USERNAME: "printers@lookup" }, [
      'TRUSTED_USERNAME "printers@lookup" is looked up: LOOKUP_FILE or AZURE_TABLES_URL must be set',
    ]],
    ["need a username that is one", { TRUSTED_USERNAME: "printers" }, [
      'TRUSTED_USERNAME (8 characters, not shown) is not a username: the username has no "@"; ' +
      "expected tenant@client or id@lookup",
    ]],
    ["need it with the delimiter that is set", { USERNAME_DELIMITER: ":" }, [
      `TRUSTED_USERNAME (${USERNAME.length} characters, not shown) is not a username: the username ` +
      'has no ":"; expected tenant:client or id:lookup',
    ]],
    ["take it with the delimiter that is set", {
      USERNAME_DELIMITER: ":",
      TRUSTED_USERNAME: `${TENANT}:${CLIENT}`,
    }, []],
    ["obey ALLOWED_TENANTS", { ALLOWED_TENANTS: CLIENT }, [
      `TRUSTED_USERNAME is of the tenant ${TENANT}, which is not in ALLOWED_TENANTS`,
    ]],
    ["are fine with ALLOWED_TENANTS that has the tenant", { ALLOWED_TENANTS: TENANT }, []],
    ["are not judged by a value that is bad itself", { ALLOWED_SENDERS: "nobody" }, [
      'ALLOWED_SENDERS "nobody" must be addresses or @domains with commas between them, such as ' +
      "ann@example.com, @example.org",
    ]],
  ];
  for (const [name, environment, expected] of cases) {
    it(name, () => {
      const found = problems(environment);
      assert.deepEqual(found, expected);
      assert.ok(!found.join().includes(SECRET));
    });
  }
});
