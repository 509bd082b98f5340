import { describe, it } from "node:test";
import { killAndLook } from "./kill_and_look.ts";

describe("a SQLite queue whose process is killed 100 times under load", () => {
  for (const adders of [1, 8, 50]) {
    it(`has everything that was acknowledged to ${adders} clients`, () => killAndLook(34, adders));
  }
});
