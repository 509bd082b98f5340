// Parts of packages that the program never gets to, and that stay out of the executable. In their
// place stands what throws, should somebody get there after all.
//
// Both also find their files by the directory they were installed in: left in, they would put that
// directory's name into the executable, and two builds would differ by where they were made.

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
    file: /[\\/]node_modules[\\/]open[\\/]index\.js$/,
    why: "opens a browser for @azure/identity's interactive logins, which a service has none of",
    contents: `export default () => { throw new Error("a browser is not built in"); };`,
  },
];
