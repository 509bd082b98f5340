// Modules of the runtime that a start does not need, loaded at their first use. Where they are JavaScript, each
// start would compile them: net and tls, with their streams, take 2 MiB of an empty program.

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
  get url() {
    return process.getBuiltinModule("node:url");
  },
  get util() {
    return process.getBuiltinModule("node:util");
  },
};
