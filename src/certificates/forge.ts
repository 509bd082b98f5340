// The parts of node-forge that are used: all of it, with TLS and SSH, would be in the executable. Each
// file adds its part to one object.
//
// They are CommonJS, and imported from here so that no `import()` names them: the bundler compiles
// such a one into a call that may fail (scripts/build/bundle.ts).

import type forge from "node-forge";
import parts from "node-forge/lib/forge.js";
import "node-forge/lib/md.all.js";
import "node-forge/lib/pbe.js";

export type Forge = typeof forge;

export const library = parts as unknown as Forge;
