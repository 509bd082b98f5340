// Where the project is published. `repository` in package.json is the one place; its other fields, the
// documents and what is deployed follow by `npm run release -- --repository OWNER/NAME`. The pipeline
// itself takes the repository that it runs in, and refuses to release from another one than this.

/**
 * The owner until there is one. Only accounts that an enterprise manages have an underscore, and they
 * publish nothing: no address with this name leads to a stranger's file.
 */
export const UNKNOWN_OWNER = "REPO_OWNER";

/**
 * @param {string} text of package.json
 * @returns {string} OWNER/NAME
 * @throws {Error} if it names none
 */
export function repositoryOf(text) {
  const { repository } = JSON.parse(text);
  const match = /^git\+https:\/\/github\.com\/([\w.-]+\/[\w.-]+)\.git$/.exec(repository?.url ?? "");
  if (match === null) {
    throw new Error("package.json: repository.url is not git+https://github.com/OWNER/NAME.git");
  }
  return match[1];
}

/**
 * @param {string} repository
 * @returns {boolean}
 */
export const isKnown = (repository) => !repository.startsWith(`${UNKNOWN_OWNER}/`);

/**
 * @param {string} text such as `owner/name`
 * @returns {string}
 * @throws {Error} for another form
 */
export function parseRepository(text) {
  // https://docs.github.com/en/enterprise-cloud@latest/admin/concepts/identity-and-access-management/username-considerations
  // `.` and `..` are steps in a path, and `.git` is cut off from a name.
  const name = "(?!\\.{1,2}$)(?!.*\\.git$)[\\w.-]{1,100}";
  if (new RegExp(`^[0-9A-Za-z](?:-?[0-9A-Za-z])*/${name}$`, "i").test(text)) return text;
  throw new Error(`"${text}" is not a repository such as owner/name`);
}

/**
 * The text with another repository wherever one stands. An image's name is in small letters.
 *
 * @param {string} text
 * @param {string} from
 * @param {string} to
 * @returns {string}
 */
export function withRepository(text, from, to) {
  const [owner, name] = from.split("/").map((part) => part.replaceAll(".", "\\."));
  const [newOwner] = to.split("/");
  // In the parameter of an address, the slash is `%2F`.
  const form = new RegExp(
    `(?<=(ghcr\\.io/)|^|[^\\w.-]|%2F)${owner}(/|%2F)${name}(?![\\w-])`,
    "gim",
  );
  return text
    .replace(form, (_, image, slash) => (image ? to.toLowerCase() : to).replace("/", slash))
    .replace(
      new RegExp(`(?<![\\w.-])${owner}(?=@users\\.noreply\\.github\\.com)`, "gi"),
      () => newOwner,
    );
}

/**
 * @param {string} text
 * @returns {number[]} lines with an address of the unknown owner, from 1
 */
export function unknownOwners(text) {
  // In small letters in an image's name.
  const unknown = UNKNOWN_OWNER.toLowerCase();
  return text.split("\n").flatMap((line, i) => line.toLowerCase().includes(unknown) ? [i + 1] : []);
}

/** What a notice between `<!-- before EVENT -->` and `<!-- end -->` waits for. */
export const FIRST_RELEASE = "the first release";
export const KNOWN_REPOSITORY = "the repository is known";

/**
 * The text without the notices that were true before an event.
 *
 * @param {string} event
 * @param {string} text
 * @returns {string}
 */
export function after(event, text) {
  return text.replace(
    new RegExp(`^<!-- before ${event} -->\\n[^]*?^<!-- end -->\\n\\n?`, "gm"),
    "",
  );
}
