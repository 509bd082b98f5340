/**
 * The meaning of the table service's errors.
 * https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { classifyTableError, isMissingEntry } from "../../src/accounts/table_error.ts";

/** As the SDK throws it. */
function service(statusCode: number, code?: string): Error {
  return Object.assign(new Error("refused"), { statusCode, details: { odataError: { code } } });
}

describe("an error of the table service", () => {
  it("means that an entry is missing, also if no entry can have the key", () => {
    const missing = [
      service(404, "ResourceNotFound"),
      ...["OutOfRangeInput", "KeyValueTooLarge", "PropertyValueTooLarge"].map((code) =>
        service(400, code)
      ),
    ];
    for (const error of missing) assert.equal(isMissingEntry(error), true);
    const others = [
      service(404, "TableNotFound"),
      service(404),
      service(400, "InvalidInput"),
      service(400),
      service(500, "OutOfRangeInput"),
      new Error("refused"),
      undefined,
    ];
    for (const error of others) assert.equal(isMissingEntry(error), false);
  });

  it("concerns the table if access, address or load are the reason, else only the query", () => {
    const concerns = (status: number) => classifyTableError(service(status), 1000).concerns;
    for (const status of [401, 403, 404, 407, 408, 429, 500, 503, 302]) {
      assert.equal(concerns(status), "table", String(status));
    }
    for (const status of [400, 405, 409, 411, 413, 414, 431]) {
      assert.equal(concerns(status), "question", String(status));
    }
  });

  it("means that the table is gone only if it was deleted", () => {
    for (const [status, code] of [[404, "TableNotFound"], [409, "TableBeingDeleted"]] as const) {
      assert.equal(classifyTableError(service(status, code), 1000).gone, true);
    }
    for (const error of [service(404), service(409), service(503, "ServerBusy"), new Error("x")]) {
      assert.equal(classifyTableError(error, 1000).gone, false);
    }
  });
});
