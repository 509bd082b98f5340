// Modules of the runtime that a start does not need, loaded at their first use. Bun has them as JavaScript,
// which each start would compile: `node:net` with its streams, `node:tls` and `node:dns` are a tenth of the time
// to the greeting, and 2 MiB of a relay at rest.

import process from "node:process";

export const late = {
  get dns() {
    return process.getBuiltinModule("node:dns/promises");
  },
  get net() {
    return process.getBuiltinModule("node:net");
  },
  get tls() {
    return process.getBuiltinModule("node:tls");
  },
};
