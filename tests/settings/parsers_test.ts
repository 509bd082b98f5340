/** Each parser of setting values, at its limits and beyond them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import * as fc from "../support/property.ts";
import {
  formatListenAddress,
  isLoopback,
  listenAddresses,
  listenAddressOrOff,
} from "../../src/settings/listen_address.ts";
import {
  boolean,
  duration,
  graphUrl,
  integer,
  mechanisms,
  octetRateOrOff,
  oneOf,
  seconds,
  serviceUrl,
  size,
  tableKey,
  tableUrl,
  tenants,
  text,
} from "../../src/settings/parsers.ts";
import type { Parser } from "../../src/settings/setting.ts";
import { storageAccess } from "../../src/settings/storage_access.ts";

interface Case {
  readonly name: string;
  readonly parser: Parser<unknown>;
  readonly taken: readonly (readonly [text: string, value: unknown])[];
  readonly refused: readonly string[];
}

const all = (port: number) => ({ hostname: "::", port });

const TABLE = "https://account.table.core.windows.net/users";

const CASES: readonly Case[] = [
  {
    name: "mechanisms",
    parser: mechanisms,
    taken: [
      ["PLAIN,LOGIN", ["PLAIN", "LOGIN"]],
      ["oauthbearer, XOAuth2 ,login", ["OAUTHBEARER", "XOAUTH2", "LOGIN"]],
      ["LOGIN,,login,", ["LOGIN"]],
    ],
    refused: ["", ",", "CRAM-MD5", "PLAIN;LOGIN", "PLAIN LOGIN", "off"],
  },
  {
    name: "a rate",
    parser: octetRateOrOff,
    taken: [["1", 1], ["500", 500], ["1000000", 1_000_000], ["off", "off"], ["OFF", "off"]],
    refused: ["0", "-1", "1000001", "1.5", "500k", "on", " 5"],
  },
  {
    name: "a table's URL",
    parser: tableUrl,
    taken: [
      [TABLE, new URL(TABLE)],
      [`${TABLE}/`, new URL(TABLE)],
      [
        "http://127.0.0.1:1/devstoreaccount1/users",
        new URL("http://127.0.0.1:1/devstoreaccount1/users"),
      ],
    ],
    refused: [
      "",
      "account.table.core.windows.net/users",
      "https://account.table.core.windows.net",
      "https://account.table.core.windows.net/",
      "https://account.table.core.windows.net/my-users",
      "https://account.table.core.windows.net/a/b/users",
      "http://account.table.core.windows.net/users",
      `${TABLE}?sv=2019&sig=abc`,
      `${TABLE}(PartitionKey='user')`,
    ],
  },
  {
    name: "a key of a table",
    parser: tableKey,
    taken: [["user", "user"], ["o'neil 日本", "o'neil 日本"], ["x".repeat(1024), "x".repeat(1024)]],
    refused: [
      "",
      "a/b",
      "a\\b",
      "a#b",
      "a?b",
      "a\x00b",
      "a\x9fb",
      "x".repeat(1025),
      "é".repeat(513),
    ],
  },
  {
    name: "a list of tenants",
    parser: tenants,
    taken: [
      [
        "11111111-2222-4333-8444-AAAAAAAAAAAA, Contoso.example, EjRWeBI0EjQSNBI0VniavA,",
        new Set([
          "11111111-2222-4333-8444-aaaaaaaaaaaa",
          "contoso.example",
          "12345678-1234-1234-1234-123456789abc",
        ]),
      ],
    ],
    refused: ["", ",", "common", "contoso", "a..b", "-a.example", "a b.example", "11111111-2222"],
  },
  {
    name: "a truth value",
    parser: boolean,
    taken: [["true", true], ["false", false], ["TRUE", true], ["False", false]],
    refused: ["", "yes", "no", "1", "0", " true", "true ", "t"],
  },
  {
    name: "one of some words",
    parser: oneOf("DEBUG", "keyvault", "|"),
    taken: [["debug", "DEBUG"], ["DeBuG", "DEBUG"], ["KEYVAULT", "keyvault"], ["|", "|"]],
    refused: ["", "DEBU", "DEBUGG", " DEBUG", "key vault"],
  },
  {
    name: "a whole number",
    parser: integer(1, 1000),
    taken: [["1", 1], ["1000", 1000], ["007", 7]],
    refused: ["", "0", "1001", "-1", "+1", "1.0", "1e2", "0x10", " 1", "1 ", "١", "9".repeat(400)],
  },
  {
    name: "a size",
    parser: size(1000, 1024 ** 3),
    taken: [
      ["1000", 1000],
      ["1k", 1024],
      ["1K", 1024],
      ["35m", 36_700_160],
      ["35M", 36_700_160],
      ["1073741824", 1024 ** 3],
      ["1024m", 1024 ** 3],
    ],
    refused: [
      "",
      "999",
      "0",
      "0k",
      "1073741825",
      "1025m",
      "1.5m",
      "1 m",
      "1mb",
      "1kb",
      "-1k",
      "m",
      "1t",
    ],
  },
  {
    name: "a duration",
    parser: duration,
    taken: [
      ["1s", 1000],
      ["90s", 90_000],
      ["5m", 300_000],
      ["5M", 300_000],
      ["1h", 3_600_000],
      ["24d", 24 * 86_400_000],
      ["100ms", 100],
    ],
    // Timers of more than 2³¹−1 ms fire immediately.
    refused: [
      "",
      "0s",
      "5",
      "5 m",
      "-5m",
      "1.5h",
      "25d",
      "600h",
      "5x",
      "m",
      "5min",
      "99999999999s",
    ],
  },
  {
    name: "seconds without a unit",
    parser: seconds,
    taken: [["1", 1000], ["30", 30_000], ["2.5", 2500], ["3600", 3_600_000]],
    refused: ["", "0", "0.9", "3600.5", "3601", "30s", "-1", "1e3", ".5", "NaN", "Infinity"],
  },
  {
    name: "listening addresses",
    parser: listenAddresses,
    taken: [
      ["[::]:8025", [all(8025)]],
      [":25", [all(25)]],
      ["0.0.0.0:25", [{ hostname: "0.0.0.0", port: 25 }]],
      ["127.0.0.1:0", [{ hostname: "127.0.0.1", port: 0 }]],
      ["localhost:65535", [{ hostname: "localhost", port: 65_535 }]],
      ["[::1]:25, mail.example.com:587", [
        { hostname: "::1", port: 25 },
        { hostname: "mail.example.com", port: 587 },
      ]],
    ],
    refused: [
      "",
      "25",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:65536",
      "127.0.0.1:-1",
      "127.0.0.1:25x",
      "::1:25",
      "[::1]",
      "[127.0.0.1]:25",
      "[::g]:25",
      "a b:25",
      "http://localhost:25",
      "127.0.0.1:25,",
      ",127.0.0.1:25",
      "127.0.0.1:25;127.0.0.1:26",
    ],
  },
  {
    name: "a listening address or off",
    parser: listenAddressOrOff,
    taken: [["off", "off"], ["OFF", "off"], ["127.0.0.1:8026", {
      hostname: "127.0.0.1",
      port: 8026,
    }]],
    refused: ["", "on", "none", "127.0.0.1:1,127.0.0.1:2"],
  },
  {
    name: "a text",
    parser: text(),
    taken: [["Grüße  aus dem Relay", "Grüße  aus dem Relay"], [" ", " "]],
    refused: ["a\nb", "a\rb", "\0", "\x7f", "\t"],
  },
];

describe("a setting's parser", () => {
  for (const { name, parser, taken, refused } of CASES) {
    it(`takes ${name} within its limits`, () => {
      for (const [text, value] of taken) assert.deepEqual(parser.parse(text), value, text);
    });
    it(`refuses values beyond the limits of ${name}, and says what is allowed`, () => {
      for (const text of refused) assert.equal(parser.parse(text), undefined, JSON.stringify(text));
      assert(parser.allowed.length > 0);
    });
    it(`never throws on ${name}, whatever it is given`, () => {
      fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
        parser.parse(text);
      }));
    });
  }

  it("names the words that are allowed", () => {
    assert.equal(oneOf("a", "b", "c").allowed, '"a", "b" or "c"');
    assert.equal(oneOf("a", "b").allowed, '"a" or "b"');
  });

  it("reads back the addresses that are shown", () => {
    for (const shown of ["[::]:25", "[2001:db8::1]:0", "127.0.0.1:587", "mail.example.com:25"]) {
      const [address] = listenAddresses.parse(shown) ?? [];
      assert.equal(formatListenAddress(address!), shown);
    }
  });
});

describe("a service's URL", () => {
  const taken = [
    "https://login.microsoftonline.com",
    "https://login.example.com:8443/path",
    "HTTPS://graph.microsoft.com/",
    "http://127.0.0.1:8026/entra",
    "http://127.1.2.3/",
    "http://[::1]:8026/graph",
    "http://localhost:8026",
  ];
  for (const url of taken) {
    it(`may be ${url}`, () => assert.equal(serviceUrl.parse(url)?.href, new URL(url).href));
  }

  const refused = [
    "",
    "graph.microsoft.com",
    "http://graph.microsoft.com",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com",
    "http://192.168.0.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://128.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "https://user@graph.microsoft.com",
    "https://user:secret@graph.microsoft.com",
    "https://:secret@graph.microsoft.com",
    "https://graph.microsoft.com/?x=1",
    "https://graph.microsoft.com/#x",
    "https://",
  ];
  for (const url of refused) {
    it(`cannot be ${url === "" ? "empty" : url}`, () => {
      assert.equal(serviceUrl.parse(url), undefined);
    });
  }

  it("may be http only to what is surely this machine", () => {
    for (const host of ["127.0.0.1", "127.255.255.254", "::1", "[::1]", "localhost", "LOCALHOST"]) {
      assert.equal(isLoopback(host), true, host);
    }
    for (const host of ["", "0.0.0.0", "::", "::2", "127.0.0.1.x", "localhost.", "10.0.0.1"]) {
      assert.equal(isLoopback(host), false, host);
    }
  });
});

describe("Graph's URL", () => {
  for (
    const url of [
      "https://graph.microsoft.com",
      "http://127.0.0.1:1/graph/",
      "https://a.example/v2",
    ]
  ) {
    it(`may be ${url}`, () => assert.equal(graphUrl.parse(url)?.href, new URL(url).href));
  }
  for (const end of ["/v1.0", "/V1.0/", "/beta", "/graph/v1.0//"]) {
    it(`must not end in ${end}, which the relay appends itself`, () => {
      assert.equal(graphUrl.parse(`https://graph.microsoft.com${end}`), undefined);
    });
  }
});

describe("a storage connection string", () => {
  const KEY = "Zm9vYmFyYmF6";

  it("yields an account's key, whatever else it contains", () => {
    const text = `DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=${KEY};` +
      "EndpointSuffix=core.windows.net";
    const access = storageAccess.parse(text);
    assert(access?.type === "key");
    assert.deepEqual([access.account, access.key.reveal()], ["acct", KEY]);
    assert(!inspect(access).includes(KEY));
  });

  it("gives a shared access signature, with its question mark or without", () => {
    const signature = "sv=2024-11-04&sp=r&sig=a%2Bb%3D";
    for (const mark of ["", "?"]) {
      const access = storageAccess.parse(
        `TableEndpoint=https://acct.table.core.windows.net/;SharedAccessSignature=${mark}${signature}`,
      );
      assert(access?.type === "sas");
      assert.equal(access.signature.reveal(), signature);
    }
  });

  it("gives the emulator's well-known key", () => {
    const access = storageAccess.parse("UseDevelopmentStorage=true");
    assert(access?.type === "key");
    assert.equal(access.account, "devstoreaccount1");
  });

  for (
    const text of [
      "",
      "secret",
      "AccountName=acct",
      `AccountKey=${KEY}`,
      "AccountName=acct;AccountKey=not base64",
      "AccountName=a/b;AccountKey=" + KEY,
      "SharedAccessSignature=sv=2024",
      "UseDevelopmentStorage=false",
      "=x",
    ]
  ) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(storageAccess.parse(text), undefined));
  }
});
