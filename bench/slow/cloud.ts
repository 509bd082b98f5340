// The imitated cloud as a process of its own. Prints its address.

import { startCloud } from "../../tests/support/cloud.ts";

console.log((await startCloud()).url);
