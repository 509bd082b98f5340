// The simulated cloud as a separate process, with a mailbox that is slow. Prints its address.

import { startCloud } from "../../tests/support/cloud.ts";
import { SLOW_MAILBOX } from "./scenario.ts";

const { url } = await startCloud({
  graph: {
    async intercept({ req }) {
      const isSlow = decodeURIComponent(req.path).includes(SLOW_MAILBOX);
      if (isSlow) await new Promise((resolve) => setTimeout(resolve, 1000));
      return undefined;
    },
  },
});
console.log(url);
