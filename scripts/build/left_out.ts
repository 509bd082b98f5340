// Parts of packages that the program never reaches and that are left out of the executable. They are
// replaced by modules that throw when they are reached after all.
//
// Two of them also find their files by their installation directory: otherwise its name would be in the
// executable, and builds from different directories would differ.

export interface LeftOut {
  /** The module's file. */
  readonly file: RegExp;
  readonly why: string;
  /** What takes its place, with the exports that its importers name. */
  readonly contents: string;
}

export const LEFT_OUT: readonly LeftOut[] = [
  {
    file: /[\\/]node_modules[\\/]pino[\\/]lib[\\/]transport\.js$/,
    why: "pino's worker threads: our log writes to its stream directly",
    contents: `module.exports = () => { throw new Error("pino transports are not built in"); };`,
  },
  {
    file: /[\\/]node_modules[\\/]sonic-boom[\\/]index\.js$/,
    why: "pino's own stream to a file: our log writes to another",
    contents:
      `module.exports = class { constructor() { throw new Error("sonic-boom is not built in"); } };`,
  },
  {
    file: /[\\/]node_modules[\\/]open[\\/]index\.js$/,
    why: "opens a browser for @azure/identity's interactive logins, which a service has none of",
    contents: `export default () => { throw new Error("a browser is not built in"); };`,
  },
  {
    file: /[\\/]node_modules[\\/]apache-arrow[\\/]Arrow\.node\.mjs$/,
    why: "lists of @azure/storage-blob in a form that the queue does not ask for",
    contents: `export function tableFromIPC() { throw new Error("Apache Arrow is not built in"); }`,
  },
];
