import { after, before, describe, it } from "node:test";
import { type AzuriteStorage, startAzuriteStorage } from "../../support/azurite_storage.ts";
import { dieAndLook } from "./die_and_look.ts";

describe("a queue in a storage account whose relays die 150 times under load", () => {
  let azurite: AzuriteStorage;
  before(async () => {
    azurite = await startAzuriteStorage();
  });
  after(() => azurite.stop());
  for (const relays of [1, 2, 4]) {
    it(`with ${relays} at a time loses nothing that was acknowledged`, () =>
      dieAndLook(azurite, 50, relays));
  }
});
