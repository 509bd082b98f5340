// The program: `serve` at once, or what the command line says.

import process from "node:process";

const args = process.argv.slice(2);
const isPlain = args.length === 0 || (args.length === 1 && args[0] === "serve");

// No top-level await: the executable's bytecode is made from a module without one.
if (isPlain) void serve();
else void import("./command_line.ts").then(({ runCommandLine }) => runCommandLine(args));

/** Without the parser of command lines, which a service does not need: it takes `node:child_process` along. */
async function serve(): Promise<void> {
  try {
    const { serve } = await import("./commands/serve.ts");
    await serve(undefined);
  } catch (error) {
    const { reportFailure } = await import("./commands/failure.ts");
    const status = await reportFailure(error, { isService: true, envFile: undefined });
    process.exitCode = status;
    // What a start has opened before it failed must not keep the process running.
    process.stderr.write("", () => process.exit(status));
  }
}
