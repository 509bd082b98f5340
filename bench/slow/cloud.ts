// The simulated cloud as a separate process. Prints its address.

import { startCloud } from "../../tests/support/cloud.ts";

console.log((await startCloud()).url);
