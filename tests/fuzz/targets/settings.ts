// The environment: any variables that the program knows, or nearly, with any values. Problems and
// warnings are one line each, and no secret is in them.

import assert from "node:assert/strict";
import { cloudOf } from "../../../src/settings/clouds.ts";
import { examineSettings, loadSetting, loadSettings } from "../../../src/settings/load.ts";
import { proxyOf } from "../../../src/settings/proxy.ts";
import { type SettingName, SETTINGS } from "../../../src/settings/schema.ts";
import type { Setting } from "../../../src/settings/setting.ts";
import { Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const ENTRIES = Object.entries(SETTINGS) as [SettingName, Setting<unknown>][];
/** Values of these variables are secrets. */
const SECRETS = new Set(
  ENTRIES.flatMap(([name, { secret, aliases = [] }]) => secret === true ? [name, ...aliases] : []),
);
/** Files that are read: those of secrets, and the folder of systemd's credentials. */
const FILES = [...SECRETS].map((name) => `${name}_FILE`).concat("CREDENTIALS_DIRECTORY");
const NAMES = [
  ...ENTRIES.flatMap(([name, { aliases = [] }]) => [name, ...aliases]),
  ...FILES,
  "LOG_LEVL",
  "SMTP_LISTENS",
  "HTTP_PROXY",
  "no_proxy",
  "LOG_LEVEL\n",
  "toString",
];
/** No file of the machine is read, whatever the input: it could be one without an end. */
const PATHS = ["/nonexistent/secret", "/", "", "nonexistent\0", "x".repeat(5000), "/nonexistent\n"];
/** Stands in each secret, and in nothing else. */
const MARK = "q7Zk";
/** What a connection string says of its account. */
const NAMED = ["account", "endpoints"];

export const settings: Target = {
  name: "settings",
  run(octets) {
    const input = new Input(octets);
    const environment: Record<string, string> = {};
    while (!input.ended) {
      const name = NAMES[input.below(NAMES.length)]!;
      const text = input.until(0xff).toString("utf8").replaceAll(MARK, "");
      if (FILES.includes(name)) environment[name] = PATHS[text.length % PATHS.length]!;
      else if (SECRETS.has(name)) {
        const at = text.length >> 1;
        environment[name] = text.slice(0, at) + MARK + text.slice(at);
      } else environment[name] = text;
    }
    const loaded = loadSettings(environment);
    const examined = examineSettings(environment);
    const lines = loaded.type === "problems" ? loaded.problems : loaded.warnings;
    assert.equal(loaded.type === "problems", examined.problems.length > 0);
    for (const line of [...lines, ...examined.problems, ...examined.warnings]) {
      assert.ok(line !== "" && !UNPRINTABLE.test(line), JSON.stringify(line));
      assert.ok(!line.includes(MARK), `a secret is shown: ${line}`);
    }
    const shown = JSON.stringify(
      examined.settings,
      (name, value) => NAMED.includes(name) ? undefined : value,
    );
    assert.ok(!shown.includes(MARK), "a secret is no Secret");
    for (const name of Object.keys(environment)) {
      if (!Object.hasOwn(SETTINGS, name)) continue;
      const alone = loadSetting(name as SettingName, environment);
      assert.equal("problems" in alone, examined.invalid.has(name as SettingName), name);
    }
    const { settings } = examined;
    cloudOf(settings);
    if (settings.HTTPS_PROXY !== undefined) proxyOf(settings.HTTPS_PROXY);
    for (const exempt of settings.NO_PROXY?.exemptions ?? []) exempt("graph.microsoft.com", 443);
  },
  seeds: [
    ...NAMES.map((_, i) => String.fromCharCode(i) + "x"),
    "\x00DEBUG\xff\x01off\xff\x02false\xff",
  ],
  words: [
    ..."\xff|true|false|off|5m|0s|24d|10m|-1|1e3|:25|[::]:8025|127.0.0.1:0|,|@|;|=|/|//".split("|"),
    ..."https://|http://127.0.0.1|http://a:b@c:1|https://a.b/users|?sig=x|#|AccountKey=QUJD".split(
      "|",
    ),
    ..."AccountName=abc|SharedAccessSignature=sig=|UseDevelopmentStorage=true|*|10.0.0.0/8".split(
      "|",
    ),
    ..."sqlite:|azure-storage:|queue|BlobEndpoint=|QueueEndpoint=|.queue.core.windows.net".split(
      "|",
    ),
    "q".repeat(43),
    ..."ann@x.test|@x.test|\0|\r\n|\x1b[31m|\xe2\x80\xae|\xc2\x9b|\xe2\x80\xa8|keyvault|direct"
      .split("|"),
  ],
};
