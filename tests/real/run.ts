// `npm run real`: the cases of tests/real against a tenant. Never run by a test.

import process from "node:process";
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2), {
  environment: process.env,
  print: (line) => console.log(line),
});
