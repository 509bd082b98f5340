// Why a file cannot be read or written, for a line that an administrator reads.

/** By the codes of errno(3) that the administrator can do something about. */
const WORDS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "it is a directory",
  ENOENT: "there is no such file or directory",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is not a directory",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
};

/** Such as `there is no such file or directory (ENOENT)`. */
export function fileErrorText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  return Object.hasOwn(WORDS, code) ? `${WORDS[code]} (${code})` : code;
}
