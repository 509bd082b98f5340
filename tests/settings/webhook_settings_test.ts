/** WEBHOOK_URL and WEBHOOK_SECRET: what is allowed, and that both are needed. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { loadSettings } from "../../src/settings/load.ts";

const URL_ = "https://hooks.example/mail?key=abc";
const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

function problems(url?: string, secret?: string): readonly string[] {
  const loaded = loadSettings({ WEBHOOK_URL: url, WEBHOOK_SECRET: secret });
  return loaded.type === "problems" ? loaded.problems : [];
}

describe("a webhook's settings", () => {
  it("are an address, also with a query, and a secret", () => {
    const loaded = loadSettings({ WEBHOOK_URL: URL_, WEBHOOK_SECRET: SECRET });
    assert(loaded.type === "settings");
    assert.equal(loaded.settings.WEBHOOK_URL?.reveal(), URL_);
    assert.equal(loaded.settings.WEBHOOK_SECRET?.reveal(), SECRET);
    assert.deepEqual(problems("http://127.0.0.1:8027/", SECRET), []);
    assert.deepEqual(problems(), []);
  });

  it("need each other", () => {
    assert.match(problems(URL_)[0]!, /^WEBHOOK_SECRET must be set when WEBHOOK_URL is/);
    assert.match(problems(undefined, SECRET)[0]!, /^WEBHOOK_SECRET is set, but WEBHOOK_URL is not/);
  });

  it("are refused with what is allowed, and without their values", () => {
    for (
      const url of ["hooks.example", "http://hooks.example/", "https://u:hunter2@hooks.example/"]
    ) {
      const [problem] = problems(url, SECRET);
      assert.match(problem!, /^WEBHOOK_URL must be an https URL/);
      assert(!problem!.includes("hooks.example"));
    }
    for (const secret of ["hunter2hunter2", "whsec_aHVudGVyMg==", SECRET.slice(6)]) {
      const [problem] = problems(URL_, secret);
      assert.match(problem!, /^WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64/);
      assert(!problem!.includes(secret));
    }
  });
});
