/** Values of settings as people may see them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { givenText, standardText } from "../../src/settings/shown_value.ts";
import { settingsOf } from "../support/settings.ts";

describe("a setting that is given", () => {
  it("shows the variable that counts, and not one of another program", () => {
    const both = { NO_PROXY: "own.test", no_proxy: "other.test" };
    assert.equal(givenText("NO_PROXY", both), "own.test");
    assert.equal(givenText("NO_PROXY", { no_proxy: "other.test" }), "other.test");
  });

  it("shows no secret, wherever it stands", () => {
    const shown = (text: string) => givenText("SERVER_GREETING", { SERVER_GREETING: text }) ?? "";
    for (
      const text of [
        "http://user:hunter2@x.test",
        "AccountName=a;AccountKey=hunter2",
        "abc8Q~hunter2aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      ]
    ) {
      const value = shown(`Hello ${text}`);
      assert.ok(value.startsWith("Hello "), value);
      assert.ok(!value.includes("hunter2"), value);
    }
    assert.equal(givenText("HTTP_PASSWORD", { HTTP_PASSWORD: "hunter2" }), undefined);
  });
});

describe("a setting that has its default", () => {
  it("shows what follows from AZURE_CLOUD", () => {
    const settings = settingsOf({ AZURE_CLOUD: "usgov" });
    assert.equal(standardText("GRAPH_ENDPOINT", settings), "https://graph.microsoft.us");
    assert.equal(standardText("LOG_LEVEL", settings), "WARNING");
    assert.equal(standardText("ALLOWED_TENANTS", settings), undefined);
  });
});
